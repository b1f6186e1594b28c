// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <utility>

namespace agent {
namespace {

constexpr std::string_view kVersion = "agent 0.1.0";

constexpr std::string_view kOutput = "output";

const Option* FindOption(std::string_view name, Command command) {
  if (name == "o") name = kOutput;
  const auto found = std::ranges::find(AllOptions(), name, &Option::name);
  return found != AllOptions().end() && found->in.Has(command) ? &*found : nullptr;
}

// How many characters must be put in, taken out or changed to make one of the other.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, change}));
    }
  }
  return row[b.size()];
}

// ", did you mean X?" for the nearest of `names`; "" when none is near.
std::string DidYouMean(std::string_view dashes, std::string_view word,
                       std::span<const std::string_view> names) {
  const auto distance = [&](std::string_view name) { return EditDistance(word, name); };
  const auto nearest = std::ranges::min_element(names, {}, distance);
  if (nearest == names.end() || distance(*nearest) > std::max<std::size_t>(1, word.size() / 3)) {
    return "";
  }
  return fmt::format(", did you mean {}{}?", dashes, *nearest);
}

std::unexpected<Error> FailUnknownFlag(const CommandInfo& info, std::string_view flag) {
  std::vector<std::string_view> names;
  for (const Option& option : AllOptions()) {
    if (option.in.Has(info.command)) names.push_back(option.name);
  }
  const std::string_view name = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  return Fail(Errc::kInvalid, "unknown flag",
              fmt::format("{}{} (agent {} --help lists them)", flag, DidYouMean("--", name, names),
                          info.name));
}

std::unexpected<Error> FailUnknownCommand(std::string_view word) {
  std::vector<std::string_view> names;
  for (const CommandInfo& info : AllCommands()) names.push_back(info.name);
  if (word.empty()) {
    return Fail(
        Errc::kInvalid,
        "say what to do: agent exec PROGRAM, or agent connect PID (agent --help lists all)");
  }
  return Fail(Errc::kInvalid, "unknown command",
              fmt::format("{}{} (there are: {})", word, DidYouMean("agent ", word, names),
                          fmt::join(names, ", ")));
}

// A command's words, told apart.
struct Words {
  std::vector<std::string> flags;    // as --name=value, or --help
  std::vector<std::string> plain;    // all others, in their order
  std::vector<std::string> program;  // with its arguments; of commands that take one
};

// The flag at the front of `rest`, with its value.
Result<std::string> TakeFlag(const CommandInfo& info, std::span<const std::string>& rest) {
  const std::string& given = rest.front();
  std::string word = given;
  rest = rest.subspan(1);
  if (word == "-h") word = "--help";
  word.erase(0, word.starts_with("--") ? 2 : 1);
  const std::size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  if (name == "help") return "--help";
  const Option* option = FindOption(name, info.command);
  if (option == nullptr) return FailUnknownFlag(info, given.substr(0, given.find('=')));
  if (equals == std::string::npos) {
    if (option->value.empty()) {
      word += "=true";
    } else if (rest.empty()) {
      return Fail(Errc::kInvalid, "missing value", fmt::format("--{} {}", name, option->value));
    } else {
      word += "=" + rest.front();
      rest = rest.subspan(1);
    }
  }
  if (word.ends_with('=') && word.size() == name.size() + 1) {  // CLI11 would take the next word
    return Fail(Errc::kInvalid, "empty value", fmt::format("--{} {}", name, option->value));
  }
  return fmt::format("--{}{}", option->name, word.substr(name.size()));
}

bool IsNumber(std::string_view word) {
  return word.find_first_not_of("0123456789") == std::string_view::npos;
}

