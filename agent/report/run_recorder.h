// SPDX-License-Identifier: Apache-2.0
// Keeps the whole run for a local file and the closing summary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/profile/profile.h"
#include "agent/report/run_facts.h"
#include "agent/report/run_file.h"

namespace agent {

/// Adds windows up to one profile of at most `max_bytes` (past that the rarest stacks are folded,
/// and counted) and writes it once a minute, so that a SIGKILL costs a minute. The writer's thread
/// only, until the run is over.
class RunRecorder final : public ProfileSink {
 public:
  /// `files`: may be none. `facts`: those that are known at the start, for what is written before
  /// the end. `clock` and `folded` (the marker of folded stacks) outlive the recorder.
  RunRecorder(std::vector<RunFile> files, RunFacts facts, const Clock& clock,
              const Function* folded, std::size_t max_bytes);

  void Write(const Profile& window) override;
  /// Writes the files for the last time; what became of each, in their order. Empty when there was
  /// no window.
  [[nodiscard]] std::vector<Result<void>> Finish(const RunFacts& facts);
  /// Of the run's samples those that are in all files by now.
  [[nodiscard]] std::uint64_t saved_samples() const { return saved_samples_; }
  /// Null when there was no window.
  [[nodiscard]] const Profile* run() const { return run_ ? &*run_ : nullptr; }

 private:
  std::vector<RunFile> files_;
  RunFacts facts_;
  const Clock& clock_;
  const Function* folded_;
  const std::size_t max_bytes_;
  MonotonicTime next_write_;
  std::optional<Profile> run_;
  bool said_failed_ = false;
  std::uint64_t saved_samples_ = 0;
};

}  // namespace agent
