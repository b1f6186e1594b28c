// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/perf_map_requests.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/scheduling.h"
#include "agent/base/signals_blocked.h"
#include "agent/process/proc_file.h"
#include "agent/process/root_open.h"

namespace agent::dotnet {
namespace {

constexpr std::size_t kMostKnown = 1024;
constexpr std::size_t kMostThreads = 4096;
constexpr std::size_t kMostFiles = 4096;
constexpr std::chrono::milliseconds kPause{50};
constexpr std::chrono::seconds kLongestStart{10};
// For what has been compiled so far: 115 ms for 9,664 methods, 300 ms for 16,668.
constexpr std::chrono::seconds kLongestAnswer{5};
constexpr std::chrono::milliseconds kLongestEnd{300};
constexpr std::string_view kRemedy = "; --dotnet-perfmap gives its methods their names";

void SayMachineCode(Pid process, std::string_view comm, std::string_view why,
                    std::string_view and_why) {
  LogWarn("process {} ({}) is shown as machine code only: {}, and {}", static_cast<pid_t>(process),
          comm, why, and_why);
}

Nanoseconds AgeOf(const TaskStat& stat) {
  timespec now{};
  static_cast<void>(::clock_gettime(CLOCK_BOOTTIME, &now));
  const std::chrono::duration<double> started(static_cast<double>(stat.start_time) /
                                              static_cast<double>(::sysconf(_SC_CLK_TCK)));
  return std::chrono::seconds(now.tv_sec) + Nanoseconds(now.tv_nsec) -
         std::chrono::duration_cast<Nanoseconds>(started);
}

// Before it has, the order to enable the perf map kills it (dotnet/runtime#124208; 8.0, 9.0 and the
// first 10.0): the socket is there before what the order needs. The finalizer's thread comes after
// that, and its age covers what is made beside it.
bool HasStarted(Pid process) {
  constexpr std::string_view kFinalizer = ".NET Finalizer";
  constexpr std::chrono::milliseconds kSettled{500};
  const std::string folder = fmt::format("/proc/{}/task", static_cast<pid_t>(process));
  std::vector<pid_t> threads = NumbersIn(folder);
  threads.resize(std::min(threads.size(), kMostThreads));
  return std::ranges::any_of(threads, [&](pid_t tid) {
    const auto stat = ReadTaskStat(fmt::format("{}/{}", folder, tid));
    return stat && stat->comm == kFinalizer && AgeOf(*stat) > kSettled;
  });
}

// Whether the process has it open, and the symbolizer will read it: a file of an earlier process of
// the same id is none.
bool Writes(const ProcessPlace& place, const std::string& path) {
  const auto file = OpenInRoot(place.root, path);
  struct stat map{};
  if (!file || ::fstat(file->get(), &map) != 0) return false;
  if (map.st_uid != place.owner && map.st_uid != 0) return false;
  const std::string_view name = std::string_view(path).substr(path.rfind('/'));
  const std::string folder = fmt::format("/proc/{}/fd", static_cast<pid_t>(place.pid));
  std::vector<pid_t> files = NumbersIn(folder);
  files.resize(std::min(files.size(), kMostFiles));
  return std::ranges::any_of(files, [&](pid_t fd) {
    const std::string link = fmt::format("{}/{}", folder, fd);
    std::array<char, 4096> target;  // NOLINT: readlink fills it
    const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
    struct stat open{};
    return size > 0 &&
           std::string_view(target.data(), static_cast<std::size_t>(size)).ends_with(name) &&
           ::stat(link.c_str(), &open) == 0 && open.st_ino == map.st_ino &&
           open.st_dev == map.st_dev;
  });
}

}  // namespace

std::string_view WhyUnasked(const RuntimeLocation& runtime) {
  // A perf map made 10.0 hang now and then (dotnet/runtime#128401); this release does not any more.
  constexpr unsigned kSafeRelease = 12;
  const unsigned major = runtime.Major();
  if (major == 0) return "a runtime of an unknown version is not asked for its perf map";
  if (major < 8) {
    return "before 8 no runtime can be asked for a perf map; --dotnet-perfmap gives its methods "
           "their names";
  }
  if (major == 10 && runtime.Release() < kSafeRelease) {
    return "its runtime is not asked for a perf map, which may make it hang (before 10.0.12)";
  }
  return {};
}

void PerfMapRequests::Add(Pid process, std::string why, std::string_view unasked) {
  const auto stat = ReadTaskStat(fmt::format("/proc/{}", static_cast<pid_t>(process)));
  if (!stat) return;
  if (known_.size() >= kMostKnown) known_.clear();
  const auto [known, is_new] = known_.try_emplace(process, ImageOf(*stat));
  if (!is_new && std::exchange(known->second, ImageOf(*stat)) == ImageOf(*stat)) return;
  if (!thread_.joinable()) {
    const SignalsBlocked blocked;
    try {
      thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
    } catch (const std::system_error&) {
      SayMachineCode(process, stat->comm, why, "there is no thread to ask for its perf map");
      return;
    }
  }
  {
    const std::lock_guard lock(mutex_);
    added_.push_back({.process = process,
                      .why = std::move(why),
                      .unasked = unasked,
                      .stat = *stat,
                      .since = SystemClock().Now()});
  }
  changed_.notify_one();
}

void PerfMapRequests::Run(const std::stop_token& stop) {
  ::pthread_setname_np(::pthread_self(), "agent-perfmap");
  UseAllCpus();
  std::vector<Request> open;
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      const auto has_more = [this] { return !added_.empty(); };
      if (open.empty()) {
        changed_.wait(lock, stop, has_more);
      } else {
        changed_.wait_for(lock, stop, kPause, has_more);
      }
      std::ranges::move(added_, std::back_inserter(open));
      added_.clear();
    }
    std::erase_if(open, [&](const Request& request) {
      return !stop.stop_requested() && IsSettled(request, stop);
    });
  }
  {
    const std::lock_guard lock(mutex_);  // what came while one was waited for
    std::ranges::move(added_, std::back_inserter(open));
    added_.clear();
  }
  for (const Request& request : open) {
    SayMachineCode(request.process, request.stat.comm, request.why,
                   "it could not be asked for its perf map in time");
  }
  EndAll();
}

