// SPDX-License-Identifier: Apache-2.0
#include "agent/process/child_setup.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "agent/base/log.h"
#include "agent/base/unique_fd.h"

namespace agent {
namespace {

// Variables by which systemd tells a process that the others are meant for it (sd_listen_fds(3),
// sd_watchdog_enabled(3), systemd.exec(5)): ignored by any process but the one they name.
constexpr const char* kPidVariables[] = {"LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"};
// The same process by the inode of its pidfd (systemd 258); without it the pid alone counts.
constexpr const char* kPidFdVariable = "LISTEN_PIDFDID";

void RenamePid(Pid from) {
  const std::string old_pid = std::to_string(static_cast<pid_t>(from));
  const std::string own_pid = std::to_string(::getpid());
  if (old_pid == own_pid) return;
  for (const char* name : kPidVariables) {
    const char* value = ::getenv(name);
    if (value == nullptr || old_pid != value) continue;
    ::setenv(name, own_pid.c_str(), 1);
    if (std::string_view(name) == "LISTEN_PID") ::unsetenv(kPidFdVariable);
  }
}

// False: errno says why.
bool TakeHeldOutput(int held_output) {
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return nothing.valid() && ::dup2(nothing.get(), STDIN_FILENO) >= 0 &&
         ::dup2(held_output, STDOUT_FILENO) >= 0 && ::dup2(held_output, STDERR_FILENO) >= 0;
}

}  // namespace

InheritedState TakeOver() {
  InheritedState inherited;
  inherited.keeper = Pid{::getpid()};
  inherited.mask = SetSignalMask(SignalSet::All());
  inherited.sigchld_ignored = IsIgnored(SIGCHLD);
  if (inherited.sigchld_ignored) SetDisposition(SIGCHLD, SIG_DFL);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL);
  return inherited;
}

int ExecAsInherited(const std::vector<std::string>& argv, const InheritedState& inherited) {
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));  // exec does not write to them
  }
  arguments.push_back(nullptr);
  if (inherited.held_output >= 0 && !TakeHeldOutput(inherited.held_output)) return errno;
  RenamePid(inherited.keeper);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0UL, 0UL, 0UL, 0UL);
  if (inherited.sigchld_ignored) SetDisposition(SIGCHLD, SIG_IGN);
  if (inherited.run_as) {
    if (const int error = Become(*inherited.run_as); error != 0) return error;
  }
  SetSignalMask(inherited.mask);
  ::execvp(arguments[0], arguments.data());
  return errno;
}

int ReportExecFailure(const std::vector<std::string>& argv, int exec_errno) {
  LogError("cannot run \"{}\": {}", argv[0], std::strerror(exec_errno));
  return exec_errno == ENOENT ? 127 : 126;
}

}  // namespace agent
