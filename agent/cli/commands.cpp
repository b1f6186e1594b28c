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
                  {"a.folded b.pb.gz -o all.speedscope.json", "adds two up, for speedscope"}}},
                Takes::kFiles},
    CommandInfo{Command::kDump,
                "dump",
                "[FLAGS] PID",
                "Shows the stack of each thread of a process, now.",
                {{{"4711", "where a program that hangs hangs"},
                  {"--native 4711", "of Python the C functions as well"},
                  {"--json 4711", "for programs"}}},
                Takes::kProcess},
    CommandInfo{Command::kDiff,
                "diff",
                "[FLAGS] BEFORE AFTER",
                "Compares two profiles, function by function.",
                {{{"before.pb.gz after.pb.gz", "prints what has changed most"},
                  {"before.pb.gz after.pb.gz -o diff.html", "makes a page for the browser"},
                  {"--by samples a.folded b.folded", "compares counts instead of times"}}},
                Takes::kFiles},
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
    CommandInfo{Command::kDoctor,
                "doctor",
                "[--pid PID | -- PROGRAM]",
                "Says whether programs can be profiled here, what blocks it, and what cures that.",
                {{{"", "programs that `agent exec` starts"},
                  {"--pid 4711", "process 4711"},
                  {"-- ./server", "./server, which is not run for it"}}},
                Takes::kEither},
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
