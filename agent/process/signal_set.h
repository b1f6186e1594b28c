// SPDX-License-Identifier: Apache-2.0
// Signals by the kernel's own calls. libc's leave out the two or three signals that libc uses
// itself (32 to 34), but whoever sends one of them to us means the program.
#pragma once

#include <signal.h>

#include <cstdint>

#include "agent/base/clock.h"
#include "agent/base/unique_fd.h"

namespace agent {

/// The kernel's sigset_t of 64 signals.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  [[nodiscard]] static constexpr SignalSet All() { return SignalSet(~std::uint64_t{0}); }
  [[nodiscard]] static constexpr SignalSet Of(int signal) {
    return SignalSet(std::uint64_t{1} << (signal - 1));
  }
  [[nodiscard]] constexpr SignalSet Without(int signal) const {
    return SignalSet(bits_ & ~Of(signal).bits_);
  }

 private:
  constexpr explicit SignalSet(std::uint64_t bits) : bits_(bits) {}
  std::uint64_t bits_ = 0;
};
static_assert(sizeof(SignalSet) == 8, "what rt_sigprocmask takes");

/// Sets the calling thread's mask; returns the one before.
SignalSet SetSignalMask(SignalSet mask);

/// Takes one pending, blocked signal of `set`, with all that the kernel knows about it; waits for
/// one at most so long. False: none came.
bool TakeSignal(SignalSet set, Nanoseconds at_most, siginfo_t* info);

/// Readable while a blocked signal of `set` is pending for the process that polls it. Not valid if
/// the kernel refuses. Signals are taken with TakeSignal, which tells more than read(2) on it
/// would.
[[nodiscard]] UniqueFd OpenSignalFd(SignalSet set);

/// False for signals whose disposition cannot be asked for, too.
[[nodiscard]] bool IsIgnored(int signal);
void SetDisposition(int signal, void (*handler)(int));

}  // namespace agent
