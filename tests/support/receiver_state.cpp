// SPDX-License-Identifier: Apache-2.0
#include "tests/support/receiver_state.h"

#include <chrono>
#include <utility>

namespace receiver {

using nlohmann::json;

void State::SetFault(std::string kind, int count) {
  {
    const std::lock_guard lock(mutex_);
    fault_ = std::move(kind);
    fault_count_ = fault_.empty() ? 0 : count;
    ++fault_changes_;
  }
  changed_.notify_all();
}

std::string State::TakeFault() {
  const std::lock_guard lock(mutex_);
  if (fault_count_ == 0) return "";
  if (fault_count_ > 0) --fault_count_;
  return fault_;
}

void State::Hang() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::minutes(1),
                    [this, before = fault_changes_] { return fault_changes_ != before; });
}

void State::Record(json request) {
  const std::lock_guard lock(mutex_);
  received_.push_back(std::move(request));
}

void State::Record(json request, const Verdict& verdict) {
  request["status"] = verdict.status;
  if (!verdict.message.empty()) request["error"] = verdict.message;
  const std::lock_guard lock(mutex_);
  json profiles = json::array();
  for (const Accepted& accepted : verdict.profiles) {
    const PprofSummary& profile = accepted.profile;
    json labels = json::object();
    for (const auto& [name, value] : accepted.labels) labels[name] = value;
    json functions = json::object();
    for (const auto& [name, values] : profile.functions) {
      functions[name] = {{"samples", values.samples}, {"cpu_ns", values.cpu_ns}};
    }
    json by_label = json::object();
    for (const auto& [label, values] : profile.by_label) {
      by_label[label] = {{"samples", values.samples}, {"cpu_ns", values.cpu_ns}};
    }
    const bool is_new = known_.insert(labels.dump() + std::to_string(profile.time_ns)).second;
    profiles.push_back({{"labels", labels},
                        {"id", accepted.id},
                        {"time_ns", profile.time_ns},
                        {"duration_ns", profile.duration_ns},
                        {"period", profile.period},
                        {"types", profile.types},
                        {"period_type", profile.period_type},
                        {"sample_count", profile.sample_count},
                        {"deep_stacks", profile.deep_stacks},
                        {"sample_labels", profile.sample_labels},
                        {"by_label", by_label},
                        {"samples", profile.total.samples},
                        {"cpu_ns", profile.total.cpu_ns},
                        {"functions", functions},
                        {"comments", profile.comments},
                        {"duplicate", !is_new}});
  }
  request["profiles"] = std::move(profiles);
  received_.push_back(std::move(request));
}

std::string State::Received() const {
  const std::lock_guard lock(mutex_);
  return received_.dump();
}

}  // namespace receiver
