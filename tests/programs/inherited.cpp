// SPDX-License-Identifier: Apache-2.0
// Prints all that a process gets from the one that started it, a line for each thing, so that two
// ways of being started can be compared. What must differ (pids) is printed as what it stands for.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

void PrintFds() {
  for (int fd = 0; fd < 1024; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0) continue;
    std::array<char, 4096> target{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (::readlink(link.c_str(), target.data(), target.size() - 1) < 0) continue;
    std::printf("fd %d -> %s fd flags %d status flags %o\n", fd, target.data(), flags,
                static_cast<unsigned>(::fcntl(fd, F_GETFL)));
  }
}

void PrintLinesOf(const char* path, std::initializer_list<const char*> wanted) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return;
  std::array<char, 4096> line{};
  while (std::fgets(line.data(), line.size(), file) != nullptr) {
    for (const char* prefix : wanted) {
      if (std::strncmp(line.data(), prefix, std::strlen(prefix)) == 0) {
        std::printf("%s %s", path, line.data());
      }
    }
  }
  std::fclose(file);
}

void PrintEnvironment() {
  const std::string own_pid = std::to_string(::getpid());
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    const std::size_t equals = text.find('=');
    const bool is_own_pid = equals != std::string::npos && text.substr(equals + 1) == own_pid;
    std::printf("env %s\n", (is_own_pid ? text.substr(0, equals) + "=own pid" : text).c_str());
  }
}

}  // namespace

int main() {
  PrintFds();  // first: what follows opens files
  PrintLinesOf("/proc/self/status",
               {"SigBlk", "SigIgn", "SigPnd", "ShdPnd", "SigCgt", "Cap", "NoNewPrivs", "Seccomp",
                "Cpus_allowed:", "Uid", "Gid", "Groups", "Umask", "TracerPid"});
  PrintLinesOf("/proc/self/oom_score_adj", {""});
  PrintLinesOf("/proc/self/timerslack_ns", {""});
  PrintLinesOf("/proc/self/coredump_filter", {""});
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    std::printf("limit %d %lu %lu\n", resource, limit.rlim_cur, limit.rlim_max);
  }
  int subreaper = -1;
  ::prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0UL, 0UL, 0UL);
  int death_signal = -1;
  ::prctl(PR_GET_PDEATHSIG, &death_signal, 0UL, 0UL, 0UL);
  std::printf("subreaper %d, parent death signal %d, dumpable %d\n", subreaper, death_signal,
              ::prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL));
  std::printf("nice %d\n", ::getpriority(PRIO_PROCESS, 0));
  std::printf("process group %d session %d\n", ::getpgrp(), ::getsid(0));
  const int terminal = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  std::printf("terminal %s foreground %d\n", terminal >= 0 ? "yes" : "no",
              terminal >= 0 ? ::tcgetpgrp(terminal) : -1);
  std::array<char, 4096> folder{};
  std::printf("folder %s\n", ::getcwd(folder.data(), folder.size()));
  PrintEnvironment();
  return 0;
}
