// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/run_commands.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/log.h"
#include "agent/base/path.h"
#include "agent/cli/exit_status.h"
#include "agent/cli/session.h"
#include "agent/format/profile_file.h"
#include "agent/process/child_setup.h"
#include "agent/process/run_as.h"
#include "agent/process/supervision.h"
#include "uploader/labels.h"

namespace agent {
namespace {

// "python3 /srv/app.py" is app, "./server" is server.
std::string NameOfProgram(const std::vector<std::string>& program) {
  std::string_view name = BaseName(program[0]);
  if (name.starts_with("python") && program.size() > 1 && program[1].ends_with(".py")) {
    name = BaseName(program[1]);
    name.remove_suffix(3);
  }
  const std::string plain = MakeServiceName(name);
  return plain.empty() ? "program" : plain;
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

// Decides where the profile goes. False: nowhere.
bool PlanOutput(SessionPlan& plan) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const Settings& settings = plan.settings;
  const bool is_watched = settings.summary || (terminal && !settings.no_logging);
  plan.summary = is_watched && !settings.quiet;
  if (!plan.outputs.empty() || !settings.servers.empty() || settings.listen) return true;
  if (!is_watched) return false;
  const std::string file = DefaultFile(plan.application_name);
  if (const Result<void> writable = CheckProfileFile(file)) {
    plan.outputs.push_back({.path = file, .format = FileFormat::kPprof});
  } else if (!plan.summary) {
    return false;
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

SessionPlan PlanOf(const Settings& settings, const std::vector<RunFile>& outputs) {
  return {.settings = settings,
          .application_name = settings.application_name,
          .outputs = outputs,
          .command = {}};
}

}  // namespace

void RunExec(const CommandLine& line, const Settings& settings,
             const std::vector<RunFile>& outputs) {
  SessionPlan plan = PlanOf(settings, outputs);
  plan.command = line.plain;
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
  RunLaunched(line.plain, {.run_as = run_as},
              [plan](const SamplerStart& start) { return RunSession(plan, start); });
}

void RunConnect(const Settings& settings, const std::vector<RunFile>& outputs) {
  SessionPlan plan = PlanOf(settings, outputs);
  if (plan.application_name.empty()) {
    const std::optional<ProcessChoice>& choice = settings.choice;
    plan.application_name = !choice ? fmt::format("pid-{}", static_cast<pid_t>(settings.pid))
                            : choice->IsAll() ? "all-processes"
                                              : NameOfProgram({choice->wanted()});
  }
  if (!PlanOutput(plan)) {
    LogError(
        "nothing would be kept: give --server-address URL (or set PYROSCOPE_SERVER_ADDRESS), "
        "-o FILE or --summary");
    std::exit(kUsageError);
  }
  RunConnected(settings.pid, std::nullopt,
               [plan](const SamplerStart& start) { return RunSession(plan, start); });
}

}  // namespace agent
