// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace agent {

/// Says every second, on stderr, what is being done; nothing in the first one. Only where stderr is
/// a terminal that this process may write to. Takes the line away at its end.
class ProgressLine {
 public:
  /// `text`: without the prefix "agent: "; called on a thread of its own, until the end.
  explicit ProgressLine(std::function<std::string()> text);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

 private:
  void Run();

  const std::function<std::string()> text_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace agent
