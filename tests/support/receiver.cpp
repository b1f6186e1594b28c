// SPDX-License-Identifier: Apache-2.0
// A Pyroscope server for tests: takes profiles on the paths of the real one, by its rules, answers
// as it does, and shows faults on demand.
//
// usage: receiver [--host ADDRESS] [--port N] [--tls-cert FILE --tls-key FILE]
//                 [--fault KIND [--fault-count N]]
//
// Prints "listening PORT". KIND: refuse (the connection is reset), hang (no answer), cut (half an
// answer), lost (the profile is taken, the answer is lost), drip (an answer that never ends),
// slow:MS (an answer after MS milliseconds), redirect, page (a web page, with status 200), or a
// status such as 429 or 500. --fault-count: for the first N requests only (default: for all).
//
// GET /test/received: every push request as a JSON array. POST /test/fault?kind=KIND&count=N: from
// now on; no kind: none.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "tests/support/receiver_rules.h"
#include "tests/support/receiver_state.h"

#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#include <httplib.h>

namespace {

using nlohmann::json;
using receiver::State;
using receiver::Verdict;

constexpr std::size_t kMaxBody = 256u << 20;

std::int64_t UnixNanoseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

std::string CodeOf(int status) {
  switch (status) {
    case 401:
      return "unauthenticated";
    case 403:
      return "permission_denied";
    case 404:
      return "unimplemented";
    case 429:
      return "resource_exhausted";
    case 500:
      return "internal";
    case 503:
      return "unavailable";
    case 504:
      return "deadline_exceeded";
    default:
      return "invalid_argument";
  }
}

void AnswerError(int status, const std::string& code, const std::string& message,
                 httplib::Response& response) {
  response.status = status;
  response.set_content(json{{"code", code}, {"message", message}}.dump(), "application/json");
}

// httplib does not tell which socket a request came by: it is the one whose peer has this port.
void ResetConnection(int port) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    const auto* in4 = reinterpret_cast<const sockaddr_in*>(&peer);
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&peer);
    if (ntohs(peer.ss_family == AF_INET6 ? in6->sin6_port : in4->sin_port) != port) continue;
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::shutdown(fd, SHUT_RDWR);
  }
}

void Drip(httplib::Response& response) {
  response.set_chunked_content_provider(
      "application/proto", [](std::size_t, httplib::DataSink& sink) {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return sink.write("x", 1);
      });
}

void Cut(httplib::Response& response) {
  response.set_content_provider(1000, "application/proto",
                                [](std::size_t, std::size_t, httplib::DataSink& sink) {
                                  sink.write("half", 4);
                                  return false;
                                });
}

bool IsSlow(const std::string& fault) { return fault == "slow" || fault.starts_with("slow:"); }

// True if the request has got its answer.
bool ShowFault(const std::string& fault, State& state, const httplib::Request& request,
               httplib::Response& response) {
  if (fault.empty() || fault == "lost") return false;
  if (IsSlow(fault)) {
    const int ms = fault == "slow" ? 2000 : std::atoi(fault.c_str() + 5);
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    return false;
  }
  if (fault == "refuse") {
    ResetConnection(request.remote_port);
  } else if (fault == "hang") {
    state.Hang();
    ResetConnection(request.remote_port);
  } else if (fault == "cut") {
    Cut(response);
  } else if (fault == "drip") {
    Drip(response);
  } else if (fault == "redirect") {
    response.status = 302;
    response.set_header("Location", "http://elsewhere.invalid/");
  } else if (fault == "page") {
    response.set_content("<html>Welcome</html>", "text/html");
  } else {
    const int status = std::atoi(fault.c_str());
    if (status == 429) response.set_header("Retry-After", "1");
    AnswerError(status, CodeOf(status), "this is the test fault " + fault, response);
  }
  return true;
}

json Describe(const httplib::Request& request, const std::string& fault) {
  const auto* body = reinterpret_cast<const Bytef*>(request.body.data());
  return {{"path", request.path},
          {"fault", fault},
          {"crc", ::crc32(0, body, static_cast<uInt>(request.body.size()))},
          {"user_agent", request.get_header_value("User-Agent")},
          {"content_type", request.get_header_value("Content-Type")},
          {"content_encoding", request.get_header_value("Content-Encoding")},
          {"authorization", request.get_header_value("Authorization")},
          {"at_ns", UnixNanoseconds()}};
}

