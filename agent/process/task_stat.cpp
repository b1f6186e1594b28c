// SPDX-License-Identifier: Apache-2.0
#include "agent/process/task_stat.h"

#include <fmt/format.h>

#include <charconv>

#include "agent/base/parse_number.h"
#include "agent/process/proc_file.h"

namespace agent {
namespace {

// Numbers between single spaces; anything else ends them.
class NumberReader {
 public:
  explicit NumberReader(std::string_view text) : text_(text) {}

  // The field's value; negative ones (pgrp, nice) as their magnitude.
  std::uint64_t Next() {
    std::uint64_t value = 0;
    if (!text_.empty() && text_.front() == '-') text_.remove_prefix(1);
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc()) {
      ok_ = false;
      return 0;
    }
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    if (!text_.empty()) text_.remove_prefix(1);
    return value;
  }
  void Skip(int fields) {
    for (int i = 0; i < fields; ++i) static_cast<void>(Next());
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  std::string_view text_;
  bool ok_ = true;
};

// The last word of the line "name:\t...".
std::string_view LastWord(std::string_view text, std::string_view name) {
  std::size_t start = text.find(name);
  if (start == std::string_view::npos) return {};
  ++start;  // names begin with the newline before
  std::string_view line = text.substr(start, text.find('\n', start) - start);
  while (line.ends_with('\t') || line.ends_with(' ')) line.remove_suffix(1);
  return line.substr(line.find_last_of("\t ") + 1);
}

}  // namespace

Result<TaskStat> ParseTaskStat(std::string_view text) {
  // The name may hold parentheses and spaces: it ends at the last ')'.
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
      close + 4 > text.size()) {
    return Fail(Errc::kMalformed, "stat without a name");
  }
  TaskStat stat;
  stat.comm = text.substr(open + 1, close - open - 1);
  stat.state = text[close + 2];
  NumberReader numbers(text.substr(close + 4));
  stat.parent = Pid{static_cast<pid_t>(numbers.Next())};  // field 4
  stat.group = static_cast<pid_t>(numbers.Next());        // 5
  numbers.Skip(1);
  stat.terminal = static_cast<std::uint32_t>(numbers.Next());  // 7
  stat.foreground_group = static_cast<pid_t>(numbers.Next());  // 8
  stat.flags = numbers.Next();                                 // 9
  numbers.Skip(12);
  stat.start_time = numbers.Next();  // 22
  numbers.Skip(3);                   // vsize rss rsslim
  stat.start_code = numbers.Next();  // 26
  numbers.Skip(1);
  stat.start_stack = numbers.Next();  // 28
  numbers.Skip(10);
  stat.cpu = static_cast<int>(numbers.Next());                 // 39
  stat.real_time_priority = static_cast<int>(numbers.Next());  // 40
  if (!numbers.ok()) return Fail(Errc::kMalformed, "stat with too few fields");
  return stat;
}

Result<TaskStat> ReadTaskStat(const std::string& folder) {
  AGENT_TRY(const std::string text, ReadProcFile(folder + "/stat"));
  return ParseTaskStat(text);
}

Result<SchedStat> ReadSchedStat(const std::string& folder) {
  AGENT_TRY(const std::string text, ReadProcFile(folder + "/schedstat"));
  return ParseSchedStat(text);
}

Result<TaskPlace> ParseTaskPlace(std::string_view status) {
  const auto process = ParseNumber<pid_t>(LastWord(status, "\nTgid:"));
  const auto parent = ParseNumber<pid_t>(LastWord(status, "\nPPid:"));
  if (!process || !parent) return Fail(Errc::kMalformed, "status without Tgid or PPid");
  // NSpid since Linux 4.1; the last one is that of the innermost namespace.
  auto inner = ParseNumber<pid_t>(LastWord(status, "\nNSpid:"));
  if (!inner) inner = ParseNumber<pid_t>(LastWord(status, "\nPid:"));
  if (!inner) return Fail(Errc::kMalformed, "status without Pid");
  return TaskPlace{Pid{*process}, Pid{*parent}, InnerTid{*inner}};
}

bool IsAlive(Pid process) {
  const Result<TaskStat> stat = ReadTaskStat(fmt::format("/proc/{}", static_cast<pid_t>(process)));
  return stat && !stat->HasEnded();
}

Result<SchedStat> ParseSchedStat(std::string_view text) {
  NumberReader numbers(text);
  SchedStat stat;
  stat.run = Nanoseconds(numbers.Next());
  stat.wait = Nanoseconds(numbers.Next());
  stat.slices = numbers.Next();
  if (!numbers.ok()) return Fail(Errc::kMalformed, "schedstat with too few fields");
  return stat;
}

Result<std::uint64_t> ParseVoluntarySwitches(std::string_view status) {
  constexpr std::string_view kField = "\nvoluntary_ctxt_switches:\t";
  const std::size_t at = status.find(kField);
  if (at == std::string_view::npos) return Fail(Errc::kMalformed, "status without switches");
  NumberReader numbers(status.substr(at + kField.size()));
  const std::uint64_t switches = numbers.Next();
  if (!numbers.ok()) return Fail(Errc::kMalformed, "status without switches");
  return switches;
}

}  // namespace agent
