// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "agent/profile/profile.h"
#include "symbolizer/symbolizer.h"

namespace agent {

/// Takes finished windows from the sampling thread through the symbolizer to the sinks, on a thread
/// of its own: naming, encoding and writing never hold up a tick.
class WindowWriter {
 public:
  static constexpr std::size_t kMaxQueued = 4;

  /// All outlive the writer and are used by its thread only, until Finish.
  WindowWriter(Symbolizer& symbolizer, std::vector<ProfileSink*> sinks);
  ~WindowWriter() { Finish(); }
  WindowWriter(const WindowWriter&) = delete;
  WindowWriter& operator=(const WindowWriter&) = delete;

  /// Whether there is room for one more; if not, the window goes on growing instead.
  [[nodiscard]] bool HasRoom();
  void Hand(std::unique_ptr<Profile> window);
  /// Looks up the names of a window that is still growing, when there is nothing else to do, and
  /// keeps nothing else of it: a program's end must not wait for the tables of a large file.
  void NameAhead(std::unique_ptr<const Profile> window);
  /// Writes what is queued and ends the thread.
  void Finish();

 private:
  void Run();
  bool IsFinishing();

  Symbolizer& symbolizer_;
  std::vector<ProfileSink*> sinks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Profile>> queue_;
  std::unique_ptr<const Profile> ahead_;
  bool finishing_ = false;
  std::thread thread_;
};

}  // namespace agent