Verdict Push(const httplib::Request& request) {
  Verdict verdict;
  if (request.has_header("Expect")) {
    verdict = {.status = 417, .code = "invalid_argument", .message = "Expect", .profiles = {}};
  } else if (request.get_header_value("Content-Type") != "application/proto") {
    verdict = {.status = 415, .code = "", .message = "Content-Type", .profiles = {}};
  } else {
    verdict = receiver::JudgePush(request.body, UnixNanoseconds());
  }
  return verdict;
}

Verdict Ingest(const httplib::Request& request) {
  const std::string name = request.get_param_value("name");
  if (request.has_header("Content-Encoding")) {
    return {
        .status = 422, .code = "invalid_argument", .message = "Content-Encoding", .profiles = {}};
  }
  if (request.is_multipart_form_data() || request.get_param_value("format") == "pprof") {
    if (request.is_multipart_form_data() && !request.has_file("profile")) {
      return {.status = 422, .code = "invalid_argument", .message = "no file", .profiles = {}};
    }
    return receiver::JudgeIngestPprof(
        name,
        request.is_multipart_form_data() ? request.get_file_value("profile").content : request.body,
        UnixNanoseconds());
  }
  const int rate = std::atoi(request.get_param_value("sampleRate").c_str());
  return receiver::JudgeIngestFolded(name, request.body,
                                     std::atoll(request.get_param_value("from").c_str()),
                                     rate > 0 ? rate : 100);
}

void Serve(httplib::Server& server, State& state) {
  const auto handle = [&state](Verdict (*judge)(const httplib::Request&), const char* type) {
    return [&state, judge, type](const httplib::Request& request, httplib::Response& response) {
      const std::string fault = state.TakeFault();
      const bool goes_on = fault.empty() || fault == "lost" || fault.starts_with("slow:");
      if (!goes_on) state.Record(Describe(request, fault));
      if (ShowFault(fault, state, request, response)) return;
      const Verdict verdict = judge(request);
      state.Record(Describe(request, fault), verdict);
      if (fault == "lost") ResetConnection(request.remote_port);
      if (verdict.status != 200) {
        AnswerError(verdict.status, verdict.code, verdict.message, response);
      } else {
        response.set_content("", type);
      }
    };
  };
  // A path prefix, as behind a proxy, is taken too.
  server.Post(R"((/prefix)?/push\.v1\.PusherService/Push)", handle(Push, "application/proto"));
  server.Post(R"((/prefix)?(/pyroscope)?/ingest)", handle(Ingest, "text/plain"));
  server.Get(R"((/prefix)?(/push\.v1\.PusherService/Push|(/pyroscope)?/ingest))",
             [](const httplib::Request&, httplib::Response& response) { response.status = 405; });
  server.Get("/test/received", [&state](const httplib::Request&, httplib::Response& response) {
    response.set_content(state.Received(), "application/json");
  });
  server.Post("/test/fault", [&state](const httplib::Request& request, httplib::Response&) {
    const std::string count = request.get_param_value("count");
    state.SetFault(request.get_param_value("kind"), count.empty() ? -1 : std::atoi(count.c_str()));
  });
  server.set_payload_max_length(kMaxBody);
  // Requests that hang keep a thread each.
  server.new_task_queue = [] { return new httplib::ThreadPool(32); };
}

int Main(std::map<std::string, std::string> options) {
  State state;
  const std::string count = options["--fault-count"];
  state.SetFault(options["--fault"], count.empty() ? -1 : std::atoi(count.c_str()));
  std::unique_ptr<httplib::Server> server;
  if (options["--tls-cert"].empty()) {
    server = std::make_unique<httplib::Server>();
  } else {
    server = std::make_unique<httplib::SSLServer>(options["--tls-cert"].c_str(),
                                                  options["--tls-key"].c_str());
  }
  Serve(*server, state);
  const std::string host = options["--host"].empty() ? "127.0.0.1" : options["--host"];
  int port = std::atoi(options["--port"].c_str());
  if (port == 0) {
    port = server->bind_to_any_port(host);
  } else if (!server->bind_to_port(host, port)) {
    port = -1;
  }
  if (!server->is_valid() || port <= 0) {
    fmt::print(stderr, "receiver: cannot listen\n");
    return 1;
  }
  fmt::print("listening {}\n", port);
  std::fflush(stdout);
  return server->listen_after_bind() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::map<std::string, std::string> options;
    for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
    return Main(std::move(options));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "receiver: %s\n", error.what());
    return 1;
  }
}
