// SPDX-License-Identifier: Apache-2.0
// The agent's entry: from argv and the environment to a launch or an attach.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/path.h"
#include "agent/base/write_all.h"
#include "agent/cli/command_line.h"
#include "agent/cli/delivery_settings.h"
#include "agent/cli/doctor.h"
#include "agent/cli/dump_command.h"
#include "agent/cli/exit_status.h"
#include "agent/cli/install.h"
#include "agent/cli/report_command.h"
#include "agent/cli/run_commands.h"
#include "agent/cli/settings.h"
#include "agent/cli/shell_help.h"
#include "agent/cli/top_command.h"
#include "agent/cli/verify_command.h"
#include "agent/format/profile_file.h"

namespace agent {
namespace {

// CheckOutputs has seen the names.
std::vector<RunFile> OutputsOf(const Settings& settings) {
  std::vector<RunFile> files;
  for (const std::string& path : settings.outputs) {
    const Result<FileFormat> by_name = ProfileFileFormat(path);
    files.push_back(
        {.path = path, .format = settings.format.value_or(by_name.value_or(FileFormat::kPprof))});
  }
  return files;
}

// Names of our descriptors, which the sampler has let go of.
bool IsOwnDescriptor(std::string_view path) {
  return path == "/dev/stdout" || path == "/dev/stderr" || path == "/dev/stdin" ||
         path.starts_with("/dev/fd/") || path.starts_with("/proc/self/fd/");
}

// What the old agent's name stands for.
void ApplyOldDefaults(Settings& settings) {
  if (settings.as_pyroscope && settings.servers.empty() && settings.outputs.empty()) {
    settings.servers.emplace_back("http://localhost:4040");
  }
}

[[noreturn]] void PrintAndExit(std::string_view text) {
  std::exit(WriteAll(STDOUT_FILENO, text) || errno == EPIPE ? 0 : kFailed);
}

[[noreturn]] void Main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const bool as_pyroscope = argc > 0 && BaseName(argv[0]) == "pyroscope";
  const Result<CommandLine> line = ParseCommandLine(arguments, as_pyroscope);
  if (!line) {
    LogError("{}", line.error().Message());
    std::exit(kUsageError);
  }
  HideSecrets(line->settings, argc, argv);
  if (!line->help.empty()) PrintAndExit(line->help);
  Settings settings = line->settings;
  const GetEnvironment get_environment = [](const char* name) { return std::getenv(name); };
  ApplyEnvironment(line->command, line->given, get_environment, settings);
  ApplyIdentity(get_environment, settings);
  ApplyOldDefaults(settings);
  SetLogLevel(settings.no_logging ? LogLevel::kNone : settings.log_level);
  for (const std::string_view name : WithoutEffect(line->command, line->given, get_environment)) {
    LogDebug("{} has no effect any more", name);
  }
  const std::vector<RunFile> outputs = OutputsOf(settings);
  for (const RunFile& file : outputs) {
    if (kSampling.Has(line->command) && IsOwnDescriptor(file.path)) {
      LogError("{} is the program's own: give a file to write the profile to", file.path);
      std::exit(kUsageError);
    }
    if (const Result<void> writable = CheckProfileFile(file.path); !writable) {
      LogError("{}", writable.error().Message());
      std::exit(kUsageError);
    }
  }
  switch (line->command) {
    case Command::kExec:
      RunExec(*line, settings, outputs);
    case Command::kConnect:
      RunConnect(settings, outputs);
    case Command::kDump:
      RunDump(settings);
    case Command::kTop:
      RunTop(settings, line->plain);
    case Command::kReport:
      std::exit(RunReport(line->plain, settings, outputs));
    case Command::kVerify:
      std::exit(RunVerify(settings));
    case Command::kDiff:
      std::exit(RunDiff(line->plain, settings, outputs));
    case Command::kDoctor:
      std::exit(RunDoctor({.pid = settings.pid, .program = line->plain}));
    case Command::kMan:
      PrintAndExit(ManPage());
    case Command::kCompletion: {
      const Result<std::string> script = Completion(line->plain.front());
      if (script) PrintAndExit(*script);
      LogError("{}", script.error().Message());
      std::exit(kUsageError);
    }
    case Command::kInstall:
      if (const Result<void> installed = Install(line->plain.front()); !installed) {
        LogError("not installed: {}", installed.error().Message());
        std::exit(kFailed);
      }
      std::exit(0);
  }
  std::unreachable();
}

}  // namespace
}  // namespace agent

// Without memory there is nothing left to do but end.
int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape)
  agent::Main(argc, argv);
}
