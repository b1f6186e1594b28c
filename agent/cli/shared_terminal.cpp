// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/shared_terminal.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <string_view>

#include "agent/base/log.h"
#include "agent/base/write_all.h"
#include "agent/process/job_control.h"

namespace agent {
namespace {

constexpr std::string_view kEnterScreen =
    "\x1b[?1049h\x1b[?25l\x1b[?7l";  // no wrap: wide characters
constexpr std::string_view kLeaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr int kLongestDrawingMs = 200;

// Of the terminal as we found it: keys one by one, not shown.
termios Raw(termios mode) {
  mode.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  return mode;
}

bool IsSame(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::ranges::equal(a.c_cc, b.c_cc);
}

}  // namespace

Result<SharedTerminal*> SharedTerminal::Open() {
  termios mode{};
  if (::tcgetattr(STDOUT_FILENO, &mode) != 0) return nullptr;
  // In the background the kernel stops us here, by SIGTTOU (drivers/tty/tty_jobctrl.c).
  while (::tcdrain(STDOUT_FILENO) != 0) {
    if (errno == EINTR) continue;
    return Fail(Errc::kInvalid,
                "the terminal belongs to another program: start it there in the foreground, or "
                "write to a file");
  }
  if (::tcgetattr(STDOUT_FILENO, &mode) != 0) return FailErrno("tcgetattr");  // as the shell has it
  void* memory = ::mmap(nullptr, sizeof(SharedTerminal), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return FailErrno("mmap");
  auto* terminal = new (memory) SharedTerminal(mode, Raw(mode));
  if (::isatty(STDERR_FILENO) == 1) {
    CopyLogLines([terminal](std::string_view line) { terminal->Keep(line); });
  }
  return terminal;
}

TakenOutput SharedTerminal::Hooks() {
  return {.before_stop = [this](int fd) { GiveBack(fd); },
          .after_stop = [this](int) { turn_.store(kFree); },
          .at_end = [this](int fd) { GiveBack(fd); }};
}

void SharedTerminal::GiveBack(int fd) {
  int expected = kFree;
  // A sampler that was killed while it drew does not release it.
  for (int waited = 0; waited < kLongestDrawingMs; ++waited) {
    if (turn_.compare_exchange_strong(expected, kGivenBack)) break;
    expected = kFree;
    ::poll(nullptr, 0, 1);
  }
  turn_.store(kGivenBack);
  if (IsForeground(::getpid(), fd)) Leave(fd);
  ShowKept();
}

void SharedTerminal::Begin() {
  turn_.store(kFree);
  has_screen_ = false;
}

bool SharedTerminal::Take(int fd) {
  int expected = kFree;
  if (!IsForeground(::getppid(), fd) || !turn_.compare_exchange_strong(expected, kDrawing)) {
    has_screen_ = false;
    return false;
  }
  if (has_screen_) return true;
  ::tcsetattr(fd, TCSADRAIN, &raw_);
  is_shown_.store(true);
  static_cast<void>(WriteAll(fd, kEnterScreen));
  has_screen_ = true;
  return true;
}

void SharedTerminal::Release() {
  int expected = kDrawing;
  turn_.compare_exchange_strong(expected, kFree);
}

void SharedTerminal::End(int fd) {
  int expected = kFree;
  if (!turn_.compare_exchange_strong(expected, kDrawing)) return;
  // A keeper that was killed (while SIGSTOP held it) has no background: the screen is left then
  // too.
  if (IsForeground(::getppid(), fd)) Leave(fd);
  has_screen_ = false;
  ShowKept();
  Release();
}

void SharedTerminal::Keep(std::string_view line) {
  if (!is_shown_.load()) return;
  KeptLine& kept = kept_[kept_count_.fetch_add(1) % kept_.size()];
  kept.is_there.store(false);
  kept.size = std::min(line.size(), kept.text.size());
  std::ranges::copy(line.substr(0, kept.size), kept.text.begin());
  kept.text[kept.size - 1] = '\n';
  kept.is_there.store(true);
}

void SharedTerminal::ShowKept() {
  const std::size_t count = kept_count_.load();
  for (std::size_t i = count - std::min(count, kept_.size()); i != count; ++i) {
    KeptLine& kept = kept_[i % kept_.size()];
    if (!kept.is_there.exchange(false)) continue;
    static_cast<void>(WriteAll(STDERR_FILENO, std::string_view(kept.text.data(), kept.size)));
  }
}

void SharedTerminal::Leave(int fd) {
  if (is_shown_.exchange(false)) static_cast<void>(WriteAll(fd, kLeaveScreen));
  // A shell or another program has set its own meanwhile.
  termios mode{};
  if (::tcgetattr(fd, &mode) == 0 && IsSame(mode, raw_)) ::tcsetattr(fd, TCSADRAIN, &before_);
}

}  // namespace agent
