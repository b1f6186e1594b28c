// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "agent/cli/shared_terminal.h"
#include "agent/profile/profile.h"
#include "agent/report/top_view.h"

namespace agent {

/// Shows a TopView: on a terminal, whose keys it takes, or as lines once a window. The view is the
/// writer's (Write) and that of a thread of its own, by turns.
class TopScreen final : public ProfileSink {
 public:
  /// `fd`: where to; `terminal`: null where that is none. Both outlive this.
  TopScreen(int fd, SharedTerminal* terminal, TopView view)
      : fd_(fd), terminal_(terminal), view_(std::move(view)) {}
  ~TopScreen() override { Finish(); }
  TopScreen(const TopScreen&) = delete;
  TopScreen& operator=(const TopScreen&) = delete;

  void Write(const Profile& window) override;
  void Start();
  /// The terminal is as it was before then.
  void Finish();
  /// The keeper is asked to end, as the user would: the program that it launched, if it did.
  void AskForTheEnd() const;

 private:
  void Run();
  bool TakeKeys();
  void Press(std::string_view keys);
  void Draw();

  const int fd_;
  SharedTerminal* const terminal_;
  const pid_t keeper_ = ::getppid();
  std::mutex mutex_;  // of view_
  TopView view_;
  bool is_closed_ = false;  // nobody reads the lines any more; the writer's
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace agent
