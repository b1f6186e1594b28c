// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/shell_help.h"

#include <fmt/format.h>

#include "agent/cli/commands.h"
#include "agent/cli/settings.h"

namespace agent {
namespace {

// roff takes a backslash, and a line that begins with a dot or an apostrophe, for itself.
std::string Roff(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      escaped += c;
    }
  }
  if (escaped.starts_with('.') || escaped.starts_with('\'')) escaped.insert(0, "\\&");
  return escaped;
}

// For '...' of a shell.
std::string Quoted(std::string_view text, std::string_view quote) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'') {
      escaped += quote;
    } else {
      escaped += c;
    }
  }
  return "'" + escaped + "'";
}

std::string NamesOfCommands() {
  std::string names;
  for (const CommandInfo& info : AllCommands()) {
    names += fmt::format("{}{}", names.empty() ? "" : " ", info.name);
  }
  return names;
}

std::string FlagsOf(Command command) {
  std::string flags = "--help";
  for (const Option& option : AllOptions()) {
    if (option.in.Has(command)) flags += fmt::format(" --{}", option.name);
  }
  return flags;
}

std::string BashCompletion() {
  std::string cases;
  for (const CommandInfo& info : AllCommands()) {
    cases += fmt::format("    {}) flags='{}' ;;\n", info.name, FlagsOf(info.command));
  }
  return fmt::format(R"(# bash completion of agent: source <(agent completion bash)
_agent() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} flags=
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W '{}' -- "$word")
    return
  fi
  case ${{COMP_WORDS[1]}} in
{}  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word"; [ "${{COMP_WORDS[1]}}" != exec ] || compgen -c -- "$word")
  fi
}}
complete -F _agent agent pyroscope
)",
                     NamesOfCommands(), cases);
}

std::string ZshCompletion() {
  std::string commands;
  std::string cases;
  for (const CommandInfo& info : AllCommands()) {
    commands +=
        fmt::format("    {}\n", Quoted(fmt::format("{}:{}", info.name, info.sentence), "'\\''"));
    cases += fmt::format("    {}) flags=({}) ;;\n", info.name, FlagsOf(info.command));
  }
  return fmt::format(R"(#compdef agent pyroscope
# zsh completion of agent: agent completion zsh > "${{fpath[1]}}/_agent"
_agent() {{
  local -a commands flags
  commands=(
{}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
{}  esac
  if [[ $words[CURRENT] == -* ]]; then
    compadd -a flags
  else
    _files
    [[ $words[2] != exec ]] || _command_names -e
  fi
}}
_agent "$@"
)",
                     commands, cases);
}

std::string FishCompletion() {
  std::string text = "# fish completion of agent: agent completion fish | source\n";
  for (const CommandInfo& info : AllCommands()) {
    text += fmt::format("complete -c agent -n __fish_use_subcommand -f -a {} -d {}\n", info.name,
                        Quoted(info.sentence, "\\'"));
    for (const Option& option : AllOptions()) {
      if (!option.in.Has(info.command)) continue;
      text += fmt::format("complete -c agent -n '__fish_seen_subcommand_from {}' -l {}{} -d {}\n",
                          info.name, option.name, option.value.empty() ? "" : " -r",
                          Quoted(option.help, "\\'"));
    }
  }
  return text;
}

std::string ManCommand(const CommandInfo& info) {
  std::string text = fmt::format(".SS agent {} {}\n{}\n.nf\n", Roff(info.name),
                                 Roff(info.arguments), Roff(info.sentence));
  for (const auto& example : info.examples) {
    text += fmt::format("    agent {} {}\n        {}\n", Roff(info.name), Roff(example.arguments),
                        Roff(example.effect));
  }
  return text + ".fi\n";
}

std::string ManOption(const Option& option) {
  std::string commands;
  for (const CommandInfo& info : AllCommands()) {
    if (!option.in.Has(info.command)) continue;
    commands += fmt::format("{}{}", commands.empty() ? "" : ", ", info.name);
  }
  std::string text = fmt::format(".TP\n.BI \\-\\-{} \" {}\"\n{}\n", Roff(option.name),
                                 Roff(option.value), Roff(option.help));
  if (!option.environment.empty()) text += fmt::format("(environment: {})\n", option.environment);
  return text + fmt::format("Of: {}.\n", commands);
}

}  // namespace

std::string ManPage() {
  std::string text =
      ".TH AGENT 1\n.SH NAME\nagent \\- a sampling profiler that looks at programs from outside\n"
      ".SH SYNOPSIS\n";
  for (const CommandInfo& info : AllCommands()) {
    text += fmt::format(".B agent {}\n{}\n.br\n", Roff(info.name), Roff(info.arguments));
  }
  text += ".SH COMMANDS\n";
  for (const CommandInfo& info : AllCommands()) text += ManCommand(info);
  text += ".SH OPTIONS\n";
  std::string_view group;
  for (const Option& option : AllOptions()) {
    if (option.group != group) text += fmt::format(".SS {}\n", Roff(option.group));
    group = option.group;
    text += ManOption(option);
  }
  return text +
         ".SH EXIT STATUS\nOf exec and top \\-\\- PROGRAM the program's own; 127 and 126 where it "
         "cannot be run. 125 when "
         "the command line is wrong, 1 when a command cannot do what it was asked for.\n";
}

Result<std::string> Completion(std::string_view shell) {
  if (shell == "bash") return BashCompletion();
  if (shell == "zsh") return ZshCompletion();
  if (shell == "fish") return FishCompletion();
  return Fail(Errc::kInvalid, "there are completions for bash, zsh and fish, not for",
              std::string(shell));
}

}  // namespace agent
