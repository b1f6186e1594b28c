// SPDX-License-Identifier: Apache-2.0
#include "agent/report/stack_dump.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "agent/format/json.h"
#include "agent/report/facts_json.h"
#include "agent/report/printable.h"

namespace agent {
namespace {

std::string_view StateText(char state) {
  switch (state) {
    case 'R':
      return "running";
    case 'S':
      return "sleeping";
    case 'D':
      return "waiting in the kernel, not to be interrupted";
    case 'T':
      return "stopped";
    case 't':
      return "held by a debugger";
    case 'Z':
    case 'X':
      return "ended";
    default:
      return "in another state";
  }
}

std::string Joined(const std::vector<RuntimeFacts>& runtimes) {
  std::string text;
  for (const RuntimeFacts& runtime : runtimes) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", runtime.name);
  }
  return text;
}

std::string FrameText(const Frame& frame) {
  const Function& function = *frame.function;
  std::string text = Printable(function.name);
  if (!function.file.empty()) {
    text += frame.line > 0 ? fmt::format(" ({}:{})", Printable(function.file), frame.line)
                           : fmt::format(" ({})", Printable(function.file));
  }
  return text;
}

std::string WaitText(const ThreadWait& wait) {
  switch (wait.kind) {
    case ThreadWait::Kind::kNothing:
      return "";
    case ThreadWait::Kind::kSystemCall:
      return fmt::format(", waits in {}{}{}", wait.call, wait.file.empty() ? "" : " of ",
                         wait.file);
    case ThreadWait::Kind::kLock:
      return ", waits for a lock or a condition";
    case ThreadWait::Kind::kGil:
      return ", waits for the GIL";
  }
  std::unreachable();
}

std::string WaitJson(const ThreadWait& wait) {
  std::string_view kind;
  switch (wait.kind) {
    case ThreadWait::Kind::kNothing:
      return "null";
    case ThreadWait::Kind::kSystemCall:
      kind = "call";
      break;
    case ThreadWait::Kind::kLock:
      kind = "lock";
      break;
    case ThreadWait::Kind::kGil:
      kind = "gil";
      break;
  }
  return fmt::format(R"({{"for":{},"call":{},"file":{}}})", JsonString(kind), JsonString(wait.call),
                     wait.file.empty() ? "null" : JsonString(wait.file));
}

}  // namespace

std::string FormatStackDump(const RunFacts& facts, std::span<const ThreadStack> threads) {
  std::string text = fmt::format("process {}: {}\n", static_cast<pid_t>(facts.pid),
                                 Printable(fmt::format("{}", fmt::join(facts.command, " "))));
  if (!facts.runtimes.empty()) text += Joined(facts.runtimes) + "\n";
  for (const ThreadStack& thread : threads) {
    text += fmt::format("\nthread {} \"{}\", {}{}\n", static_cast<pid_t>(thread.tid),
                        Printable(thread.name), StateText(thread.state),
                        Printable(WaitText(thread.wait)));
    for (const Frame& frame : thread.stack) {
      text += fmt::format("    {}\n", FrameText(frame));
    }
    if (thread.stack.empty()) text += "    (its stack could not be read)\n";
  }
  return text;
}

std::string StackDumpJson(const RunFacts& facts, std::span<const ThreadStack> threads) {
  std::string list;
  for (const ThreadStack& thread : threads) {
    std::string frames;
    for (const Frame& frame : thread.stack) {
      frames += fmt::format(R"({}{{"name":{},"file":{},"line":{}}})", frames.empty() ? "" : ",",
                            JsonString(frame.function->name), JsonString(frame.function->file),
                            frame.line > 0 ? fmt::format("{}", frame.line) : "null");
    }
    list += fmt::format(R"({}{{"tid":{},"name":{},"state":{},"wait":{},"frames":[{}]}})",
                        list.empty() ? "" : ",\n", static_cast<pid_t>(thread.tid),
                        JsonString(thread.name), JsonString(std::string(1, thread.state)),
                        WaitJson(thread.wait), frames);
  }
  std::string command;
  for (const std::string& word : facts.command) {
    command += fmt::format("{}{}", command.empty() ? "" : ",", JsonString(word));
  }
  const auto seconds = [](Nanoseconds time) { return static_cast<double>(time.count()) / 1e9; };
  return fmt::format(
      R"({{"pid":{},"command":[{}],"runtimes":{},"pauses":{{"count":{},"total":{:.9f},"max":{:.9f}}},"threads":[)"
      "\n{}]}}\n",
      static_cast<pid_t>(facts.pid), command, RuntimesJson(facts.runtimes), facts.pauses.count,
      seconds(facts.pauses.total), seconds(facts.pauses.max), list);
}

}  // namespace agent
