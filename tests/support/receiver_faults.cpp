// SPDX-License-Identifier: Apache-2.0
#include "tests/support/receiver_faults.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#include <httplib.h>

namespace receiver {
namespace {

using nlohmann::json;

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

// A body that never ends, a byte at a time.
void Drip(httplib::Response& response) {
  response.set_chunked_content_provider(
      "application/proto", [](std::size_t, httplib::DataSink& sink) {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return sink.write("x", 1);
      });
}

// A body that is announced longer than it is.
void Cut(std::size_t bytes, httplib::Response& response) {
  response.set_content_provider(bytes + 1000, "application/proto",
                                [bytes](std::size_t, std::size_t, httplib::DataSink& sink) {
                                  const std::string text(bytes, 'x');
                                  sink.write(text.data(), text.size());
                                  return false;
                                });
}

// A body that takes its time.
void SlowBody(int ms, httplib::Response& response) {
  constexpr std::size_t kPieces = 10;
  response.set_content_provider(
      kPieces, "application/proto", [ms](std::size_t, std::size_t, httplib::DataSink& sink) {
        std::this_thread::sleep_for(std::chrono::milliseconds(ms / static_cast<int>(kPieces)));
        return sink.write("x", 1);
      });
}

struct Kind {
  std::string name;
  std::string value;  // what stands behind the ':'
};

Kind Split(const std::string& fault) {
  const std::size_t colon = std::min(fault.find(':'), fault.size());
  return {fault.substr(0, colon), fault.substr(std::min(colon + 1, fault.size()))};
}

int Number(const std::string& text, int otherwise) {
  return text.empty() ? otherwise : std::atoi(text.c_str());
}

}  // namespace

void AnswerError(int status, const std::string& code, const std::string& message,
                 httplib::Response& response) {
  response.status = status;
  response.set_content(json{{"code", code}, {"message", message}}.dump(), "application/json");
}

bool TakesProfile(const std::string& fault) {
  const std::string name = Split(fault).name;
  return name.empty() || name == "lost" || name == "slow" || name == "taken-cut" ||
         name == "slow-body";
}

bool ShowFault(const std::string& fault, State& state, const httplib::Request& request,
               httplib::Response& response) {
  const auto [name, value] = Split(fault);
  if (name == "slow") {
    std::this_thread::sleep_for(std::chrono::milliseconds(Number(value, 2000)));
  }
  if (TakesProfile(fault)) return false;
  if (name == "refuse") {
    ResetConnection(request.remote_port);
  } else if (name == "hang") {
    state.Hang();
    ResetConnection(request.remote_port);
  } else if (name == "cut") {
    Cut(static_cast<std::size_t>(Number(value, 4)), response);
  } else if (name == "drip") {
    Drip(response);
  } else if (name == "redirect") {
    response.status = Number(value, 302);
    response.set_header("Location", "http://elsewhere.invalid/");
  } else if (name == "page") {
    response.set_content("<html>Welcome</html>", "text/html");
  } else {
    const int status = std::atoi(name.c_str());
    if (status == 429 || !value.empty()) {
      response.set_header("Retry-After", value.empty() ? "1" : value);
    }
    AnswerError(status, CodeOf(status), "this is the test fault " + name, response);
  }
  return true;
}

void AfterJudging(const std::string& fault, const httplib::Request& request,
                  httplib::Response& response) {
  const auto [name, value] = Split(fault);
  if (name == "lost") ResetConnection(request.remote_port);
  if (name == "taken-cut") Cut(static_cast<std::size_t>(Number(value, 4)), response);
  if (name == "slow-body") SlowBody(Number(value, 1000), response);
}

}  // namespace receiver
