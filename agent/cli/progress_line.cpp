// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "agent/base/printable.h"
#include "agent/base/transient_line.h"
#include "agent/process/job_control.h"

namespace agent {
namespace {

constexpr std::chrono::seconds kInterval{1};

std::size_t Columns() {
  winsize size{};
  const bool is_known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : 80;
}

}  // namespace

ProgressLine::ProgressLine(std::function<std::string()> text) : text_(std::move(text)) {
  if (::isatty(STDERR_FILENO) == 1) thread_ = std::thread([this] { Run(); });
}

ProgressLine::~ProgressLine() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  ended_.notify_one();
  thread_.join();
  ClearTransientLine();
}

void ProgressLine::Run() {
  // The sampler has a session of its own: the shell knows its parent.
  const pid_t known_to_shell = ::getsid(0) == ::getpid() ? ::getppid() : ::getpid();
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kInterval, [this] { return is_ending_; })) {
    if (!IsForeground(known_to_shell, STDERR_FILENO)) continue;
    const std::string line = Printable("agent: " + text_());
    ShowTransientLine(std::string_view(line).substr(0, Columns() - 1));
  }
}

}  // namespace agent
