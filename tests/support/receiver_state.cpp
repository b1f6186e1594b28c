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

namespace {

// {name="value"}
bool Selects(const std::string& selector, const json& labels) {
  for (const auto& [name, value] : labels.items()) {
    if (selector == "{" + name + "=" + value.dump() + "}") return true;
  }
  return false;
}

json LabelPairs(const json& labels) {
  json pairs = json::array();
  for (const auto& [name, value] : labels.items()) {
    pairs.push_back({{"name", name}, {"value", value}});
  }
  return {{"labels", pairs}};
}

}  // namespace

json State::Query(const std::string& method, const json& question) const {
  const bool is_series = method == "Series";
  if (!is_series && method != "SelectMergeStacktraces") return nullptr;
  const std::string selector = is_series ? question.at("matchers").at(0).get<std::string>()
                                         : question.at("labelSelector").get<std::string>();
  json sets = json::array();
  json names = json::array({"total"});
  std::int64_t total = 0;
  const std::lock_guard lock(mutex_);
  for (const json& request : received_) {
    for (const json& profile : request.value("profiles", json::array())) {
      const std::int64_t ms = profile["time_ns"].get<std::int64_t>() / 1'000'000;
      if (profile["duplicate"] == true || !Selects(selector, profile["labels"]) ||
          ms < question.at("start").get<std::int64_t>() ||
          ms > question.at("end").get<std::int64_t>()) {
        continue;
      }
      sets.push_back(LabelPairs(profile["labels"]));
      total += profile["cpu_ns"].get<std::int64_t>();
      for (const auto& [name, values] : profile["functions"].items()) names.push_back(name);
    }
  }
  if (is_series) return {{"labelsSet", sets}};
  return {{"flamegraph", {{"names", names}, {"total", std::to_string(total)}}}};
}

std::string State::Received() const {
  const std::lock_guard lock(mutex_);
  return received_.dump();
}

}  // namespace receiver
