// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/commands.h"

#include <algorithm>

namespace agent {
namespace {

using Takes = CommandInfo::Takes;

constexpr std::array kCommands = {
    CommandInfo{
        Command::kExec,
        "exec",
        "[FLAGS] PROGRAM [ARGUMENTS...]",
        "Runs a program and profiles it.",
        {{{"python3 app.py", "shows the hottest functions at the end, and writes a file"},
          {"-o run.html ./server --port 80", "writes the whole run as a page for the browser"},
          {"--server-address http://pyroscope:4040 ./server",
           "sends a profile to the server every 10 s"}}},
        Takes::kProgram},
    CommandInfo{Command::kConnect,
                "connect",
                "[FLAGS] PID",
                "Profiles processes that run already, and leaves them as they were.",
                {{{"--duration 10s 4711", "looks at process 4711 for ten seconds"},
                  {"-o run.html 4711", "until it ends, or Ctrl-C"},
                  {"--name gunicorn", "all processes that have this in their command line"}}},
                Takes::kProcess},
    CommandInfo{Command::kReport,
                "report",
                "[FLAGS] PROFILE...",
                "Shows profiles from files, or writes them in another form.",
                {{{"run.pb.gz", "prints the hottest functions"},
                  {"run.pb.gz -o run.html", "makes a page for the browser"},
                  {"a.pb.gz b.pb.gz -o all.speedscope.json", "adds two up, for speedscope"}}},
                Takes::kFiles},
    CommandInfo{Command::kDump,
                "dump",
                "[FLAGS] PID",
                "Shows the stack of each thread of a process, now.",
                {{{"4711", "where a program that hangs hangs"},
                  {"--native 4711", "of Python the C functions as well"},
                  {"--json 4711", "for programs"}}},
                Takes::kProcess},
    CommandInfo{Command::kTop,
                "top",
                "[FLAGS] PID | -- PROGRAM [ARGUMENTS...]",
                "Shows the hottest functions of a process, live.",
                {{{"4711", "functions now and since the start; its keys are on the screen"},
                  {"-- python3 app.py", "runs a program for it, and shows its output at the end"},
                  {"4711 > log.txt", "to a file: eleven lines a second"}}},
                Takes::kEither},
    CommandInfo{Command::kDiff,
                "diff",
                "[FLAGS] BEFORE AFTER",
                "Compares two profiles, function by function.",
                {{{"before.pb.gz after.pb.gz", "prints what has changed most"},
                  {"before.pb.gz after.pb.gz -o diff.html", "makes a page for the browser"},
                  {"--by samples a.folded b.folded", "compares counts instead of times"}}},
                Takes::kFiles},
    CommandInfo{Command::kDoctor,
                "doctor",
                "[PID | -- PROGRAM]",
                "Says whether programs can be profiled here, what blocks it, and what cures that.",
                {{{"", "programs that `agent exec` starts"},
                  {"4711", "process 4711"},
                  {"-- ./server", "./server, which is not run for it"}}},
                Takes::kEither},
    CommandInfo{Command::kInstall,
                "install",
                "FILE",
                "Copies this program to FILE: for an init container that brings it into others.",
                {{{"/agent/agent", "where other containers of a pod find it"},
                  {"/usr/local/bin/agent", "for all users"},
                  {"/usr/bin/pyroscope", "under the old agent's name"}}},
                Takes::kWord},
    CommandInfo{
        Command::kVerify,
        "verify",
        "[FLAGS]",
        "Sends a small profile to the server and reads it back: what works, what was changed "
        "on the way.",
        {{{"--server-address http://pyroscope:4040", "tries that server"},
          {"", "tries the one of PYROSCOPE_SERVER_ADDRESS, with the credentials there"},
          {"--upload-format otlp --server-address http://alloy:4318", "in one format only"}}},
        Takes::kNothing},
    CommandInfo{Command::kMan,
                "man",
                "",
                "Prints the manual page.",
                {{{"> agent.1", "to read it: man ./agent.1"},
                  {"| man -l -", "to read it at once"},
                  {"| groff -man -Tutf8", "where there is no man"}}},
                Takes::kNothing},
    CommandInfo{Command::kCompletion,
                "completion",
                "SHELL",
                "Prints the script that completes commands and flags in bash, zsh or fish.",
                {{{"bash", "to use it: source <(agent completion bash)"},
                  {"zsh", "to use it: agent completion zsh > \"${fpath[1]}/_agent\""},
                  {"fish", "to use it: agent completion fish | source"}}},
                Takes::kWord},
};

}  // namespace

std::span<const CommandInfo> AllCommands() { return kCommands; }

const CommandInfo& InfoOf(Command command) {
  return *std::ranges::find(kCommands, command, &CommandInfo::command);
}

const CommandInfo* FindCommand(std::string_view name) {
  const auto found = std::ranges::find(kCommands, name, &CommandInfo::name);
  return found == kCommands.end() ? nullptr : &*found;
}

}  // namespace agent
