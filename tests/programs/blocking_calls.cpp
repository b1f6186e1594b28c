// SPDX-License-Identifier: Apache-2.0
// Threads that run and block in turn, each in another system call that a stop may interrupt
// (signal(7), "Interruption of system calls and library functions by stop signals").
// usage: blocking_calls SECONDS. Prints one line per call: its name, how often it was made, how
// often it gave EINTR or less than it should have, and status 1 if any did.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr long kTimeout = 3;  // milliseconds
constexpr timespec kTimespec{0, kTimeout * 1'000'000};
constexpr timeval kTimeval{0, kTimeout * 1'000};

int to_remove = -1;  // semaphores outlive their process

struct Call {
  std::string name;
  /// Blocks for some milliseconds. False: it was interrupted.
  std::function<bool()> make;
  long made = 0;
  long interrupted = 0;
};

bool NotInterrupted(long result) { return result >= 0 || errno != EINTR; }

std::array<int, 2> SocketPair() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) std::abort();
  for (const int fd : pair) {
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kTimeval, sizeof(kTimeval));
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kTimeval, sizeof(kTimeval));
  }
  return pair;
}

// Full, so that a send blocks.
int FullSocket() {
  const std::array<int, 2> pair = SocketPair();
  std::array<char, 4096> bytes{};
  while (::send(pair[0], bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
  }
  return pair[0];
}

int Listener() {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Abstract: of this process alone, and gone with it.
  std::snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "blocking-calls-%d",
                ::getpid());
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd, 1) != 0) {
    std::abort();
  }
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kTimeval, sizeof(kTimeval));
  return fd;
}

int PeriodicTimer() {
  const int fd = ::timerfd_create(CLOCK_MONOTONIC, 0);
  const itimerspec period{kTimespec, kTimespec};
  ::timerfd_settime(fd, 0, &period, nullptr);
  return fd;
}

std::vector<Call> Calls() {
  std::vector<Call> calls;
  const auto add = [&](const char* name, std::function<bool()> make) {
    calls.push_back({.name = name, .make = std::move(make)});
  };
  const int epoll = ::epoll_create1(0);
  add("epoll_wait", [epoll] {
    epoll_event event{};
    return NotInterrupted(::epoll_wait(epoll, &event, 1, kTimeout));
  });
  add("epoll_pwait", [epoll] {
    epoll_event event{};
    return NotInterrupted(::epoll_pwait(epoll, &event, 1, kTimeout, nullptr));
  });
  add("epoll_pwait2", [epoll] {
    epoll_event event{};
    return NotInterrupted(::syscall(SYS_epoll_pwait2, epoll, &event, 1, &kTimespec, nullptr, 0));
  });
  const int empty = SocketPair()[0];
  add("recv with SO_RCVTIMEO", [empty] {
    char byte = 0;
    return NotInterrupted(::recv(empty, &byte, 1, 0));
  });
  add("recvmsg with SO_RCVTIMEO", [empty] {
    char byte = 0;
    iovec vector{&byte, 1};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    return NotInterrupted(::recvmsg(empty, &message, 0));
  });
  add("read with SO_RCVTIMEO", [empty] {
    char byte = 0;
    return NotInterrupted(::read(empty, &byte, 1));
  });
  const int full = FullSocket();
  add("send with SO_SNDTIMEO", [full] {
    const char byte = 0;
    return NotInterrupted(::send(full, &byte, 1, MSG_NOSIGNAL));
  });
  add("write with SO_SNDTIMEO", [full] {
    const char byte = 0;
    return NotInterrupted(::write(full, &byte, 1));
  });
  const int listener = Listener();
  add("accept with SO_RCVTIMEO",
      [listener] { return NotInterrupted(::accept(listener, nullptr, nullptr)); });
  add("rt_sigtimedwait", [] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return NotInterrupted(::sigtimedwait(&set, nullptr, &kTimespec));
  });
  const int semaphore = ::semget(IPC_PRIVATE, 1, 0600);
  add("semtimedop", [semaphore] {
    sembuf operation{0, -1, 0};
    return NotInterrupted(::semtimedop(semaphore, &operation, 1, &kTimespec));
  });
  to_remove = semaphore;
  add("nanosleep", [] { return NotInterrupted(::nanosleep(&kTimespec, nullptr)); });
  add("clock_nanosleep",
      [] { return ::clock_nanosleep(CLOCK_MONOTONIC, 0, &kTimespec, nullptr) != EINTR; });
  add("poll", [] { return NotInterrupted(::poll(nullptr, 0, kTimeout)); });
  add("ppoll", [] { return NotInterrupted(::ppoll(nullptr, 0, &kTimespec, nullptr)); });
  add("select", [] {
    timeval timeout = kTimeval;
    return NotInterrupted(::select(0, nullptr, nullptr, nullptr, &timeout));
  });
  add("pselect",
      [] { return NotInterrupted(::pselect(0, nullptr, nullptr, nullptr, &kTimespec, nullptr)); });
  add("futex", [] {
    static int word = 0;
    return NotInterrupted(
        ::syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &kTimespec, nullptr, 0));
  });
  const int timer = PeriodicTimer();
  add("read of a timerfd", [timer] {
    std::uint64_t expirations = 0;
    return ::read(timer, &expirations, sizeof(expirations)) == sizeof(expirations);
  });
  return calls;
}

}  // namespace

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  const auto end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(argc > 1 ? std::atof(argv[1]) : 3));
  std::vector<Call> calls = Calls();
  std::vector<std::thread> threads;
  for (Call& call : calls) {
    threads.emplace_back([&call, end] {
      // Blocks at ever other times after it ran, so that stops hit the moment in between.
      for (unsigned i = 0; Clock::now() < end; ++i) {
        const auto until = Clock::now() + std::chrono::microseconds(i * 7 % 400);
        while (Clock::now() < until) {
        }
        ++call.made;
        if (!call.make()) ++call.interrupted;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  long interrupted = 0;
  for (const Call& call : calls) {
    std::printf("%s: %ld calls, %ld interrupted\n", call.name.c_str(), call.made, call.interrupted);
    interrupted += call.interrupted;
  }
  ::semctl(to_remove, 0, IPC_RMID);
  return interrupted == 0 ? 0 : 1;
}
