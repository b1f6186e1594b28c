// SPDX-License-Identifier: Apache-2.0
// The agent's entry: from argv and the environment to a launch or an attach.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/path.h"
#include "agent/cli/command_line.h"
#include "agent/cli/delivery_settings.h"
#include "agent/cli/session.h"
#include "agent/cli/settings.h"
#include "agent/format/profile_file.h"
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
[[noreturn]] void ExecInPlace(const std::vector<std::string>& program) {
  std::vector<char*> arguments;
  arguments.reserve(program.size() + 1);
  // execvp does not change the strings.
  for (const std::string& word : program) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  const int number = errno;
  LogError("cannot run \"{}\": {}", program[0], ErrnoError("").Message());
  std::exit(number == ENOENT ? 127 : 126);
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
  plan.output = plan.settings.output;
  plan.summary = plan.settings.summary || (terminal && !plan.settings.no_logging);
  if (!plan.output.empty() || !plan.settings.servers.empty() || plan.settings.listen) {
    return true;
  }
  if (!plan.summary) return false;
  const std::string file = DefaultFile(plan.application_name);
  if (const Result<void> writable = CheckProfileFile(file)) {
    plan.output = file;
  } else {
    LogWarn("the profile is shown but not kept: {}; -o FILE says where to",
            writable.error().Message());
  }
  return true;
}

[[noreturn]] void RunExec(const CommandLine& line, SessionPlan plan) {
  if (IsSwitchedOff("PYROSCOPE_PROFILING_ENABLED") || IsSwitchedOff("PYROSCOPE_AGENT_ENABLED")) {
    ExecInPlace(line.program);
  }
  if (plan.application_name.empty()) plan.application_name = NameOfProgram(line.program);
  if (!PlanOutput(plan)) {
    LogWarn(
        "nothing is profiled, for nothing would be kept: give --server-address URL (or set "
        "PYROSCOPE_SERVER_ADDRESS), -o FILE or --summary");
    ExecInPlace(line.program);
  }
  if (plan.settings.dotnet_perf_map) ::setenv("DOTNET_PerfMapEnabled", "3", 0);
  RunLaunched(line.program, [plan](const SamplerStart& start) { return RunSession(plan, start); });
}

[[noreturn]] void RunConnect(const CommandLine& line, SessionPlan plan) {
  if (plan.application_name.empty()) {
    plan.application_name = fmt::format("pid-{}", static_cast<pid_t>(line.settings.pid));
  }
  if (!PlanOutput(plan)) {
    LogError(
        "nothing would be kept: give --server-address URL (or set PYROSCOPE_SERVER_ADDRESS), "
        "-o FILE or --summary");
    std::exit(kUsageError);
  }
  RunConnected(line.settings.pid,
               [plan](const SamplerStart& start) { return RunSession(plan, start); });
}

[[noreturn]] void Main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const Result<CommandLine> line = ParseCommandLine(arguments);
  if (!line) {
    LogError("{}", line.error().Message());
    std::exit(kUsageError);
  }
  HideSecrets(line->settings, argc, argv);
  if (!line->help.empty()) {
    [[maybe_unused]] const ssize_t written =
        ::write(STDOUT_FILENO, line->help.data(), line->help.size());
    std::exit(0);
  }
  SessionPlan plan{.settings = line->settings, .application_name = {}, .output = {}};
  ApplyEnvironment(
      line->command, line->given, [](const char* name) { return std::getenv(name); },
      plan.settings);
  ApplyIdentity([](const char* name) { return std::getenv(name); }, plan.settings);
  SetLogLevel(plan.settings.no_logging ? LogLevel::kNone : plan.settings.log_level);
  plan.application_name = plan.settings.application_name;
  if (!plan.settings.output.empty()) {
    if (const Result<void> writable = CheckProfileFile(plan.settings.output); !writable) {
      LogError("{}", writable.error().Message());
      std::exit(kUsageError);
    }
  }
  if (line->command == Command::kExec) RunExec(*line, std::move(plan));
  RunConnect(*line, std::move(plan));
}

}  // namespace
}  // namespace agent

// Without memory there is nothing left to do but end.
int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape)
  agent::Main(argc, argv);
}
