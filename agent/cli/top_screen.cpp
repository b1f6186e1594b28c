// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/top_screen.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

#include <array>
#include <string>

#include "agent/base/write_all.h"

namespace agent {
namespace {

constexpr std::size_t kPlainFunctions = 10;
constexpr int kRedrawMilliseconds = 250;
constexpr int kAwayMilliseconds = 100;  // between two looks whether the terminal is ours again

}  // namespace

void TopScreen::Write(const Profile& window) {
  const std::lock_guard lock(mutex_);
  view_.Add(window);
  if (terminal_ != nullptr || is_closed_ || WriteAll(fd_, view_.PlainLines(kPlainFunctions)))
    return;
  // Once: being asked to end, the keeper has the window so far written, which comes here again.
  is_closed_ = true;
  AskForTheEnd();
}

void TopScreen::Start() {
  if (terminal_ == nullptr) return;
  terminal_->Begin();
  thread_ = std::thread([this] { Run(); });
}

void TopScreen::Finish() {
  ending_ = true;
  if (!thread_.joinable()) return;
  thread_.join();
  terminal_->End(fd_);
}

void TopScreen::AskForTheEnd() const {
  if (::getppid() == keeper_) ::kill(keeper_, SIGTERM);
}

void TopScreen::Run() {
  while (!ending_) {
    if (!terminal_->Take(fd_)) {
      ::poll(nullptr, 0, kAwayMilliseconds);
      continue;
    }
    const bool goes_on = TakeKeys();
    Draw();
    terminal_->Release();
    if (!goes_on) {
      AskForTheEnd();
      return;
    }
    pollfd ready{fd_, POLLIN, 0};
    ::poll(&ready, 1, kRedrawMilliseconds);
  }
}

// False: the terminal is gone, or cannot be read from.
bool TopScreen::TakeKeys() {
  pollfd ready{fd_, POLLIN, 0};
  if (::poll(&ready, 1, 0) <= 0) return true;
  std::array<char, 64> keys;  // NOLINT: read fills it
  const ssize_t count = ::read(fd_, keys.data(), keys.size());
  if (count <= 0) return false;
  const std::lock_guard lock(mutex_);
  Press(std::string_view(keys.data(), static_cast<std::size_t>(count)));
  // A program that was launched may take its time to end, or not do it at all: it stays on the
  // screen.
  if (view_.TakeQuit()) AskForTheEnd();
  return true;
}

void TopScreen::Press(std::string_view keys) {
  using Key = TopView::Key;
  while (!keys.empty()) {
    std::size_t used = 1;
    if (keys.starts_with("\x1b[A") || keys.starts_with("\x1bOA")) {
      view_.Press(Key::kUp);
      used = 3;
    } else if (keys.starts_with("\x1b[B") || keys.starts_with("\x1bOB")) {
      view_.Press(Key::kDown);
      used = 3;
    } else if (keys.front() == '\x1b') {
      view_.Press(Key::kEscape);
      used = keys.size();  // some other key's sequence
    } else if (keys.front() == '\r' || keys.front() == '\n') {
      view_.Press(Key::kEnter);
    } else if (keys.front() == '\x7f' || keys.front() == '\b') {
      view_.Press(Key::kBackspace);
    } else if (static_cast<unsigned char>(keys.front()) >= ' ') {
      view_.Press(Key::kCharacter, keys.front());
    }
    keys.remove_prefix(used);
  }
}

void TopScreen::Draw() {
  winsize size{};
  if (::ioctl(fd_, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) size = {24, 80, 0, 0};
  std::string text = "\x1b[H";
  {
    const std::lock_guard lock(mutex_);
    const TopView::Picture picture = view_.Draw(size.ws_row, size.ws_col);
    for (std::size_t i = 0; i < picture.lines.size(); ++i) {
      if (i > 0) text += "\r\n";
      // Erased first: behind a full line the cursor stands on its last character.
      text += picture.selected == i ? fmt::format("\x1b[K\x1b[7m{}\x1b[0m", picture.lines[i])
                                    : fmt::format("\x1b[K{}", picture.lines[i]);
    }
  }
  text += "\x1b[J";
  static_cast<void>(WriteAll(fd_, text));  // TakeKeys sees a terminal that is gone
}

}  // namespace agent
