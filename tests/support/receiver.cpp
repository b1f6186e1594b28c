// SPDX-License-Identifier: Apache-2.0
// A Pyroscope server for tests: takes profiles on the paths of the real one, by its rules, answers
// as it does, and shows faults on demand.
//
// usage: receiver [--host ADDRESS] [--port N] [--unix PATH] [--tls-cert FILE --tls-key FILE]
//                 [--client-ca FILE] [--formats push,pprof,folded,otlp] [--fault KIND]
//                 [--fault-count N]
//
// Prints "listening PORT". --client-ca: clients must show a certificate of it. --formats: others
// get a 404. KIND, of which those with * take the profile all the same:
//   refuse            the connection is reset
//   hang              no answer
//   drip              an answer that never ends
//   cut:N             an answer that is cut after N bytes
//   lost *            the connection is reset instead of an answer
//   taken-cut:N *     as cut
//   slow:MS *         an answer after MS milliseconds
//   slow-body:MS *    one whose body takes MS milliseconds
//   redirect:STATUS   to elsewhere
//   page              a web page, with status 200
//   STATUS:RETRY      such as 429:7 or 500, with what Retry-After says
// --fault-count: for the first N requests only (default: for all).
//
// GET /test/received: every push request as a JSON array. POST /test/fault?kind=KIND&count=N: from
// now on; no kind: none.
#include <fmt/format.h>
#include <openssl/ssl.h>
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

#include "tests/support/receiver_faults.h"
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

json Describe(const httplib::Request& request, const std::string& fault) {
  const auto* body = reinterpret_cast<const Bytef*>(request.body.data());
  return {{"path", request.path},
          {"fault", fault},
          {"crc", ::crc32(0, body, static_cast<uInt>(request.body.size()))},
          {"user_agent", request.get_header_value("User-Agent")},
          {"content_type", request.get_header_value("Content-Type")},
          {"content_encoding", request.get_header_value("Content-Encoding")},
          {"authorization", request.get_header_value("Authorization")},
          {"tenant", request.get_header_value("X-Scope-OrgID")},
          {"x_probe", request.get_header_value("X-Probe")},
          {"host", request.get_header_value("Host")},
          {"connection", request.remote_port},
          {"target", request.target},
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
                                     receiver::IngestTime(request.get_param_value("from")),
                                     rate > 0 ? rate : 100);
}

Verdict Otlp(const httplib::Request& request) {
  const std::string type = request.get_header_value("Content-Type");
  if (type != "application/x-protobuf" && type != "application/protobuf") {
    return {.status = 415, .code = "", .message = "Content-Type", .profiles = {}};
  }
  return receiver::JudgeOtlp(request.body);
}

std::string FormatOf(const httplib::Request& request) {
  if (request.path.ends_with("/Push")) return "push";
  if (request.path.ends_with("/profiles")) return "otlp";
  return request.is_multipart_form_data() ? "pprof" : "folded";
}

void Serve(httplib::Server& server, State& state, const std::string& formats) {
  const auto handle = [&state, formats](Verdict (*judge)(const httplib::Request&),
                                        const char* type) {
    return [&state, formats, judge, type](const httplib::Request& request,
                                          httplib::Response& response) {
      const std::string fault = state.TakeFault();
      json description = Describe(request, fault);
      description["format"] = FormatOf(request);
      if (!receiver::TakesProfile(fault)) state.Record(description);
      if (receiver::ShowFault(fault, state, request, response)) return;
      if (!formats.empty() && formats.find(FormatOf(request)) == std::string::npos) {
        state.Record(description);
        response.status = 404;
        response.set_content("404 page not found\n", "text/plain");
        return;
      }
      const Verdict verdict = judge(request);
      state.Record(std::move(description), verdict);
      if (verdict.status != 200) {
        receiver::AnswerError(verdict.status, verdict.code, verdict.message, response);
      } else {
        response.set_content("", type);
      }
      receiver::AfterJudging(fault, request, response);
    };
  };
  // A path prefix, as behind a proxy, is taken too.
  server.Post(R"((/prefix)?/push\.v1\.PusherService/Push)", handle(Push, "application/proto"));
  server.Post(R"((/prefix)?(/pyroscope)?/ingest)", handle(Ingest, "text/plain"));
  server.Post(R"((/prefix)?/v1development/profiles)", handle(Otlp, "application/x-protobuf"));
  server.Get(R"((/prefix)?(/push\.v1\.PusherService/Push|(/pyroscope)?/ingest))",
             [](const httplib::Request&, httplib::Response& response) { response.status = 405; });
  if (formats.find("noquery") == std::string::npos) {
    server.Post(R"((/prefix)?/querier\.v1\.QuerierService/(\w+))",
                [&state](const httplib::Request& request, httplib::Response& response) {
                  const json question = json::parse(request.body, nullptr, false);
                  const json answer = state.Query(request.matches[2], question);
                  response.status = answer.is_null() ? 404 : 200;
                  response.set_content(answer.dump(), "application/json");
                });
  }
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
    const std::string ca = options["--client-ca"];
    server = std::make_unique<httplib::SSLServer>(options["--tls-cert"].c_str(),
                                                  options["--tls-key"].c_str(),
                                                  ca.empty() ? nullptr : ca.c_str());
  }
  Serve(*server, state, options["--formats"]);
  if (const std::string path = options["--unix"]; !path.empty()) {
    server->set_address_family(AF_UNIX);
    fmt::print("listening 0\n");
    std::fflush(stdout);
    return server->listen(path, 80) ? 0 : 1;
  }
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
