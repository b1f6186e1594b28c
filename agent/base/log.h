// SPDX-License-Identifier: Apache-2.0
// The agent's own lines: to stderr, one write(2) each, with the prefix "agent: ". Nothing of ours
// ever goes to stdout. Safe from every thread and in a forked child.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace agent {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kNone };

/// "debug", "info", "warn" or "warning", "error", "none".
[[nodiscard]] std::optional<LogLevel> ParseLogLevel(std::string_view name);

/// Lines below `level` are not written. What log.cpp keeps is the only mutable global of the agent.
/// Default kWarn.
void SetLogLevel(LogLevel level);
[[nodiscard]] bool LogEnabled(LogLevel level);

/// Writes one line if `level` is on. Control characters in `text` are written as \xNN, so that a
/// hostile name cannot drive the terminal.
void LogLine(LogLevel level, std::string_view text);
/// Each line that is logged from now on goes to `copy`, too, from whatever thread or forked child.
/// Once, before there are others.
void CopyLogLines(std::function<void(std::string_view line)> copy);

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kDebug)) {
    LogLine(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kInfo)) {
    LogLine(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void LogWarn(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kWarn)) {
    LogLine(LogLevel::kWarn, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kError)) {
    LogLine(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
  }
}

}  // namespace agent
