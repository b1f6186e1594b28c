// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/dump_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/write_all.h"
#include "agent/cli/session_facts.h"
#include "agent/cli/spy_set.h"
#include "agent/process/proc_file.h"
#include "agent/process/task_stat.h"
#include "agent/report/stack_dump.h"
#include "agent/sampling/sampler.h"
#include "agent/sampling/window_writer.h"

namespace agent {
namespace {

// A thread that runs is looked at some ten times meanwhile, and shown as it was last; one that
// sleeps once. Most of the time is for the unwind tables of large files.
constexpr std::chrono::milliseconds kLength{600};
constexpr std::chrono::milliseconds kPeriod{50};

// The last stack of each thread.
class LastStacks final : public ProfileSink {
 public:
  void Write(const Profile& window) override {
    for (const Profile::Entry& entry : window.Entries()) {
      const std::span<const Frame> frames = window.StackFrames(entry.key.stack);
      const bool is_time_only = entry.value.count == 0 && entry.value.wall_ns == 0;
      if (frames.empty() || is_time_only) continue;
      const WallTime at = window.start() + window.slice_length() * std::int64_t{entry.key.slice} +
                          Nanoseconds(entry.value.wall_ns);
      Look& look = looks_[window.Thread(entry.key.thread).tid];
      if (!look.stack.empty() && at < look.at) continue;
      look = {.at = at, .stack = Stack(frames.begin(), frames.end())};
    }
  }

  Stack Take(Tid tid) { return std::move(looks_[tid].stack); }

 private:
  struct Look {
    WallTime at;
    Stack stack;
  };
  std::map<Tid, Look> looks_;
};

std::vector<ThreadStack> ThreadsOf(Pid pid, LastStacks& stacks) {
  std::vector<ThreadStack> threads;
  const std::string folder = fmt::format("/proc/{}/task", static_cast<pid_t>(pid));
  for (const pid_t id : NumbersIn(folder)) {
    const Result<TaskStat> stat = ReadTaskStat(fmt::format("{}/{}", folder, id));
    if (!stat) continue;
    threads.push_back(
        {.tid = Tid{id}, .name = stat->comm, .state = stat->state, .stack = stacks.Take(Tid{id})});
  }
  std::ranges::sort(threads, {}, &ThreadStack::tid);
  return threads;
}

}  // namespace

int RunDump(const Settings& settings, const SamplerStart& start) {
  SpySet spies(settings);
  const SessionFacts facts(start, "", {});
  LastStacks stacks;
  WindowWriter writer(spies.symbolizer(), {&stacks});
  Sampler sampler({.period = kPeriod,
                   .duration = kLength,
                   .follow_children = false,
                   .wall = true,
                   .kernel = settings.kernel},
                  start, spies.factories(), spies.functions(), writer);
  if (const Result<void> attached = sampler.AttachFirst(); !attached) {
    LogError("cannot look into process {}: {}", static_cast<pid_t>(start.target),
             attached.error().Message());
    return 1;
  }
  SamplerReport report;
  std::thread([&] { report = sampler.Run(); }).join();
  writer.Finish();
  const RunFacts all_facts = facts.AtEnd(report, {});
  const std::vector<ThreadStack> threads = ThreadsOf(start.target, stacks);
  const std::string text =
      settings.json ? StackDumpJson(all_facts, threads) : FormatStackDump(all_facts, threads);
  if (WriteAll(start.output, text) || errno == EPIPE) return 0;
  LogError("{}", ErrnoError("cannot write to stdout").Message());
  return 1;
}

}  // namespace agent
