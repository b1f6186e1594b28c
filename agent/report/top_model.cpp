// SPDX-License-Identifier: Apache-2.0
#include "agent/report/top_model.h"

#include <algorithm>
#include <functional>
#include <span>
#include <string_view>

#include "agent/profile/markers.h"

namespace agent {
namespace {

constexpr std::size_t kMostBytes = 16u << 20;  // of the whole run

double Percent(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

// The frames without the mark of the GIL, and whether there was one.
std::pair<std::span<const Frame>, bool> TakeGilMark(std::span<const Frame> frames) {
  if (frames.empty() || frames.back().function->name != markers::kHoldsGil) return {frames, false};
  return {frames.first(frames.size() - 1), true};
}

// Functions of .NET's collector have names where the runtime has symbols.
bool Collects(const Frame& frame) {
  const std::string_view name = frame.function->name;
  return name == markers::kCollector || name == markers::kDotnetCollector ||
         name.contains("gc_heap::");
}

bool Compiles(const Frame& frame) { return frame.function->name == markers::kDotnetCompiler; }

// A profile of the same samples, without marks.
Profile WithoutMarks(const Profile& window) {
  Profile plain(window.start(), Nanoseconds(0));
  plain.losses() = window.losses();
  for (const Profile::Entry& entry : window.Entries()) {
    const StackId stack = plain.InternStack(TakeGilMark(window.StackFrames(entry.key.stack)).first);
    const ThreadIndex thread = plain.InternThread(window.Thread(entry.key.thread));
    plain.Add(stack, thread, entry.key.kind, window.start(), entry.value);
  }
  return plain;
}

}  // namespace

TopModel::Window TopModel::SumUp(const Profile& window) {
  Window sum{
      .sum = {.duration = window.duration(), .value = window.Total()}, .costs = {}, .threads = {}};
  std::vector<const Function*> seen;
  for (const Profile::Entry& entry : window.Entries()) {
    const auto [frames, has_gil] = TakeGilMark(window.StackFrames(entry.key.stack));
    const std::int64_t cpu = entry.value.cpu_ns;
    seen.clear();
    for (const Frame& frame : frames) {
      Cost& cost = sum.costs[frame.function];
      if (seen.empty()) cost.self += cpu;
      if (std::ranges::find(seen, frame.function) != seen.end()) continue;
      seen.push_back(frame.function);
      cost.total += cpu;
    }
    const ThreadInfo& thread = window.Thread(entry.key.thread);
    Activity& activity = sum.threads[{thread.tid, thread.thread_name}];
    const bool collects = std::ranges::any_of(frames, Collects);
    const bool compiles = std::ranges::any_of(frames, Compiles);
    activity.cpu += cpu;
    if (has_gil) activity.gil += cpu;
    if (collects) activity.collecting += cpu;
    if (compiles) activity.compiling += cpu;
    known_.gil |= has_gil;
    known_.collecting |= collects;
    known_.compiling |= compiles;
  }
  return sum;
}

void TopModel::Add(const Profile& window, bool is_recent) {
  Window sum = SumUp(window);
  for (const auto& [function, cost] : sum.costs) {
    all_costs_[function].self += cost.self;
    all_costs_[function].total += cost.total;
  }
  if (!all_) all_.emplace(window.start(), Nanoseconds(0));
  all_->Merge(WithoutMarks(window));
  all_->Shrink(kMostBytes, folded_);
  all_sum_.duration = window.start() + window.duration() - all_->start();
  all_sum_.value += sum.sum.value;
  if (!is_recent) return;
  recent_.push_back(std::move(sum));
  if (recent_.size() > kRecentWindows) recent_.pop_front();
}

TopModel::Sum TopModel::Recent() const {
  Sum sum;
  for (const Window& window : recent_) {
    sum.duration += window.sum.duration;
    sum.value += window.sum.value;
  }
  return sum;
}

std::vector<TopModel::FunctionShare> TopModel::Functions() const {
  Costs recent;
  for (const Window& window : recent_) {
    for (const auto& [function, cost] : window.costs) {
      recent[function].self += cost.self;
      recent[function].total += cost.total;
    }
  }
  const std::int64_t whole_now = Recent().value.cpu_ns;
  const std::int64_t whole = all_sum_.value.cpu_ns;
  std::vector<FunctionShare> shares;
  shares.reserve(all_costs_.size());
  for (const auto& [function, cost] : all_costs_) {
    const auto found = recent.find(function);
    const Cost now = found == recent.end() ? Cost{} : found->second;
    shares.push_back({.function = function,
                      .self_now = Percent(now.self, whole_now),
                      .total_now = Percent(now.total, whole_now),
                      .self_all = Percent(cost.self, whole),
                      .total_all = Percent(cost.total, whole)});
  }
  return shares;
}

std::vector<TopModel::CallerShare> TopModel::CallersOf(const Function* function) const {
  std::map<std::vector<const Function*>, std::int64_t> paths;
  std::int64_t whole = 0;
  if (!all_) return {};
  for (const Profile::Entry& entry : all_->Entries()) {
    const std::span<const Frame> frames = all_->StackFrames(entry.key.stack);
    const auto at = std::ranges::find(frames, function, &Frame::function);
    if (at == frames.end()) continue;
    whole += entry.value.cpu_ns;
    std::vector<const Function*> callers;
    for (const Frame& frame : std::span(std::next(at), frames.end())) {
      callers.push_back(frame.function);
    }
    paths[callers] += entry.value.cpu_ns;
  }
  std::vector<CallerShare> shares;
  shares.reserve(paths.size());
  for (const auto& [callers, time] : paths) shares.push_back({Percent(time, whole), callers});
  std::ranges::stable_sort(shares, std::greater(), &CallerShare::share);
  return shares;
}

std::vector<TopModel::ThreadShare> TopModel::Threads() const {
  std::map<std::pair<Tid, std::string>, Activity> threads;
  for (const Window& window : recent_) {
    for (const auto& [thread, activity] : window.threads) {
      Activity& sum = threads[thread];
      sum.cpu += activity.cpu;
      sum.gil += activity.gil;
      sum.collecting += activity.collecting;
      sum.compiling += activity.compiling;
    }
  }
  const std::int64_t duration = Recent().duration.count();
  std::vector<ThreadShare> shares;
  shares.reserve(threads.size());
  for (const auto& [thread, activity] : threads) {
    shares.push_back({.tid = thread.first,
                      .name = thread.second,
                      .cpu = Percent(activity.cpu, duration),
                      .gil = Percent(activity.gil, activity.cpu),
                      .collecting = Percent(activity.collecting, activity.cpu),
                      .compiling = Percent(activity.compiling, activity.cpu)});
  }
  std::ranges::stable_sort(shares, std::greater(), &ThreadShare::cpu);
  return shares;
}

}  // namespace agent
