// SPDX-License-Identifier: Apache-2.0
#include "agent/report/run_recorder.h"

#include <utility>

#include "agent/base/log.h"
#include "agent/format/profile_file.h"

namespace agent {
namespace {

constexpr std::chrono::minutes kWriteEvery{1};

}  // namespace

RunRecorder::RunRecorder(std::string file, const Clock& clock, const Function* folded)
    : file_(std::move(file)),
      clock_(clock),
      folded_(folded),
      next_write_(clock.Now() + kWriteEvery) {}

void RunRecorder::Write(const Profile& window) {
  if (!run_) {
    run_.emplace(window.start(), window.slice_length());
    run_->set_period(window.period());
  }
  run_->Merge(window);
  run_->set_duration(window.start() + window.duration() - run_->start());
  run_->Shrink(kMaxBytes, folded_);
  if (file_.empty() || clock_.Now() < next_write_) return;
  next_write_ = clock_.Now() + kWriteEvery;
  if (const Result<void> written = WriteFile(); !written && !std::exchange(said_failed_, true)) {
    LogWarn("the profile cannot be written, it is tried again: {}", written.error().Message());
  }
}

Result<void> RunRecorder::Finish() {
  if (file_.empty() || !run_) return {};
  return WriteFile();
}

Result<void> RunRecorder::WriteFile() { return WriteProfileFile(file_, *run_); }

}  // namespace agent
