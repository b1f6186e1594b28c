// SPDX-License-Identifier: Apache-2.0
#include "agent/format/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace agent {
namespace {

std::string NameOf(const ThreadInfo& thread) {
  std::string name = thread.thread_name.empty() ? "all threads" : thread.thread_name;
  if (!thread.process_name.empty() && thread.process_name != thread.thread_name) {
    name = fmt::format("{}: {}", thread.process_name, name);
  }
  if (thread.tid != Tid{}) name += fmt::format(" (tid {})", static_cast<pid_t>(thread.tid));
  return name;
}

}  // namespace

std::vector<ThreadTimeline> Timelines(const Profile& profile) {
  std::map<ThreadIndex, ThreadTimeline> threads;
  std::map<ThreadIndex, std::int64_t> costs;
  for (const Profile::Entry& entry : profile.Entries()) {
    ThreadTimeline& line = threads[entry.key.thread];
    line.samples.push_back(
        {.slice = entry.key.slice, .stack = entry.key.stack, .value = entry.value});
    costs[entry.key.thread] += entry.value.cpu_ns + entry.value.wall_ns + entry.value.count;
  }
  std::vector<ThreadTimeline> sorted;
  for (auto& [thread, line] : threads) {
    line.thread = thread;
    line.name = NameOf(profile.Thread(thread));
    std::ranges::sort(line.samples, {}, [](const ThreadTimeline::Sample& sample) {
      return std::tuple(sample.slice, sample.stack);
    });
    sorted.push_back(std::move(line));
  }
  std::ranges::stable_sort(sorted, std::greater(),
                           [&](const ThreadTimeline& line) { return costs[line.thread]; });
  return sorted;
}

}  // namespace agent
