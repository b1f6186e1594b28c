// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <thread>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/path.h"
#include "agent/profile/frame.h"
#include "spies/spy.h"
#include "tests/offline/recording.h"

namespace agent::offline {

/// A stack in the form of Recording::Thread. Names are not looked up for machine code.
inline std::vector<std::string> LinesOf(const Stack& stack) {
  std::vector<std::string> lines;
  for (const Frame& frame : stack) {
    lines.push_back(
        frame.function != nullptr
            ? fmt::format("{} {}:{}", frame.function->name, frame.function->file, frame.line)
            : fmt::format("{}+{:#x}", BaseName(frame.module->path), frame.address));
  }
  return lines;
}

inline StackOutcome ReadSnapshot(Spy& spy, const Recording::Thread& thread, StackExtent& extent,
                                 Stack& stack) {
  ThreadSnapshot snapshot = thread.snapshot;
  spy.CopyMore(thread.tid, snapshot);
  StackOutcome outcome = StackOutcome::kNotReady;
  while (outcome == StackOutcome::kNotReady) {  // tables are compiled meanwhile
    std::this_thread::yield();
    outcome = spy.ReadSnapshot(snapshot, SystemClock().Now(), extent, stack);
  }
  return outcome;
}

/// The frames of a thread that stands still; one line that says so when `spy` cannot read them.
inline std::vector<std::string> ReadThread(Spy& spy, const Recording::Thread& thread) {
  Stack stack;
  StackOutcome outcome = StackOutcome::kStack;
  if (spy.WantsSnapshots()) {
    StackExtent extent;
    outcome = ReadSnapshot(spy, thread, extent, stack);
  } else {
    if (spy.NeedsStop()) spy.PrepareStop(thread.tid);
    outcome = spy.ReadStack(thread.tid, ReadMode::kStill);
    if (outcome == StackOutcome::kStack) outcome = spy.NameFrames(stack);
  }
  if (outcome != StackOutcome::kStack) {
    return {fmt::format("outcome {}", static_cast<int>(outcome))};
  }
  return LinesOf(stack);
}

}  // namespace agent::offline
