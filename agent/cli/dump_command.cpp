// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/dump_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/write_all.h"
#include "agent/cli/exit_status.h"
#include "agent/cli/session_facts.h"
#include "agent/cli/spy_set.h"
#include "agent/process/blocked_call.h"
#include "agent/process/proc_file.h"
#include "agent/process/supervision.h"
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

// The last stack of each thread, and what it was called.
class LastStacks final : public ProfileSink {
 public:
  void Write(const Profile& window) override {
    for (const Profile::Entry& entry : window.Entries()) {
      const std::span<const Frame> frames = window.StackFrames(entry.key.stack);
      const bool is_time_only = entry.value.count == 0 && entry.value.wall_ns == 0;
      if (frames.empty() || is_time_only) continue;
      const WallTime at = window.start() + window.slice_length() * std::int64_t{entry.key.slice} +
                          Nanoseconds(entry.value.wall_ns);
      const ThreadInfo& thread = window.Thread(entry.key.thread);
      Look& look = looks_[thread.tid];
      if (!look.stack.empty() && at < look.at) continue;
      look = {.at = at, .name = thread.thread_name, .stack = Stack(frames.begin(), frames.end())};
    }
  }

  struct Look {
    WallTime at;
    std::string name;
    Stack stack;
  };
  Look Take(Tid tid) { return std::move(looks_[tid]); }

 private:
  std::map<Tid, Look> looks_;
};

// Calls on a file that its first argument names.
bool IsOfFile(std::string_view call) {
  constexpr std::array<std::string_view, 14> kCalls = {
      "read",  "pread64", "readv",    "recvfrom", "recvmsg", "accept", "accept4",
      "write", "writev",  "pwrite64", "sendto",   "sendmsg", "flock",  "fsync"};
  return std::ranges::find(kCalls, call) != kCalls.end();
}

std::string FileOf(Pid pid, std::uint64_t descriptor) {
  std::array<char, 256> path;  // NOLINT: readlink fills it
  const std::string link = fmt::format("/proc/{}/fd/{}", static_cast<pid_t>(pid), descriptor);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size <= 0 ? "" : std::string(path.data(), static_cast<std::size_t>(size));
}

// What it waits for at this moment.
ThreadWait WaitOf(Pid pid, const std::string& folder, const SpySet& spies) {
  const Result<std::string> text = ReadProcFile(folder + "/syscall");
  if (!text) return {};
  const Result<std::optional<BlockedCall>> call = ParseBlockedCall(*text);
  if (!call || !*call || (*call)->number < 0) return {};
  ThreadWait wait{.kind = ThreadWait::Kind::kSystemCall,
                  .call = std::string(SystemCallName((*call)->number)),
                  .file = ""};
  if (wait.call.empty()) wait.call = fmt::format("system call {}", (*call)->number);
  if (wait.call == "futex") {
    const bool is_gil = spies.IsGil(RemoteAddress((*call)->first_argument));
    wait.kind = is_gil ? ThreadWait::Kind::kGil : ThreadWait::Kind::kLock;
  }
  if (IsOfFile(wait.call)) wait.file = FileOf(pid, (*call)->first_argument);
  return wait;
}

// None: the process has ended.
std::vector<ThreadStack> ThreadsOf(Pid pid, LastStacks& stacks, const SpySet& spies) {
  std::vector<ThreadStack> threads;
  const std::string tasks = fmt::format("/proc/{}/task", static_cast<pid_t>(pid));
  for (const pid_t id : NumbersIn(tasks)) {
    const std::string folder = fmt::format("{}/{}", tasks, id);
    const Result<TaskStat> stat = ReadTaskStat(folder);
    if (!stat) continue;
    ThreadStack& thread = threads.emplace_back();
    thread.tid = Tid{id};
    LastStacks::Look look = stacks.Take(thread.tid);
    thread.name = look.name.empty() ? stat->comm : look.name;
    thread.state = stat->state;
    thread.stack = std::move(look.stack);
    const bool sleeps = stat->state == 'S' || stat->state == 'D';
    if (sleeps) thread.wait = WaitOf(pid, folder, spies);
  }
  const auto has_ended = [](const ThreadStack& thread) {
    return thread.state == 'Z' || thread.state == 'X';
  };
  if (std::ranges::all_of(threads, has_ended)) return {};
  std::ranges::sort(threads, {}, &ThreadStack::tid);
  return threads;
}

// The sampler's life. Returns its exit status.
int Look(const Settings& settings, const SamplerStart& start) {
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
    return kFailed;
  }
  SamplerReport report;
  std::thread([&] { report = sampler.Run(); }).join();
  writer.Finish();
  const RunFacts all_facts = facts.AtEnd(report, {});
  const std::vector<ThreadStack> threads = ThreadsOf(start.target, stacks, spies);
  if (threads.empty()) {
    LogError("process {} ended while it was looked at", static_cast<pid_t>(start.target));
    return kFailed;
  }
  const std::string text =
      settings.json ? StackDumpJson(all_facts, threads) : FormatStackDump(all_facts, threads);
  if (WriteAll(start.output, text) || errno == EPIPE) return 0;
  LogError("{}", ErrnoError("cannot write to stdout").Message());
  return kFailed;
}

}  // namespace

void RunDump(const Settings& settings) {
  RunConnected(settings.pid, TakenOutput{},
               [&](const SamplerStart& start) { return Look(settings, start); });
}

}  // namespace agent
