// SPDX-License-Identifier: Apache-2.0
// What is said to a .NET runtime by its diagnostics socket, and what is taken for an answer.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <thread>

#include "spies/dotnet/diagnostics_socket.h"
#include "spies/dotnet/perf_map_requests.h"
#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using namespace agent::dotnet;
using namespace agent::testing;

namespace {

constexpr std::string_view kMagic("DOTNET_IPC_V1\0", 14);
constexpr std::chrono::seconds kLongest{10};

std::vector<std::byte> Bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// `size`, command set, command and reserved, then what follows the header.
std::vector<std::byte> Answer(std::string_view head, std::string_view rest = {}) {
  return Bytes(std::string(kMagic).append(head).append(rest));
}

const std::vector<std::byte> kGood =
    Answer(std::string_view("\x18\0\xff\0\0\0", 6), std::string_view("\0\0\0\0", 4));
const std::vector<std::byte> kRefusal =
    Answer(std::string_view("\x18\0\xff\xff\0\0", 6), "\x85\x13\x13\x80");

// Listens on a socket in a folder, which is the root of "the process": this one.
class Runtime {
 public:
  Runtime() {
    std::filesystem::create_directories(folder_.path() + "/tmp");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(folder_.path() + "/tmp/socket", std::begin(address.sun_path));
    listener_.Reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
            0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
    const timeval longest{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof(longest));
  }

  [[nodiscard]] ProcessPlace Place() const {
    return {.pid = Pid{::getpid()},
            .root = UniqueFd(::open(folder_.path().c_str(), O_PATH | O_CLOEXEC)),
            .inner_pid = InnerTid{1},
            .owner = ::getuid()};
  }
  [[nodiscard]] const std::string& folder() const { return folder_.path(); }

  // Takes one request, and sends the answer byte by byte.
  void AnswerOnce(std::vector<std::byte> answer) {
    thread_ = std::jthread([this, answer = std::move(answer)] {
      const UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      request_.resize(100);
      const ssize_t size = ::recv(peer.get(), request_.data(), request_.size(), 0);
      request_.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
      for (const std::byte& byte : answer) ::send(peer.get(), &byte, 1, MSG_NOSIGNAL);
    });
  }
  const std::vector<std::byte>& Request() {
    thread_.join();
    return request_;
  }

 private:
  TemporaryFolder folder_;
  UniqueFd listener_;
  std::vector<std::byte> request_;
  std::jthread thread_;
};

Result<void> OrderNow(const ProcessPlace& place, DiagnosticsCommand command,
                      Nanoseconds longest = kLongest, const std::stop_token& stop = {}) {
  AGENT_TRY(const DiagnosticsSocket socket, OpenDiagnosticsSocket(place, "/tmp/socket"));
  return Order(socket, command, SystemClock().Now() + longest, stop);
}

Errc CodeOf(const Result<void>& result) {
  REQUIRE_FALSE(result);
  return result.error().code;
}

Errc CodeOf(const std::vector<std::byte>& answer) {
  const Result<bool> result = IsDiagnosticsSuccess(answer);
  REQUIRE_FALSE(result);
  return result.error().code;
}

}  // namespace

TEST_CASE("diagnostics socket: the requests as .NET reads them") {
  CHECK(DiagnosticsRequest(DiagnosticsCommand::kEnablePerfMap) ==
        Answer(std::string_view("\x18\0\x04\x05\0\0", 6), std::string_view("\x03\0\0\0", 4)));
  CHECK(DiagnosticsRequest(DiagnosticsCommand::kDisablePerfMap) ==
        Answer(std::string_view("\x14\0\x04\x06\0\0", 6)));
}

TEST_CASE("diagnostics socket: answers, whole and in part") {
  CHECK(IsDiagnosticsSuccess(kGood) == true);
  for (std::size_t size = 0; size < 20; ++size) {
    CHECK(IsDiagnosticsSuccess(std::span(kGood).first(size)) == false);
  }
  CHECK(CodeOf(kRefusal) == Errc::kUnsupported);
  CHECK(IsDiagnosticsSuccess(kRefusal).error().detail == "0x80131385");
  CHECK(IsDiagnosticsSuccess(std::span(kRefusal).first(23)) == false);
}

