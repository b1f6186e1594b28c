// SPDX-License-Identifier: Apache-2.0
// The stacks of a process's threads at one moment.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "agent/profile/frame.h"
#include "agent/report/run_facts.h"
#include "agent/report/thread_wait.h"

namespace agent {

struct ThreadStack {
  Tid tid{};
  std::string name;
  char state = '?';  ///< As in /proc/PID/stat.
  ThreadWait wait;
  Stack stack;  ///< Named frames; empty: it could not be read.
};

/// For people: a block for each thread, the leaf first.
[[nodiscard]] std::string FormatStackDump(const RunFacts& facts,
                                          std::span<const ThreadStack> threads);

/// For programs: {"pid", "command", "runtimes" (as in FactsJson), "pauses": {"count", "total",
/// "max"}, "threads":
/// [{"tid", "name", "state", "wait": {"for", "call", "file"}, "frames": [{"name", "file",
/// "line"}]}]}. Pauses: how often and how long (seconds) threads were stopped for this. wait is
/// null or for "call", "lock" or "gil". Frames from the leaf on, line null where it is not known.
[[nodiscard]] std::string StackDumpJson(const RunFacts& facts,
                                        std::span<const ThreadStack> threads);

}  // namespace agent
