// SPDX-License-Identifier: Apache-2.0
#include "tests/live/traced_program.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "agent/process/memory.h"

namespace agent::live {

std::optional<TracedProgram> TracedProgram::Start(const std::vector<std::string>& argv) {
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));  // NOLINT: exec's type
  }
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) ::_exit(127);
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::dup2(null, 2);
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(127);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  if (child < 0) return std::nullopt;
  TracedProgram program(child);
  if (!program.Await()) return std::nullopt;
  // Its children run on untraced; it dies with us.
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_EXITKILL);
  return program;
}

TracedProgram::TracedProgram(TracedProgram&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      status_(other.status_),
      stop_signal_(other.stop_signal_) {}

TracedProgram::~TracedProgram() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, __WALL);
}

bool TracedProgram::Await() {
  if (::waitpid(pid_, &status_, __WALL) != pid_ || !WIFSTOPPED(status_)) {
    pid_ = 0;
    return false;
  }
  stop_signal_ = WSTOPSIG(status_);
  return true;
}

Registers TracedProgram::ReadRegisters() const { return ReadRegistersOf(Tid{pid_}); }

bool TracedProgram::Step(int signal) {
  return ::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, signal) == 0 && Await();
}

bool TracedProgram::RunFor(int microseconds) {
  // SIGSTOP is ours, whatever else comes first belongs to the program.
  int signal = 0;
  bool asked = false;
  while (::ptrace(PTRACE_CONT, pid_, nullptr, signal) == 0) {
    if (!asked) {
      ::usleep(static_cast<useconds_t>(microseconds));
      ::syscall(SYS_tgkill, pid_, pid_, SIGSTOP);  // just this thread
      asked = true;
    }
    if (!Await()) return false;
    if (stop_signal_ == SIGSTOP) return true;
    signal = stop_signal_ == SIGTRAP ? 0 : stop_signal_;
  }
  return false;
}

Registers ReadRegistersOf(Tid tid) {
  user_regs_struct raw{};
  iovec vector{&raw, sizeof(raw)};
  ::ptrace(PTRACE_GETREGSET, static_cast<pid_t>(tid), NT_PRSTATUS, &vector);
  Registers registers;
  registers.values = {raw.rax, raw.rdx, raw.rcx, raw.rbx, raw.rsi, raw.rdi,
                      raw.rbp, raw.rsp, raw.r8,  raw.r9,  raw.r10, raw.r11,
                      raw.r12, raw.r13, raw.r14, raw.r15, raw.rip};
  return registers;
}

StackCopy CopyStack(Pid pid, std::uint64_t from, std::uint64_t size) {
  LiveMemory memory(pid);
  StackCopy copy{.start = from, .bytes = std::vector<std::byte>(size)};
  const Result<std::size_t> got = memory.ReadSome(RemoteAddress(from), copy.bytes);
  copy.bytes.resize(got.value_or(0));
  return copy;
}

}  // namespace agent::live
