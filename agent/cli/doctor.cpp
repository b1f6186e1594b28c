// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/doctor.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string_view>

#include "agent/base/write_all.h"
#include "agent/process/capabilities.h"
#include "agent/process/rights.h"
#include "agent/process/thread_start.h"

namespace agent {
namespace {

constexpr std::string_view kSubjectOfFile = "the program's file";

// A process such as exec starts: our child, of our ids.
class WaitingChild {
 public:
  WaitingChild() : pid_(::fork()) {
    if (pid_ == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  ~WaitingChild() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  WaitingChild(const WaitingChild&) = delete;
  WaitingChild& operator=(const WaitingChild&) = delete;
  [[nodiscard]] Pid pid() const { return Pid{pid_}; }

 private:
  pid_t pid_;
};

// As execvp finds it; "" when it does not.
std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  const char* variable = std::getenv("PATH");
  std::string_view folders = variable != nullptr ? variable : "/bin:/usr/bin";
  while (!folders.empty()) {
    const std::size_t end = std::min(folders.find(':'), folders.size());
    const std::string path = fmt::format("{}/{}", folders.substr(0, end), name);
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
        ::access(path.c_str(), X_OK) == 0) {
      return path;
    }
    folders.remove_prefix(std::min(end + 1, folders.size()));
  }
  return "";
}

// What makes a process that only CAP_SYS_PTRACE may look into (execve(2)).
RightsLine JudgeFile(const std::string& name) {
  RightsLine line{std::string(kSubjectOfFile), true, "", {}};
  line.found = FindProgram(name);
  if (line.found.empty()) {
    line.ok = false;
    line.found = fmt::format("there is no program \"{}\" to run", name);
    return line;
  }
  struct stat info{};
  if (::stat(line.found.c_str(), &info) != 0) return line;
  const bool changes_user = ((info.st_mode & S_ISUID) != 0 && info.st_uid != ::geteuid()) ||
                            ((info.st_mode & S_ISGID) != 0 && info.st_gid != ::getegid());
  const bool has_capabilities =
      ::getxattr(line.found.c_str(), "security.capability", nullptr, 0) > 0;
  const bool unreadable = ::access(line.found.c_str(), R_OK) != 0;
  if (HasPtraceCapability() || (!changes_user && !has_capabilities && !unreadable)) return line;
  line.ok = false;
  line.found += unreadable         ? " cannot be read by its user"
                : has_capabilities ? " has capabilities of its own (setcap)"
                                   : " is set-uid or set-gid";
  line.cure = {
      .dockerfile = fmt::format("RUN chmod {} {}", unreadable ? "a+r" : "ug-s", FindProgram(name)),
      .docker_run = "--cap-add SYS_PTRACE",
      .compose = "cap_add: [SYS_PTRACE]",
      .pod = "securityContext: {capabilities: {add: [SYS_PTRACE]}}",
      .elsewhere = "run the agent as root"};
  return line;
}

std::string Describe(const RightsLine& line) {
  std::string text =
      fmt::format("{:<8}{}: {}\n", line.ok ? "ok" : "BLOCKS", line.subject, line.found);
  if (line.ok) return text;
  const RightsLine::Cure& cure = line.cure;
  for (const auto& [where, what] :
       {std::pair<std::string_view, const std::string&>{"Dockerfile", cure.dockerfile},
        {"docker run", cure.docker_run},
        {"compose", cure.compose},
        {"pod", cure.pod},
        {"elsewhere", cure.elsewhere}}) {
    if (!what.empty()) text += fmt::format("        {:<12}{}\n", where, what);
  }
  return text;
}

}  // namespace

int RunDoctor(const DoctorPlan& plan) {
  std::optional<WaitingChild> child;
  if (plan.pid == Pid{}) child.emplace();
  std::string text;
  bool works = false;
  if (const Result<void> threads = EnsureThreadsStart(); !threads) {
    text = Describe({"threads", false, threads.error().Message(), {}});
  } else if (const Result<RightsFacts> facts = GatherRights(child ? child->pid() : plan.pid)) {
    RightsReport report = JudgeRights(*facts);
    works = report.works;
    if (!plan.program.empty()) {
      report.lines.push_back(JudgeFile(plan.program[0]));
      works = works && report.lines.back().ok;
    }
    for (const RightsLine& line : report.lines) text += Describe(line);
  } else {
    text = Describe(
        {"/proc",
         false,
         facts.error().code == Errc::kGone ? "there is no such process" : facts.error().Message(),
         {}});
  }
  text += works ? "sampling works\n" : "sampling does not work\n";
  static_cast<void>(WriteAll(STDOUT_FILENO, text));
  return works ? 0 : 1;
}

}  // namespace agent
