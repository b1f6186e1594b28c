// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/top_command.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/write_all.h"
#include "agent/cli/session_facts.h"
#include "agent/cli/spy_set.h"
#include "agent/report/printable.h"
#include "agent/report/top_view.h"
#include "agent/sampling/sampler.h"
#include "agent/sampling/window_writer.h"

namespace agent {
namespace {

constexpr std::chrono::seconds kWindow{1};
constexpr double kRate = 100;
constexpr std::size_t kPlainFunctions = 10;
constexpr int kRedrawMilliseconds = 250;

constexpr std::string_view kEnterScreen = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeaveScreen = "\x1b[?25h\x1b[?1049l";

std::optional<termios> terminal_before;

void EnterScreen(int fd) {
  termios mode = *terminal_before;
  mode.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  mode.c_cc[VSUSP] = _POSIX_VDISABLE;  // the shell would get the terminal as it is now
  ::tcsetattr(fd, TCSADRAIN, &mode);
  static_cast<void>(WriteAll(fd, kEnterScreen));
}

void LeaveScreen(int fd) {
  static_cast<void>(WriteAll(fd, kLeaveScreen));
  ::tcsetattr(fd, TCSADRAIN, &*terminal_before);
}

// The view, its terminal and the keys: the sink is called from the writer's thread, the rest is on
// one of its own.
class Screen final : public ProfileSink {
 public:
  Screen(int fd, TopView view)
      : fd_(fd), is_terminal_(terminal_before.has_value()), view_(std::move(view)) {}
  ~Screen() override { Finish(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void Write(const Profile& window) override {
    const std::lock_guard lock(mutex_);
    view_.Add(window);
    if (!is_terminal_ && !WriteAll(fd_, view_.PlainLines(kPlainFunctions))) AskForTheEnd();
  }

  void Start() {
    if (!is_terminal_) return;
    EnterScreen(fd_);
    thread_ = std::thread([this] { Run(); });
  }

  void Finish() {
    ending_ = true;
    if (!thread_.joinable()) return;
    thread_.join();
    LeaveScreen(fd_);
  }

 private:
  // The keeper is asked, as the user would.
  void AskForTheEnd() const {
    if (::getppid() == keeper_) ::kill(keeper_, SIGTERM);
  }

  void Run() {
    while (!ending_) {
      Draw();
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, kRedrawMilliseconds) <= 0) continue;
      std::array<char, 64> keys;  // NOLINT: read fills it
      const ssize_t count = ::read(fd_, keys.data(), keys.size());
      if (count <= 0) {  // the terminal is gone, or cannot be read from
        AskForTheEnd();
        return;
      }
      const std::lock_guard lock(mutex_);
      Press(std::string_view(keys.data(), static_cast<std::size_t>(count)));
      if (view_.wants_to_quit()) AskForTheEnd();
    }
  }

  void Press(std::string_view keys) {
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

  void Draw() {
    winsize size{};
    if (::ioctl(fd_, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) size = {24, 80, 0, 0};
    std::string text = "\x1b[H";
    {
      const std::lock_guard lock(mutex_);
      const TopView::Picture picture = view_.Draw(size.ws_row, size.ws_col);
      for (std::size_t i = 0; i < picture.lines.size(); ++i) {
        if (i > 0) text += "\r\n";
        text += picture.selected == i ? fmt::format("\x1b[7m{}\x1b[0m\x1b[K", picture.lines[i])
                                      : fmt::format("{}\x1b[K", picture.lines[i]);
      }
    }
    text += "\x1b[J";
    if (!WriteAll(fd_, text)) AskForTheEnd();
  }

  const int fd_;
  const pid_t keeper_ = ::getppid();
  const bool is_terminal_;
  std::mutex mutex_;
  TopView view_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

std::string TitleOf(const RunFacts& facts) {
  std::string command;
  for (const std::string& word : facts.command) {
    command += fmt::format("{}{}", command.empty() ? "" : " ", word);
  }
  return fmt::format("{} {}", static_cast<pid_t>(facts.pid), Fitted(command, 40));
}

}  // namespace

void SaveTerminal() {
  termios mode{};
  if (::tcgetattr(STDOUT_FILENO, &mode) == 0) terminal_before = mode;
}

void RestoreTerminal(int output) {
  termios mode{};
  if (!terminal_before || ::tcgetattr(output, &mode) != 0 || (mode.c_lflag & ICANON) != 0) return;
  LeaveScreen(output);
}

int RunTop(const Settings& settings, const SamplerStart& start) {
  SpySet spies(settings);
  const SessionFacts facts(start, "", {});
  const double rate = settings.sample_rate.value_or(kRate);
  Screen screen(start.output,
                TopView(TitleOf(facts.at_start()), spies.functions().Marker("[other stacks]")));
  WindowWriter writer(spies.symbolizer(), {&screen});
  Sampler sampler({.period = Nanoseconds(static_cast<std::int64_t>(1e9 / rate)),
                   .upload_interval = kWindow,
                   .duration = settings.duration,
                   .follow_children = settings.detect_subprocesses},
                  start, spies.factories(), spies.functions(), writer);
  if (const Result<void> attached = sampler.AttachFirst(); !attached) {
    LogError("cannot look into process {}: {}", static_cast<pid_t>(start.target),
             attached.error().Message());
    return 1;
  }
  screen.Start();
  std::thread([&] { static_cast<void>(sampler.Run()); }).join();
  writer.Finish();
  screen.Finish();
  return 0;
}

}  // namespace agent
