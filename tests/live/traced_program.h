// SPDX-License-Identifier: Apache-2.0
// A program of a test's own, held by ptrace.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/registers.h"
#include "agent/process/thread_snapshot.h"

namespace agent::live {

/// Ends with this object. One thread only: ptrace's.
class TracedProgram {
 public:
  /// Starts it with its output at /dev/null; it stands at its first instruction. Nothing where the
  /// file is missing or ptrace is not permitted.
  static std::optional<TracedProgram> Start(const std::vector<std::string>& argv);
  ~TracedProgram();
  TracedProgram(TracedProgram&& other) noexcept;
  TracedProgram& operator=(TracedProgram&&) = delete;

  [[nodiscard]] Pid pid() const { return Pid{pid_}; }
  [[nodiscard]] Registers ReadRegisters() const;
  /// Runs one instruction, with the delivery of `signal` if it is not 0. False: it has ended.
  bool Step(int signal);
  /// Runs for so long; false: it has ended. Signals reach it.
  bool RunFor(int microseconds);
  /// The signal that it stopped for, SIGTRAP after a step.
  [[nodiscard]] int stop_signal() const { return stop_signal_; }
  [[nodiscard]] bool has_ended() const { return pid_ == 0; }
  /// Where it has ended: what waitpid said.
  [[nodiscard]] int status() const { return status_; }

 private:
  explicit TracedProgram(int pid) : pid_(pid) {}
  bool Await();

  int pid_ = 0;
  int status_ = 0;
  int stop_signal_ = 0;
};

/// Of a thread that is stopped and ours.
Registers ReadRegistersOf(Tid tid);

/// Up to `size` bytes of the stack from `from` on, as ProcessSampler copies them.
StackCopy CopyStack(Pid pid, std::uint64_t from, std::uint64_t size);

}  // namespace agent::live
