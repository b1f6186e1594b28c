// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/window_writer.h"

#include <utility>

namespace agent {

WindowWriter::WindowWriter(Symbolizer& symbolizer, std::vector<ProfileSink*> sinks)
    : symbolizer_(symbolizer), sinks_(std::move(sinks)), thread_([this] { Run(); }) {}

bool WindowWriter::HasRoom() {
  const std::lock_guard lock(mutex_);
  return queue_.size() < kMaxQueued;
}

void WindowWriter::Hand(std::unique_ptr<Profile> window) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(window));
  }
  changed_.notify_one();
}

void WindowWriter::NameAhead(std::unique_ptr<const Profile> window) {
  {
    const std::lock_guard lock(mutex_);
    ahead_ = std::move(window);
  }
  changed_.notify_one();
}

void WindowWriter::Finish() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

bool WindowWriter::IsFinishing() {
  const std::lock_guard lock(mutex_);
  return finishing_;
}

void WindowWriter::Run() {
  while (true) {
    std::unique_ptr<Profile> window;
    std::unique_ptr<const Profile> ahead;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return finishing_ || !queue_.empty() || ahead_; });
      if (!queue_.empty()) {
        window = std::move(queue_.front());
        queue_.pop_front();
      } else if (finishing_) {
        return;
      } else {
        ahead = std::move(ahead_);
      }
    }
    if (ahead) {
      symbolizer_.LookUpAhead(*ahead);
      continue;
    }
    window = symbolizer_.Name(*window);
    for (ProfileSink* sink : sinks_) sink->Write(*window);
    if (!IsFinishing()) symbolizer_.UseArrived();
  }
}

}  // namespace agent
