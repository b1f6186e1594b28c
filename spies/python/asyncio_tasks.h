// SPDX-License-Identifier: Apache-2.0
// Which asyncio task a thread runs, and which tasks wait for it (CPython 3.14 and later).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "agent/profile/frame.h"
#include "spies/python/dicts.h"
#include "spies/python/layout.h"
#include "spies/python/raw_frame.h"

namespace agent::python {

/// A frame that no code runs, before frames[at] of a stack (leaf first) or at its end.
struct FrameMark {
  std::size_t at = 0;
  const Function* function = nullptr;
};

/// Of one process; sampling thread only. Where things are is told by _AsyncioDebug (section
/// .AsyncioDebug, Modules/_asynciomodule.c), which comes with the module _asyncio.
class AsyncioTasks {
 public:
  /// Different names of tasks; those of later ones are left out.
  static constexpr std::size_t kMostNames = 1000;

  /// Where the section is in the process.
  using FindSection = std::function<Result<std::optional<RemoteAddress>>()>;

  /// `memory` and `functions` outlive it. `code_type` as in RuntimeLocation.
  AsyncioTasks(ProcessMemory& memory, FindSection find_section, const Layout& layout,
               RemoteAddress code_type, FunctionTable& functions);

  /// Before a stop: looks for the module, now and then until it is there.
  void Prepare(MonotonicTime now);
  /// With the thread stopped: reads which task it runs, some 20 times. `frames`: its stack. Behind
  /// the task's coroutines come those of the task that waits for it and so on, before the frames
  /// of the event loop; `marks` (by place) gets a name behind the frames of each task. Adds nothing
  /// where no task runs. How many frames were added.
  std::size_t AddTo(RemoteAddress thread_state, std::vector<RawFrame>& frames,
                    std::vector<FrameMark>& marks);

 private:
  struct Offsets {
    std::uint64_t task_size = 0;  // 0: not known yet
    std::uint32_t name = 0;
    std::uint32_t awaited_by = 0;         // a task, or a set of them
    std::uint32_t awaited_by_is_set = 0;  // a byte
    std::uint32_t is_task = 0;            // a byte
    std::uint32_t coroutine = 0;
    std::uint32_t running_task = 0;  // in PyThreadState
  };
  struct Task {
    RemoteAddress name;
    RemoteAddress awaited_by;
    bool awaited_by_several = false;
    RemoteAddress coroutine;
  };
  struct Coroutine {
    RawFrame frame;
    RemoteAddress awaits;  // null: it is not awaiting
  };
  Result<Offsets> ReadOffsets(RemoteAddress section);
  Result<Task> ReadTask(RemoteAddress address);
  Result<Coroutine> ReadCoroutine(RemoteAddress address, RemoteAddress type);
  std::vector<RawFrame> WaitingFrames(RemoteAddress coroutine, RemoteAddress type);
  const Function* NameOf(const Task& task);

  ProcessMemory& memory_;
  FindSection find_section_;
  const Layout layout_;
  RemoteAddress code_type_;
  FunctionTable& functions_;
  Dicts dicts_;
  const Function* unnamed_;
  const Function* several_;
  const Function* more_;
  Offsets offsets_;
  MonotonicTime next_look_;
  Nanoseconds pause_{0};  // before it
  std::unordered_set<std::string> names_;
};

}  // namespace agent::python
