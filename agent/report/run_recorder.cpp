// SPDX-License-Identifier: Apache-2.0
#include "agent/report/run_recorder.h"

#include <algorithm>
#include <utility>

#include "agent/base/log.h"

namespace agent {
namespace {

constexpr std::chrono::minutes kWriteEvery{1};

}  // namespace

RunRecorder::RunRecorder(std::vector<RunFile> files, RunFacts facts, const Clock& clock,
                         const Function* folded, std::size_t max_bytes)
    : files_(std::move(files)),
      facts_(std::move(facts)),
      clock_(clock),
      folded_(folded),
      max_bytes_(max_bytes),
      next_write_(clock.Now() + kWriteEvery) {}

void RunRecorder::Write(const Profile& window) {
  if (!run_) {
    run_.emplace(window.start(), window.slice_length());
    run_->set_period(window.period());
  }
  run_->Merge(window);
  run_->set_duration(window.start() + window.duration() - run_->start());
  run_->Shrink(max_bytes_, folded_);
  if (files_.empty() || clock_.Now() < next_write_) return;
  next_write_ = clock_.Now() + kWriteEvery;
  for (const Result<void>& written : Finish(facts_)) {
    if (written || std::exchange(said_failed_, true)) continue;
    LogWarn("the profile cannot be written, it is tried again: {}", written.error().Message());
  }
}

std::vector<Result<void>> RunRecorder::Finish(const RunFacts& facts) {
  std::vector<Result<void>> results;
  if (!run_) return results;
  results.reserve(files_.size());
  for (const RunFile& file : files_) results.push_back(WriteRunFile(file, *run_, facts));
  if (!files_.empty() && std::ranges::all_of(results, &Result<void>::has_value)) {
    saved_samples_ = static_cast<std::uint64_t>(run_->Total().count);
  }
  return results;
}

}  // namespace agent
