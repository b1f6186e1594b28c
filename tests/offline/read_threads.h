// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "agent/profile/frame.h"
#include "spies/spy.h"

namespace agent::offline {

/// The frames of a thread that stands still, in the form of Recording::Thread; one line that says
/// so when `spy` cannot read them.
inline std::vector<std::string> ReadThread(Spy& spy, InnerTid tid) {
  if (spy.NeedsStop()) spy.PrepareStop(tid);
  Stack stack;
  StackOutcome outcome = spy.ReadStack(tid);
  if (outcome == StackOutcome::kStack) outcome = spy.NameFrames(stack);
  if (outcome != StackOutcome::kStack) {
    return {fmt::format("outcome {}", static_cast<int>(outcome))};
  }
  std::vector<std::string> lines;
  for (const Frame& frame : stack) {
    lines.push_back(
        fmt::format("{} {}:{}", frame.function->name, frame.function->file, frame.line));
  }
  return lines;
}

}  // namespace agent::offline
