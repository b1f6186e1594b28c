// SPDX-License-Identifier: Apache-2.0
#include "agent/report/stack_dump.h"

#include <fmt/format.h>

#include <string_view>

#include "agent/format/json.h"
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

}  // namespace

std::string FormatStackDump(const RunFacts& facts, std::span<const ThreadStack> threads) {
  std::string text = fmt::format("process {}: {}\n", static_cast<pid_t>(facts.pid),
                                 Printable(fmt::format("{}", fmt::join(facts.command, " "))));
  if (!facts.runtimes.empty()) text += Joined(facts.runtimes) + "\n";
  for (const ThreadStack& thread : threads) {
    text += fmt::format("\nthread {} \"{}\", {}\n", static_cast<pid_t>(thread.tid),
                        Printable(thread.name), StateText(thread.state));
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
    list += fmt::format(R"({}{{"tid":{},"name":{},"state":{},"frames":[{}]}})",
                        list.empty() ? "" : ",\n", static_cast<pid_t>(thread.tid),
                        JsonString(thread.name), JsonString(std::string(1, thread.state)), frames);
  }
  std::string command;
  for (const std::string& word : facts.command) {
    command += fmt::format("{}{}", command.empty() ? "" : ",", JsonString(word));
  }
  return fmt::format("{{\"pid\":{},\"command\":[{}],\"runtimes\":{},\"threads\":[\n{}]}}\n",
                     static_cast<pid_t>(facts.pid), command, JsonString(Joined(facts.runtimes)),
                     list);
}

}  // namespace agent
