// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/unique_fd.h"

namespace agent {

/// What a program writes while somebody else draws on its terminal: the end of it, to be shown
/// later. One thread; never waits.
class HeldOutput {
 public:
  /// So much is kept; what came before is only counted.
  static constexpr std::size_t kMostBytes = 1u << 20;

  /// The error is pipe(2)'s.
  static Result<HeldOutput> Open();

  /// Readable while there is something to Take.
  [[nodiscard]] int read_end() const { return read_.get(); }
  /// What the program writes to. The holder lets go of its own copy once the program has it.
  [[nodiscard]] int write_end() const { return write_.get(); }
  void CloseWriteEnd() { write_.Reset(); }

  /// Takes of what there is, 64 KiB at most.
  void Take();
  /// Takes all that has been written so far: a pipe may hold more than that (F_SETPIPE_SZ).
  void TakeAll();
  /// All that has been taken and is kept, behind a line that says how much is not.
  [[nodiscard]] std::string Text() const;

 private:
  HeldOutput(UniqueFd read, UniqueFd write) : read_(std::move(read)), write_(std::move(write)) {}

  UniqueFd read_;
  UniqueFd write_;
  std::string kept_;  // at most twice kMostBytes
  std::uint64_t total_ = 0;
};

}  // namespace agent
