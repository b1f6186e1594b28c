// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

namespace agent {
namespace {

constexpr std::string_view kVersion = "agent 0.1.0";

bool BelongsTo(const Option& option, Command command) {
  return option.in == Option::In::kBoth ||
         (option.in == Option::In::kExec) == (command == Command::kExec);
}

const Option* FindOption(std::string_view name, Command command) {
  if (name == "o") name = "output";
  const auto found = std::ranges::find(AllOptions(), name, &Option::name);
  return found != AllOptions().end() && BelongsTo(*found, command) ? &*found : nullptr;
}

// The words up to the program, each flag as --name=value or --name; `rest` is left at the program.
Result<std::vector<std::string>> TakeFlags(Command command, std::vector<std::string>& rest) {
  std::vector<std::string> flags;
  std::size_t used = 0;
  while (used < rest.size() && rest[used].size() > 1 && rest[used].front() == '-') {
    std::string word = rest[used++];
    if (word == "--") break;
    if (word == "-h") word = "--help";
    word.erase(0, word.starts_with("--") ? 2 : 1);
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const Option* option = FindOption(name, command);
    if (option != nullptr && equals == std::string::npos) {
      if (option->value.empty()) {
        word += "=true";
      } else if (used == rest.size()) {
        return Fail(Errc::kInvalid, "missing value", fmt::format("--{} {}", name, option->value));
      } else {
        word += "=" + rest[used++];
      }
    }
    if (option != nullptr) word.replace(0, name.size(), option->name);
    flags.push_back("--" + word);
  }
  rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(used));
  return flags;
}

struct Parser {
  CLI::App app;
  std::map<std::string, std::vector<std::string>> values;  // by option name

  explicit Parser(Command command) {
    app.set_help_flag("-h,--help", "Show this");
    for (const Option& option : AllOptions()) {
      if (!BelongsTo(option, command)) continue;
      const std::string name(option.name);
      std::string flags = "--" + name;
      if (name == "output") flags += ",-o";
      std::string help(option.help);
      if (!option.environment.empty()) help += fmt::format(" [{}]", option.environment);
      CLI::Option* added = app.add_option(flags, values[name], help);
      added->allow_extra_args(false)->type_name(std::string(option.value));
    }
  }
};

std::string Usage(Command command) {
  return command == Command::kExec
             ? "Runs a program and profiles it.\n\nUsage: agent exec [FLAGS] PROGRAM "
               "[ARGUMENTS...]\n"
             : "Profiles a process that runs already.\n\nUsage: agent connect --pid PID [FLAGS]\n";
}

std::string GeneralHelp() {
  return "agent: a sampling profiler that looks at programs from outside\n\n"
         "Usage:\n"
         "  agent exec [FLAGS] PROGRAM [ARGUMENTS...]   run a program and profile it\n"
         "  agent connect --pid PID [FLAGS]             profile a process that runs already\n"
         "  agent exec --help, agent connect --help     the flags\n"
         "  agent --version\n";
}

Result<void> ApplyFlags(const Parser& parser, CommandLine& line) {
  for (const Option& option : AllOptions()) {
    const auto found = parser.values.find(std::string(option.name));
    if (found == parser.values.end() || found->second.empty()) continue;
    line.given.emplace_back(option.name);
    for (const std::string& text : found->second) {
      if (const Result<void> applied = option.apply(line.settings, text); !applied) {
        const bool secret = option.name == "server-address" && text.find('@') != std::string::npos;
        return Fail(Errc::kInvalid, "bad value",
                    fmt::format("--{} {}: {}", option.name, secret ? "(hidden)" : text,
                                applied.error().Message()));
      }
    }
  }
  return {};
}

}  // namespace

Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  CommandLine line;
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first == "--version" || first == "-version" || first == "version") {
    line.help = fmt::format("{}\n", kVersion);
    return line;
  }
  if (first == "-h" || first == "--help" || first == "-help" || first == "help") {
    line.help = GeneralHelp();
    return line;
  }
  if (first != "exec" && first != "connect") {
    return Fail(Errc::kInvalid,
                first.empty()
                    ? "say what to do: agent exec PROGRAM, or agent connect --pid PID"
                    : "unknown command; there are: agent exec PROGRAM, agent connect --pid PID",
                first);
  }
  line.command = first == "exec" ? Command::kExec : Command::kConnect;
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  AGENT_TRY(std::vector<std::string> flags, TakeFlags(line.command, rest));
  if (line.command == Command::kConnect && !rest.empty()) {  // a bare pid, flags may follow it
    flags.push_back("--pid=" + rest.front());
    rest.erase(rest.begin());
    AGENT_TRY(const std::vector<std::string> more, TakeFlags(line.command, rest));
    flags.insert(flags.end(), more.begin(), more.end());
  }
  Parser parser(line.command);
  std::ranges::reverse(flags);  // CLI11 takes a vector from its back
  try {
    parser.app.parse(flags);
  } catch (const CLI::CallForHelp&) {
    // CLI11's own usage line does not know of the program.
    std::string help = parser.app.help();
    constexpr std::string_view kRepeats =
        " ...";  // it says so of every option that is kept in a vector
    for (std::size_t at = 0; (at = help.find(kRepeats, at)) != std::string::npos;) {
      help.erase(at, kRepeats.size());
    }
    line.help =
        Usage(line.command) + "\n" + help.substr(std::min(help.find("Options:"), help.size()));
    return line;
  } catch (const CLI::ExtrasError&) {
    const std::string unknown = fmt::format("{}", fmt::join(parser.app.remaining(), " "));
    return Fail(Errc::kInvalid, "unknown flag",
                fmt::format("{} (agent {} --help lists them)", unknown, first));
  } catch (const CLI::ParseError& error) {
    return Fail(Errc::kInvalid, "bad command line", error.what());
  }
  AGENT_CHECK_OK(ApplyFlags(parser, line));
  line.program = std::move(rest);
  if (line.command == Command::kExec && line.program.empty()) {
    return Fail(Errc::kInvalid, "no program given: agent exec [FLAGS] PROGRAM [ARGUMENTS...]");
  }
  if (line.command == Command::kConnect) {
    if (!line.program.empty()) {
      return Fail(Errc::kInvalid, "connect takes one process; not understood", line.program[0]);
    }
    if (line.settings.pid == Pid{}) {
      return Fail(Errc::kInvalid, "which process? agent connect --pid PID");
    }
  }
  return line;
}

}  // namespace agent
