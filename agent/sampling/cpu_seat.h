// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/clock.h"

namespace agent {

/// The CPU that the sampling thread sits on: that of a thread which has to stand still while its
/// memory is read. There our timer interrupts it wherever it is, and it cannot run while we do:
/// schedstat proves afterwards that it did not.
///
/// On another CPU it has to be stopped by ptrace. That costs twice as much, and what such a stop
/// meets is not what the tick met: the interrupt takes 20 us to another CPU of a virtual machine,
/// and the end of a system call in between is where the thread stops. (Measured, a loop of 5 us
/// with one getppid: 97 % of the stops were behind that call, and 42 % of the looks from the same
/// CPU, which is the truth.) Where registers are needed there is no way round it: a thread that is
/// let go beside us is woken on another CPU, and we would run after it.
///
/// Sampling thread only.
class CpuSeat {
 public:
  /// None: -1.
  [[nodiscard]] int cpu() const { return cpu_; }
  /// During a tick: a thread that runs, or waits, on `cpu` has to stand still.
  void Want(int cpu) {
    if (cpu >= 0 && (wanted_ < 0 || cpu == cpu_)) wanted_ = cpu;
  }
  /// After the tick: the seat for the next ones.
  void Settle(MonotonicTime now);
  /// Before work that takes longer than a look: on all CPUs until it is wanted again.
  void Leave();

 private:
  // How long it is kept though another one is wanted (after a move we get the new CPU late, and a
  // GIL goes to and fro between two every 5 ms), and while none is.
  static constexpr std::chrono::milliseconds kPatience{50};
  static constexpr std::chrono::seconds kKept{1};

  int cpu_ = -1;
  int wanted_ = -1;  // in this tick: the present one, if anybody wants that
  MonotonicTime used_;
  MonotonicTime moved_;
  bool is_refused_ = false;
};

}  // namespace agent