bool PerfMapRequests::IsSettled(const Request& request, const std::stop_token& stop) {
  const std::string folder = fmt::format("/proc/{}", static_cast<pid_t>(request.process));
  const auto stat = ReadTaskStat(folder);
  const auto say = [&](std::string_view and_why) {
    SayMachineCode(request.process, request.stat.comm, request.why, and_why);
    return true;
  };
  if (!stat || stat->HasEnded() || stat->start_time != request.stat.start_time) {
    return say("it ended before it could be asked for its perf map");
  }
  if (ImageOf(*stat) != ImageOf(request.stat)) return true;  // it executes another program
  if (!HasStarted(request.process)) {
    if (SystemClock().Now() - request.since < kLongestStart) return false;
    return say(fmt::format("its runtime has not started{}", kRemedy));
  }
  const Result<ProcessPlace> place = PlaceOf(request.process);
  if (!place) return say(fmt::format("its perf map is not found: {}", place.error().Message()));
  return Settle(request, *place, stop);
}

bool PerfMapRequests::Settle(const Request& request, const ProcessPlace& place,
                             const std::stop_token& stop) {
  const std::string path = fmt::format("/tmp/perf-{}.map", static_cast<pid_t>(place.inner_pid));
  const auto say = [&](std::string_view and_why) {
    SayMachineCode(request.process, request.stat.comm, request.why, and_why);
    return true;
  };
  const auto say_named = [&](std::string_view how) {
    LogWarn(
        "process {} ({}) is shown as machine code, its methods by their perf map: {}, and its "
        "runtime {} {}",
        static_cast<pid_t>(request.process), request.stat.comm, request.why, how, path);
    return true;
  };
  if (Writes(place, path)) return say_named("writes");
  if (!request.unasked.empty()) return say(request.unasked);
  Result<DiagnosticsSocket> socket = FindDiagnosticsSocket(place);
  if (!socket) return say(fmt::format("{}{}", socket.error().Message(), kRemedy));
  const Result<void> ordered = Order(*socket, DiagnosticsCommand::kEnablePerfMap,
                                     SystemClock().Now() + kLongestAnswer, stop);
  // It may have begun all the same.
  const bool is_late = !ordered && ordered.error().code == Errc::kTimeout;
  if (ordered || is_late) asked_.push_back(*std::move(socket));
  if (is_late && stop.stop_requested()) return false;
  if (Writes(place, path)) return say_named("was asked to write");
  if (ordered) return say(fmt::format("its runtime writes no {}", path));
  return say(fmt::format("its runtime does not write a perf map: {}{}", ordered.error().Message(),
                         kRemedy));
}

void PerfMapRequests::EndAll() {
  const MonotonicTime deadline = SystemClock().Now() + kLongestEnd;
  for (const DiagnosticsSocket& socket : asked_) {
    const auto ended = Order(socket, DiagnosticsCommand::kDisablePerfMap, deadline);
    if (ended || ended.error().sys_errno == ECONNREFUSED) continue;  // the process is no more
    LogInfo("process {} may go on writing its perf map: {}", static_cast<pid_t>(socket.process),
            ended.error().Message());
  }
}

}  // namespace agent::dotnet
