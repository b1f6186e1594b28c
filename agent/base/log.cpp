// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <utility>

#include "agent/base/printable.h"
#include "agent/base/transient_line.h"

namespace agent {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kWarn};
std::atomic<bool> g_has_transient{false};
std::function<void(std::string_view)> g_copy;

constexpr std::string_view kClearLine = "\r\x1b[K";

// A full stderr (a pipe that nobody reads) must not hold us up: without room the line is dropped. A
// closed one gives EPIPE: every process of ours ignores or blocks SIGPIPE.
void Write(std::string_view line) {
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warn" || name == "warning") return LogLevel::kWarn;
  if (name == "error") return LogLevel::kError;
  if (name == "none") return LogLevel::kNone;
  return std::nullopt;
}

void SetLogLevel(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }

bool LogEnabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void LogLine(LogLevel level, std::string_view text) {
  if (!LogEnabled(level)) return;
  std::string line(g_has_transient.exchange(false) ? kClearLine : "");
  line += "agent: " + Printable(text) + "\n";
  Write(line);
  if (g_copy) g_copy(line);
}

void CopyLogLines(std::function<void(std::string_view line)> copy) { g_copy = std::move(copy); }

void ShowTransientLine(std::string_view text) {
  const bool had_one = g_has_transient.exchange(!text.empty());
  if (had_one || !text.empty()) Write(std::string(kClearLine).append(text));
}

}  // namespace agent
