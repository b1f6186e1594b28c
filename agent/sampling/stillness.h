// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

namespace agent {

/// Whether a running thread's stack stands still for long enough to be read without a stop.
///
/// A reading that is refused because the stack changed has to be replaced by a later one, and that
/// one is accepted where the stack stands still: code that calls often would be shown too little,
/// by at most the share of refused readings. (Measured, 57 calls in 1.1 us, then a loop of 2.1 us:
/// 24 points wrong, in either direction, for the readings also slow down the calls.) Up to 2 % are
/// borne; beyond, each sample of the thread is taken by a stop, and every eighth is followed by a
/// reading that only tells whether that is still so. Code that is met for the first time, which
/// needs a stop as well, counts like a refusal.
class Stillness {
 public:
  [[nodiscard]] bool NeedsStop() const { return moves_; }

  /// Of a first reading, not of those that replace it.
  void See(bool refused) {
    credit_ = std::min(refused ? credit_ - 1 : credit_ + kShareBorne, moves_ ? 1 : kMostCredit);
    if (credit_ < 0) moves_ = true;
    if (!moves_) return;
    if (credit_ >= 1) {
      moves_ = false;
    } else if (refused) {
      credit_ = 0;
    }
  }

  /// After a sample that was taken of it while we kept its CPU (CpuSeat, Pacers), where no reading
  /// tells. After some seconds of that it is judged anew.
  void SeeStanding() {
    if (!moves_ || ++standing_ < kStandingForReading) return;
    standing_ = 0;
    moves_ = false;
    credit_ = 0;
  }

  /// After a sample that was taken by a stop.
  [[nodiscard]] bool WantsReading() {
    stops_ = (stops_ + 1) % kStopsForReading;
    return moves_ && stops_ == 0;
  }

 private:
  static constexpr double kShareBorne = 0.02;
  static constexpr double kMostCredit = 4;
  static constexpr int kStopsForReading = 8;
  static constexpr int kStandingForReading = 2000;

  double credit_ = 1;
  bool moves_ = false;
  int stops_ = 0;
  int standing_ = 0;
};

}  // namespace agent