// Flags may stand among plain words, but not behind a program's name.
Result<Words> TellApart(const CommandInfo& info, std::span<const std::string> rest) {
  Words words;
  const bool is_launch =
      info.takes == CommandInfo::Takes::kProgram || info.takes == CommandInfo::Takes::kEither;
  while (!rest.empty()) {
    const std::string& word = rest.front();
    if (word == "--") {
      rest = rest.subspan(1);
      break;
    }
    if (word.size() > 1 && word.front() == '-') {
      AGENT_TRY(std::string flag, TakeFlag(info, rest));
      words.flags.push_back(std::move(flag));
      continue;
    }
    // "top 4711" is a process; a program of such a name goes behind "--".
    const bool is_process = info.takes == CommandInfo::Takes::kEither && IsNumber(word);
    if (is_launch && !is_process) break;
    words.plain.push_back(word);
    rest = rest.subspan(1);
  }
  std::vector<std::string>& others = is_launch ? words.program : words.plain;
  others.insert(others.end(), rest.begin(), rest.end());
  return words;
}

struct Parser {
  CLI::App app;
  std::map<std::string, std::vector<std::string>> values;  // by option name

  explicit Parser(Command command) {
    app.set_help_flag("-h,--help", "Show this")->group("Help");
    for (const Option& option : AllOptions()) {
      if (!option.in.Has(command)) continue;
      const std::string name(option.name);
      std::string flags = "--" + name;
      if (name == kOutput) flags += ",-o";
      std::string help(option.help);
      if (!option.environment.empty()) help += fmt::format(" [{}]", option.environment);
      CLI::Option* added = app.add_option(flags, values[name], help);
      added->allow_extra_args(false)
          ->type_name(std::string(option.value))
          ->group(std::string(option.group));
    }
  }
};

// CLI11's own usage line does not know of the program.
std::string CommandHelp(const CommandInfo& info, const Parser& parser) {
  std::string text =
      fmt::format("{}\n\nUsage: agent {} {}\n\n", info.sentence, info.name, info.arguments);
  std::size_t width = 0;
  for (const auto& example : info.examples) width = std::max(width, example.arguments.size());
  for (const auto& example : info.examples) {
    text +=
        fmt::format("  agent {} {:<{}}  {}\n", info.name, example.arguments, width, example.effect);
  }
  std::string flags = parser.app.help();
  // It says so of every option that is kept in a vector.
  constexpr std::string_view kRepeats = " ...";
  for (std::size_t at = 0; (at = flags.find(kRepeats, at)) != std::string::npos;) {
    flags.erase(at, kRepeats.size());
  }
  return text + "\n" + flags.substr(std::min(flags.find("Help:"), flags.size()));
}

std::string GeneralHelp() {
  std::string text = "agent: a sampling profiler that looks at programs from outside\n\n";
  std::size_t width = 0;
  const auto call = [](const CommandInfo& info) {
    return fmt::format("agent {} {}", info.name, info.arguments);
  };
  for (const CommandInfo& info : AllCommands()) width = std::max(width, call(info).size());
  for (const CommandInfo& info : AllCommands()) {
    text += fmt::format("  {:<{}}  {}\n", call(info), width, info.sentence);
  }
  return text + "\nagent COMMAND --help lists a command's flags; agent --version.\n";
}

Result<void> ApplyFlags(const Parser& parser, CommandLine& line) {
  for (const Option& option : AllOptions()) {
    const auto found = parser.values.find(std::string(option.name));
    if (found == parser.values.end() || found->second.empty()) continue;
    line.given.emplace_back(option.name);
    for (const std::string& text : found->second) {
      if (const Result<void> applied = option.apply(line.settings, text); !applied) {
        // An address may hold a password.
        const bool secret = option.is_secret || text.find('@') != std::string::npos;
        return Fail(Errc::kInvalid, "bad value",
                    fmt::format("--{} {}: {}", option.name, secret ? "(hidden)" : text,
                                applied.error().Message()));
      }
    }
  }
  return {};
}

// The names must say the format, unless a flag does.
Result<void> CheckOutputs(const Settings& settings) {
  if (settings.format && settings.outputs.empty()) {
    return Fail(Errc::kInvalid, "--format says how, -o FILE must say where");
  }
  if (settings.format) return {};
  for (const std::string& path : settings.outputs) {
    if (const auto format = ProfileFileFormat(path); !format) {
      return Fail(Errc::kInvalid, "bad value",
                  fmt::format("--output {}: {}", path, format.error().Message()));
    }
  }
  return {};
}

