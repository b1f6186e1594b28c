// SPDX-License-Identifier: Apache-2.0
// The agent's entry: from argv and the environment to a launch or an attach.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
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
#include "agent/cli/install.h"
#include "agent/cli/report_command.h"
#include "agent/cli/session.h"
#include "agent/cli/settings.h"
#include "agent/cli/shell_help.h"
#include "agent/cli/top_command.h"
#include "agent/cli/verify_command.h"
#include "agent/format/profile_file.h"
#include "agent/process/child_setup.h"
#include "agent/process/run_as.h"
#include "agent/process/supervision.h"
#include "uploader/labels.h"

namespace agent {
namespace {

// As env, timeout and docker say that they themselves failed; 126 and 127 are exec's.
constexpr int kUsageError = 125;

// "python3 /srv/app.py" is app, "./server" is server.
std::string NameOfProgram(const std::vector<std::string>& program) {
  std::string name(BaseName(program[0]));
  if (name.starts_with("python") && program.size() > 1 && program[1].ends_with(".py")) {
    name = BaseName(program[1]);
    name.resize(name.size() - 3);
  }
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '.' || c == '_' || c == '-';
    if (!plain) c = '_';
  }
  return name.empty() ? "program" : name;
}

std::string DefaultFile(const std::string& application) {
  const time_t now = ::time(nullptr);
  tm parts{};
  ::localtime_r(&now, &parts);
  return fmt::format("{}-{:04}{:02}{:02}-{:02}{:02}{:02}.pb.gz", application, parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

// The program in our place, as if we had not been called.
[[noreturn]] void ExecInPlace(const std::vector<std::string>& program,
                              const std::optional<RunAs>& run_as) {
  if (run_as) {
    if (const int error = Become(*run_as); error != 0) {
      std::exit(ReportExecFailure(program, error));
    }
  }
  std::vector<char*> arguments;
  arguments.reserve(program.size() + 1);
  // execvp does not change the strings.
  for (const std::string& word : program) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  std::exit(ReportExecFailure(program, errno));
}

bool IsSwitchedOff(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return false;
  const std::string_view text = value;
  return text == "false" || text == "0";
}

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

// Decides where the profile goes. False: nowhere.
bool PlanOutput(SessionPlan& plan) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  plan.summary = plan.settings.summary || (terminal && !plan.settings.no_logging);
  const Settings& settings = plan.settings;
  if (!plan.outputs.empty() || !settings.servers.empty() || settings.listen) return true;
  if (!plan.summary) return false;
  const std::string file = DefaultFile(plan.application_name);
  if (const Result<void> writable = CheckProfileFile(file)) {
    plan.outputs.push_back({.path = file, .format = FileFormat::kPprof});
  } else {
    LogWarn("the profile is shown but not kept: {}; -o FILE says where to",
            writable.error().Message());
  }
  return true;
}

// Whom the settings say the program shall run as. Ends where that cannot be.
std::optional<RunAs> PlanRunAs(const Settings& settings) {
  if (settings.user_name.empty() && settings.group_name.empty()) return std::nullopt;
  Result<RunAs> run_as = FindRunAs(settings.user_name, settings.group_name);
  Result<void> possible;
  if (run_as) possible = CheckRunAs(*run_as);
  if (run_as && possible) return *std::move(run_as);
  LogError("--user-name, --group-name: {}",
           run_as ? possible.error().Message() : run_as.error().Message());
  std::exit(kUsageError);
}

// The sampler may become that user as well (FollowsProgram): the files must be his to write.
void CheckFilesAs(const RunAs& run_as, const std::vector<RunFile>& files) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (Become(run_as) != 0) ::_exit(0);  // it stays what it is, then
    for (const RunFile& file : files) {
      const Result<void> writable = CheckProfileFile(file.path);
      if (writable) continue;
      LogError("--user-name, --group-name: {}", writable.error().Message());
      ::_exit(kUsageError);
    }
    ::_exit(0);
  }
  int status = 0;
  if (child > 0 && ::waitpid(child, &status, 0) == child && status != 0) std::exit(kUsageError);
}

[[noreturn]] void RunExec(const CommandLine& line, SessionPlan plan) {
  const std::optional<RunAs> run_as = PlanRunAs(plan.settings);
  if (run_as && FollowsProgram() && !plan.outputs.empty()) CheckFilesAs(*run_as, plan.outputs);
  if (IsSwitchedOff("PYROSCOPE_PROFILING_ENABLED") || IsSwitchedOff("PYROSCOPE_AGENT_ENABLED")) {
    ExecInPlace(line.plain, run_as);
  }
  if (plan.application_name.empty()) plan.application_name = NameOfProgram(line.plain);
  if (!PlanOutput(plan)) {
    LogWarn(
        "nothing is profiled, for nothing would be kept: give --server-address URL (or set "
        "PYROSCOPE_SERVER_ADDRESS), -o FILE or --summary");
    ExecInPlace(line.plain, run_as);
  }
  if (plan.settings.dotnet_perf_map) ::setenv("DOTNET_PerfMapEnabled", "3", 0);
  RunLaunched(line.plain, run_as,
              [plan](const SamplerStart& start) { return RunSession(plan, start); });
}

[[noreturn]] void RunConnect(const CommandLine& line, SessionPlan plan) {
  if (plan.application_name.empty()) {
    const std::optional<ProcessChoice>& choice = line.settings.choice;
    plan.application_name = !choice ? fmt::format("pid-{}", static_cast<pid_t>(line.settings.pid))
                            : choice->IsAll() ? "all-processes"
                                              : NameOfProgram({choice->wanted()});
  }
  if (!PlanOutput(plan)) {
    LogError(
        "nothing would be kept: give --server-address URL (or set PYROSCOPE_SERVER_ADDRESS), "
        "-o FILE or --summary");
    std::exit(kUsageError);
  }
  RunConnected(line.settings.pid, {},
               [plan](const SamplerStart& start) { return RunSession(plan, start); });
}

// What the old agent's name stands for.
void ApplyOldDefaults(Settings& settings) {
  if (settings.as_pyroscope && settings.servers.empty() && settings.outputs.empty()) {
    settings.servers.emplace_back("http://localhost:4040");
  }
}

[[noreturn]] void PrintAndExit(std::string_view text) {
  std::exit(WriteAll(STDOUT_FILENO, text) || errno == EPIPE ? 0 : 1);
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
    case Command::kConnect: {
      SessionPlan plan{.settings = settings,
                       .application_name = settings.application_name,
                       .outputs = outputs,
                       .command = line->plain};
      if (line->command == Command::kExec) RunExec(*line, std::move(plan));
      RunConnect(*line, std::move(plan));
    }
    case Command::kDump:
      RunConnected(settings.pid, {.keep_output = true},
                   [settings](const SamplerStart& start) { return RunDump(settings, start); });
    case Command::kTop:
      SaveTerminal();
      RunConnected(settings.pid, {.keep_output = true, .at_end = RestoreTerminal},
                   [settings](const SamplerStart& start) { return RunTop(settings, start); });
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
        std::exit(1);
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