TEST_CASE("diagnostics socket: what is no answer") {
  CHECK(CodeOf(Bytes("HTTP/1.1 200 OK, and more of the same")) == Errc::kMalformed);
  CHECK(CodeOf(DiagnosticsRequest(DiagnosticsCommand::kEnablePerfMap)) == Errc::kMalformed);
  // Shorter than its own header.
  CHECK(CodeOf(Answer(std::string_view("\x13\0\xff\0\0\0", 6))) == Errc::kMalformed);
  // Of 64 KiB as it says: no more than the header is waited for.
  CHECK(IsDiagnosticsSuccess(Answer(std::string_view("\xff\xff\xff\0\0\0", 6))) == true);
  // A refusal without a reason.
  CHECK(CodeOf(Answer(std::string_view("\x14\0\xff\xff\0\0", 6))) == Errc::kUnsupported);
}

TEST_CASE("diagnostics socket: a runtime that answers, refuses, or is none") {
  Runtime runtime;
  const auto order = [&](const std::vector<std::byte>& answer) {
    runtime.AnswerOnce(answer);
    return OrderNow(runtime.Place(), DiagnosticsCommand::kEnablePerfMap);
  };
  CHECK(order(kGood));
  CHECK(runtime.Request() == DiagnosticsRequest(DiagnosticsCommand::kEnablePerfMap));
  CHECK(CodeOf(order(kRefusal)) == Errc::kUnsupported);
  CHECK(CodeOf(order(Bytes("HTTP/1.1 200 OK, and more of the same"))) == Errc::kMalformed);
  CHECK_FALSE(order(std::vector(kGood.begin(), kGood.begin() + 19)));
}

TEST_CASE("diagnostics socket: one that never answers holds up nobody") {
  const Runtime runtime;
  const auto order = [&](Nanoseconds longest, const std::stop_token& stop) {
    return CodeOf(OrderNow(runtime.Place(), DiagnosticsCommand::kEnablePerfMap, longest, stop));
  };
  CHECK(order(std::chrono::milliseconds(1), {}) == Errc::kTimeout);
  std::stop_source stop;
  stop.request_stop();
  CHECK(order(std::chrono::hours(1), stop.get_token()) == Errc::kTimeout);
  // Nor one that does not even accept any more: two wait there already.
  CHECK_FALSE(OrderNow(runtime.Place(), DiagnosticsCommand::kEnablePerfMap));
}

TEST_CASE("diagnostics socket: nothing but the process's own is spoken to") {
  const Runtime runtime;
  ProcessPlace place = runtime.Place();
  place.pid = Pid{::getppid()};
  CHECK(CodeOf(OrderNow(place, DiagnosticsCommand::kEnablePerfMap)) == Errc::kNotPermitted);
  place = runtime.Place();
  place.owner = ::getuid() + 1;
  CHECK(OpenDiagnosticsSocket(place, "/tmp/socket").error().code == Errc::kUnsupported);

  place = runtime.Place();
  CHECK_FALSE(OpenDiagnosticsSocket(place, "/tmp/other"));
  CHECK_FALSE(OpenDiagnosticsSocket(place, "/tmp"));
  const TemporaryFolder inner;
  std::filesystem::create_symlink(runtime.folder() + "/tmp", inner.path() + "/tmp");
  place.root.Reset(::open(inner.path().c_str(), O_PATH | O_CLOEXEC));
  CHECK_FALSE(OpenDiagnosticsSocket(place, "/tmp/socket"));
}

TEST_CASE("diagnostics socket: the folder for temporary files") {
  CHECK(TemporaryFolderIn("") == "/tmp/");
  CHECK(TemporaryFolderIn(std::string_view("A=1\0TMPDIR=/var/t\0B=2\0", 22)) == "/var/t/");
  CHECK(TemporaryFolderIn("TMPDIR=/var/t/") == "/var/t/");
  CHECK(TemporaryFolderIn(std::string_view("MYTMPDIR=/x\0TMPDIR=\0", 20)) == "/tmp/");
}

TEST_CASE("perf map: which runtimes are asked, by what their files say of them") {
  const auto is_asked = [](std::string_view text) {
    RuntimeLocation runtime;
    runtime.version = VersionIn(text);
    runtime.build = BuildIn(text);
    return WhyUnasked(runtime).empty();
  };
  CHECK(is_asked("@(#)Version 8.0.3126.42015 @Commit: 1219"));
  CHECK(is_asked("@(#)Version 9.0.2026.41315"));
  CHECK(is_asked("@(#)Version 11.0.26.1"));
  CHECK(is_asked("@(#)Version 10.0.1226.42308"));
  // A perf map may make these hang.
  CHECK_FALSE(is_asked("@(#)Version 10.0.1126.41000"));
  CHECK_FALSE(is_asked("@(#)Version 10.0"));
  CHECK_FALSE(is_asked("@(#)Version 10.0.x"));
  // These know no such order.
  CHECK_FALSE(is_asked("@(#)Version 7.0.2024.1"));
  CHECK_FALSE(is_asked("no version"));
}
