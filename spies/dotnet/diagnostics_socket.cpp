// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/diagnostics_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/base/byte_reader.h"
#include "agent/process/live_process.h"
#include "agent/process/proc_file.h"
#include "agent/process/root_open.h"
#include "agent/process/task_stat.h"

namespace agent::dotnet {
namespace {

constexpr std::array<char, 14> kMagic = {'D', 'O', 'T', 'N', 'E', 'T', '_',
                                         'I', 'P', 'C', '_', 'V', '1', '\0'};
constexpr std::uint8_t kProcessCommands = 4;
constexpr std::uint8_t kAnswers = 0xff;
constexpr std::uint8_t kRefused = 0xff;
constexpr std::uint32_t kMapOnly = 3;  // of PerfMapType, vm/perfmap.h
constexpr std::size_t kMostEnvironment = 4u << 20;
// How long a wait goes on after it need not any more.
constexpr std::chrono::milliseconds kLook{20};

struct Header {
  std::array<char, 14> magic;
  std::uint16_t size;  // with the header
  std::uint8_t commands;
  std::uint8_t command;
  std::uint16_t reserved;
};
static_assert(sizeof(Header) == 20);
constexpr std::size_t kLongestAnswer = sizeof(Header) + sizeof(std::uint32_t);

Result<UniqueFd> Connect(const DiagnosticsSocket& socket) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return FailErrno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string self = fmt::format("/proc/self/fd/{}", socket.path.get());
  std::ranges::copy(self, std::begin(address.sun_path));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return FailErrno("connect");
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return FailErrno("getsockopt");
  }
  if (Pid{peer.pid} != socket.process || peer.uid != socket.owner) {
    return Fail(Errc::kNotPermitted, "another process listens there");
  }
  return fd;
}

// Until something has come.
Result<void> Await(const UniqueFd& fd, MonotonicTime deadline, const std::stop_token& stop) {
  while (true) {
    const MonotonicTime now = SystemClock().Now();
    if (now >= deadline || stop.stop_requested()) return Fail(Errc::kTimeout, "no answer in time");
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
    pollfd wait{.fd = fd.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::min(left, kLook).count()));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return FailErrno("poll");
  }
}

}  // namespace

Result<ProcessPlace> PlaceOf(Pid process) {
  const std::string folder = fmt::format("/proc/{}", static_cast<pid_t>(process));
  struct stat info{};
  if (::stat(folder.c_str(), &info) != 0) return FailErrno("stat", folder);
  AGENT_TRY(const std::string status, ReadProcFile(folder + "/status"));
  AGENT_TRY(const TaskPlace task, ParseTaskPlace(status));
  AGENT_TRY(UniqueFd root, LiveProcess(process).OpenRoot());
  return ProcessPlace{
      .pid = process, .root = std::move(root), .inner_pid = task.inner_tid, .owner = info.st_uid};
}

std::string TemporaryFolderIn(std::string_view environment) {
  constexpr std::string_view kName = "TMPDIR=";
  while (!environment.empty()) {
    const std::size_t end = std::min(environment.find('\0'), environment.size());
    std::string_view word = environment.substr(0, end);
    environment.remove_prefix(std::min(end + 1, environment.size()));
    if (!word.starts_with(kName)) continue;
    word.remove_prefix(kName.size());
    if (word.empty()) break;
    return fmt::format("{}{}", word, word.ends_with('/') ? "" : "/");
  }
  return "/tmp/";
}

Result<DiagnosticsSocket> FindDiagnosticsSocket(const ProcessPlace& place) {
  const std::string folder = fmt::format("/proc/{}", static_cast<pid_t>(place.pid));
  AGENT_TRY(const TaskStat stat, ReadTaskStat(folder));
  AGENT_TRY(const std::string environment, ReadProcFile(folder + "/environ", kMostEnvironment));
  return OpenDiagnosticsSocket(
      place, fmt::format("{}dotnet-diagnostic-{}-{}-socket", TemporaryFolderIn(environment),
                         static_cast<pid_t>(place.inner_pid), stat.start_time));
}

Result<DiagnosticsSocket> OpenDiagnosticsSocket(const ProcessPlace& place,
                                                const std::string& path) {
  Result<UniqueFd> found = FindInRoot(place.root, path);
  if (!found) return Fail(Errc::kUnsupported, "it has no diagnostics socket");
  struct stat info{};
  if (::fstat(found->get(), &info) != 0) return FailErrno("fstat");
  if (!S_ISSOCK(info.st_mode) || info.st_uid != place.owner) {
    return Fail(Errc::kUnsupported, "its diagnostics socket is not its own");
  }
  return DiagnosticsSocket{.path = *std::move(found), .process = place.pid, .owner = place.owner};
}

std::vector<std::byte> DiagnosticsRequest(DiagnosticsCommand command) {
  const bool has_type = command == DiagnosticsCommand::kEnablePerfMap;
  std::vector<std::byte> request(sizeof(Header) + (has_type ? sizeof(kMapOnly) : 0));
  const Header header{.magic = kMagic,
                      .size = static_cast<std::uint16_t>(request.size()),
                      .commands = kProcessCommands,
                      .command = static_cast<std::uint8_t>(command),
                      .reserved = 0};
  std::memcpy(request.data(), &header, sizeof(header));
  if (has_type) std::memcpy(&request[sizeof(header)], &kMapOnly, sizeof(kMapOnly));
  return request;
}

Result<bool> IsDiagnosticsSuccess(std::span<const std::byte> answer) {
  ByteReader reader(answer);
  const auto header = reader.Read<Header>();
  if (!reader.ok()) return false;
  if (header.magic != kMagic || header.size < sizeof(Header) || header.commands != kAnswers) {
    return Fail(Errc::kMalformed, "what answered is no .NET runtime");
  }
  if (header.command != kRefused) return true;
  const auto code = reader.Read<std::uint32_t>();
  if (!reader.ok() && header.size >= kLongestAnswer) return false;
  return Fail(Errc::kUnsupported, "its runtime refuses to", fmt::format("{:#x}", code));
}

Result<void> Order(const DiagnosticsSocket& socket, DiagnosticsCommand command,
                   MonotonicTime deadline, const std::stop_token& stop) {
  AGENT_TRY(const UniqueFd fd, Connect(socket));
  const std::vector<std::byte> request = DiagnosticsRequest(command);
  const ssize_t sent = ::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent < 0) return FailErrno("send");
  if (static_cast<std::size_t>(sent) != request.size()) return Fail(Errc::kSystem, "send");
  std::array<std::byte, kLongestAnswer> answer{};
  std::size_t size = 0;
  while (true) {
    AGENT_TRY(const bool done, IsDiagnosticsSuccess(std::span(answer).first(size)));
    if (done) return {};
    AGENT_CHECK_OK(Await(fd, deadline, stop));
    const ssize_t count = ::recv(fd.get(), &answer[size], answer.size() - size, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (count < 0) return FailErrno("recv");
    if (count == 0) return Fail(Errc::kMalformed, "its runtime gives no answer");
    size += static_cast<std::size_t>(count);
  }
}

}  // namespace agent::dotnet
