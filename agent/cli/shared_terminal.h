// SPDX-License-Identifier: Apache-2.0
// The terminal that `agent top` draws on. Two processes have to do with it: the sampler draws, and
// the keeper, which the shell knows, gives it back whenever it stops or ends.
#pragma once

#include <termios.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>
#include <string_view>

#include "agent/base/error.h"
#include "agent/process/supervision.h"

namespace agent {

class SharedTerminal {
 public:
  /// Before the processes part. Null: stdout is no terminal. In the background it stops, as any
  /// program does that wants the terminal, until the shell brings it to the foreground. kInvalid
  /// where nobody could do that. What it returns lives as long as the processes.
  static Result<SharedTerminal*> Open();

  /// For the keeper: gives the terminal back at each stop and at the end.
  [[nodiscard]] TakenOutput Hooks();

  // The sampler's; `fd` is the terminal.

  /// First of all: an earlier sampler may have died in the middle of it.
  void Begin();
  /// Makes the screen ours, unless it is already. False, and then it must be neither written to nor
  /// read from: the keeper is stopped, or in the background.
  bool Take(int fd);
  /// After each Take that was true: the keeper may stop now.
  void Release();
  /// The terminal as it was before, if that is still ours to do.
  void End(int fd);

 private:
  enum Turn : int { kFree, kDrawing, kGivenBack };
  struct KeptLine {
    std::atomic<bool> is_there = false;
    std::size_t size = 0;
    std::array<char, 512> text{};
  };

  SharedTerminal(const termios& before, const termios& raw) : before_(before), raw_(raw) {}
  // A line of the agent's own that is written while the screen is ours, and soon drawn over: to be
  // shown again behind it.
  void Keep(std::string_view line);
  void ShowKept();
  void GiveBack(int fd);
  // Undoes what Take did, as far as it is still so.
  void Leave(int fd);

  const termios before_;
  const termios raw_;  // what Take sets
  // What the two processes share.
  std::atomic<int> turn_ = kFree;
  std::atomic<bool> is_shown_ = false;  // entered, and not left yet
  std::atomic<std::size_t> kept_count_ = 0;
  std::array<KeptLine, 64> kept_;  // the last ones
  bool has_screen_ = false;        // the sampler's: nobody else had the terminal since
};

}  // namespace agent