// A bare pid.
Result<void> TakeProcess(std::vector<std::string> plain, CommandLine& line) {
  if (!plain.empty() && line.settings.pid == Pid{}) {
    const Option& pid = *FindOption("pid", line.command);
    if (!pid.apply(line.settings, plain.front())) {
      return Fail(Errc::kInvalid, "not the number of a process", plain.front());
    }
    plain.erase(plain.begin());
  }
  if (!plain.empty()) return Fail(Errc::kInvalid, "one process only; not understood", plain[0]);
  return {};
}

// A process, a program, or neither: `doctor` has an answer to that as well.
Result<void> TakeEither(const CommandInfo& info, Words words, CommandLine& line) {
  AGENT_CHECK_OK(TakeProcess(std::move(words.plain), line));
  line.plain = std::move(words.program);
  const bool has_process = line.settings.pid != Pid{};
  if (!line.plain.empty() && has_process) {
    return Fail(Errc::kInvalid, "a process or a program, not both", line.plain[0]);
  }
  if (line.plain.empty() && !has_process && info.command == Command::kTop) {
    return Fail(Errc::kInvalid, "no process given, and no program",
                fmt::format("agent {} {}", info.name, info.arguments));
  }
  return {};
}

Result<void> TakePlain(const CommandInfo& info, Words words, CommandLine& line) {
  std::vector<std::string>& plain = words.plain;
  switch (info.takes) {
    case CommandInfo::Takes::kProgram:
      line.plain = std::move(words.program);
      if (!line.plain.empty()) return {};
      return Fail(Errc::kInvalid, "no program given",
                  fmt::format("agent {} {}", info.name, info.arguments));
    case CommandInfo::Takes::kProcess:
      AGENT_CHECK_OK(TakeProcess(std::move(plain), line));
      if (line.settings.choice && line.settings.pid != Pid{}) {
        return Fail(Errc::kInvalid, "either a pid or --name, --container, --all");
      }
      if (line.settings.choice || line.settings.pid != Pid{}) return {};
      return Fail(Errc::kInvalid, "no process given",
                  fmt::format("agent {} {}", info.name, info.arguments));
    case CommandInfo::Takes::kWord:
      line.plain = std::move(plain);
      if (line.plain.size() == 1) return {};
      return Fail(Errc::kInvalid, "one word was expected",
                  fmt::format("agent {} {}", info.name, info.arguments));
    case CommandInfo::Takes::kNothing:
      if (plain.empty()) return {};
      return Fail(Errc::kInvalid, "not understood", plain.front());
    case CommandInfo::Takes::kFiles:
      line.plain = std::move(plain);
      if (info.command == Command::kDiff ? line.plain.size() == 2 : !line.plain.empty()) return {};
      return Fail(Errc::kInvalid, "no files given",
                  fmt::format("agent {} {}", info.name, info.arguments));
    case CommandInfo::Takes::kEither:
      return TakeEither(info, std::move(words), line);
  }
  std::unreachable();
}

}  // namespace

Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments, bool as_pyroscope) {
  CommandLine line;
  line.settings.as_pyroscope = as_pyroscope;
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first == "--version" || first == "-version" || first == "version") {
    line.help = fmt::format("{}\n", kVersion);
    return line;
  }
  if (first == "-h" || first == "--help" || first == "-help" || first == "help") {
    line.help = GeneralHelp();
    return line;
  }
  const CommandInfo* info = FindCommand(first);
  if (info == nullptr) return FailUnknownCommand(first);
  line.command = info->command;
  AGENT_TRY(Words words, TellApart(*info, std::span(arguments).subspan(1)));
  Parser parser(line.command);
  std::ranges::reverse(words.flags);  // CLI11 takes a vector from its back
  try {
    parser.app.parse(words.flags);
  } catch (const CLI::CallForHelp&) {
    line.help = CommandHelp(*info, parser);
    return line;
  } catch (const CLI::ParseError& error) {
    return Fail(Errc::kInvalid, "bad command line", error.what());
  }
  AGENT_CHECK_OK(ApplyFlags(parser, line));
  AGENT_CHECK_OK(CheckOutputs(line.settings));
  AGENT_CHECK_OK(TakePlain(*info, std::move(words), line));
  return line;
}

}  // namespace agent
