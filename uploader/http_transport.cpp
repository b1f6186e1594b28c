// SPDX-License-Identifier: Apache-2.0
#include "uploader/http_transport.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <utility>

#include "agent/base/unique_fd.h"
#include "uploader/http_client.h"

namespace agent {
namespace {

constexpr std::chrono::seconds kConnectLimit{3};
constexpr std::size_t kMaxAnswer = 1u << 20;  // what is kept of it
constexpr std::size_t kMaxToken = 64u << 10;

// The socket of the connection, as a descriptor of our own: shutting it down wakes the request, and
// cannot hit another file that got the same number.
class SocketHandle {
 public:
  void Set(int socket) {
    const std::lock_guard lock(mutex_);
    socket_.Reset(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
    was_set_ = true;
  }
  // True if there was a new socket since the last call.
  bool TakeNew() {
    const std::lock_guard lock(mutex_);
    return std::exchange(was_set_, false);
  }
  void ShutDown() {
    const std::lock_guard lock(mutex_);
    if (socket_.valid()) ::shutdown(socket_.get(), SHUT_RDWR);
  }

 private:
  std::mutex mutex_;
  UniqueFd socket_;
  bool was_set_ = false;
};

// Newer cpp-httplib (0.18, Debian 13) has an error of its own for a certificate of another name.
template <typename HttplibError>
bool IsCertificateError(HttplibError error) {
  if constexpr (requires { HttplibError::SSLServerHostnameVerification; }) {
    if (error == HttplibError::SSLServerHostnameVerification) return true;
  }
  return error == HttplibError::SSLServerVerification;
}

// Whether the request, or a part of it, may have come to the server.
bool MayHaveReached(httplib::Error error) {
  return error == httplib::Error::Read || error == httplib::Error::Write ||
         error == httplib::Error::Canceled || error == httplib::Error::Unknown;
}

Reply Failure(std::string trouble) {
  Reply reply;
  reply.trouble = std::move(trouble);
  return reply;
}

// A token that stands in a file, without the newline at its end; "" when there is none.
std::string ReadToken(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string token(kMaxToken, '\0');
  file.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<std::size_t>(file.gcount()));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) {
    token.pop_back();
  }
  const bool plain = std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; });
  return plain ? token : "";
}

class HttpTransport final : public Transport {
 public:
  HttpTransport(ServerAddress address, HttpOptions options)
      : address_(std::move(address)), options_(std::move(options)) {}

  Reply Post(const HttpRequest& request, Nanoseconds limit) override {
    const MonotonicTime deadline = std::chrono::steady_clock::now() + limit;
    try {
      bool is_reused = client_ != nullptr;
      Reply reply = Try(request, deadline, is_reused);
      // A server or a balancer closes a connection that was idle just as the request comes: it goes
      // once more, on a new one. What it may have taken, it tells by labels and time.
      if (reply.status == 0 && is_reused && std::chrono::steady_clock::now() < deadline) {
        const bool reached = reply.reached;
        reply = Try(request, deadline, is_reused);
        reply.reached |= reached;
      }
      return reply;
    } catch (const std::exception& error) {
      client_.reset();
      Reply reply = Failure(error.what());
      reply.reached = true;
      return reply;
    }
  }

  void Cancel() override { socket_.ShutDown(); }

 private:
  // `is_reused` comes back as whether the connection was an old one.
  Reply Try(const HttpRequest& request, MonotonicTime deadline, bool& is_reused) {
    if (client_ == nullptr) {
      HttpClient made = MakeHttpClient(address_, options_);
      if (made.client == nullptr) {
        is_reused = false;
        return Failure(std::move(made.trouble));
      }
      client_ = std::move(made.client);
      proxy_ = std::move(made.proxy);
      client_->set_socket_options([this](int socket) { socket_.Set(socket); });
    }
    Reply reply = Send(request, deadline, is_reused);
    // With a new client the certificates are read anew: they may have been what was wrong.
    if (reply.status == 0) client_.reset();
    return reply;
  }

  Reply Send(const HttpRequest& request, MonotonicTime deadline, bool& is_reused) {
    httplib::Request message;
    message.method = "POST";
    message.path = address_.prefix + request.path;
    if (!AddHeaders(request, message.headers)) {
      is_reused = false;
      return Failure("the token file has no token that can be read (--auth-token-file)");
    }
    message.body = request.body;
    const Nanoseconds limit = std::max<Nanoseconds>(deadline - std::chrono::steady_clock::now(),
                                                    std::chrono::milliseconds(1));
    client_->set_connection_timeout(std::min<Nanoseconds>(limit, kConnectLimit));
    client_->set_read_timeout(limit);
    client_->set_write_timeout(limit);
    Reply reply;
    message.content_receiver = [&](const char* data, std::size_t size, std::uint64_t,
                                   std::uint64_t) {
      reply.body.append(data, std::min(size, kMaxAnswer - reply.body.size()));
      return std::chrono::steady_clock::now() < deadline;
    };
    const httplib::Result result = client_->send(message);
    const bool had_socket = socket_.TakeNew();
    is_reused = !had_socket && !result && MayHaveReached(result.error());
    if (!result) {
      reply = Failure(Trouble(result.error(), had_socket));
      reply.reached = MayHaveReached(result.error());
      return reply;
    }
    reply.status = result->status;
    reply.content_type = result->get_header_value("Content-Type");
    reply.location = result->get_header_value("Location");
    reply.retry_after =
        ParseRetryAfter(result->get_header_value("Retry-After"), std::chrono::system_clock::now());
    return reply;
  }

  // False when there is no token.
  bool AddHeaders(const HttpRequest& request, httplib::Headers& headers) const {
    headers = {{"Content-Type", request.content_type}, {"User-Agent", "agent/" AGENT_VERSION}};
    // A socket's path is no host.
    if (!address_.socket_path.empty()) headers.emplace("Host", "localhost");
    if (!request.content_encoding.empty()) {
      headers.emplace("Content-Encoding", request.content_encoding);
    }
    if (!options_.tenant.empty()) headers.emplace("X-Scope-OrgID", options_.tenant);
    for (const auto& [name, value] : options_.headers) {
      headers.erase(name);
      headers.emplace(name, value);
    }
    if (headers.contains("Authorization")) return true;
    const std::string token =
        options_.token_file.empty() ? options_.token : ReadToken(options_.token_file);
    if (!options_.token_file.empty() && token.empty()) return false;
    if (!token.empty()) {
      headers.emplace("Authorization", "Bearer " + token);
    } else if (!options_.user.empty()) {
      headers.insert(httplib::make_basic_authentication_header(options_.user, options_.password));
    }
    return true;
  }

  std::string Trouble(httplib::Error error, bool had_socket) const {
    const std::string by = proxy_.empty() ? "" : fmt::format(" (by the proxy {})", proxy_);
    if (error == httplib::Error::ConnectionTimeout) return "no connection within 3 s" + by;
    if (error == httplib::Error::Connection) {
      if (!address_.socket_path.empty()) return "no connection: nobody listens at the socket";
      if (!had_socket && by.empty()) {
        return "the name \"" + address_.host + "\" cannot be resolved";
      }
      return "no connection (refused, or no way to it)" + by;
    }
    if (error == httplib::Error::SSLConnection) return "the TLS handshake failed" + by;
    if (error == httplib::Error::SSLLoadingCerts) {
      return "the certificate authorities cannot be read (--ca-file, SSL_CERT_FILE, SSL_CERT_DIR)";
    }
    if (IsCertificateError(error)) return CertificateTrouble();
    if (error == httplib::Error::Write) return "the connection broke while sending";
    return "no answer, or one that was cut or came too late";
  }

  std::string CertificateTrouble() const {
    const auto* client = dynamic_cast<const httplib::SSLClient*>(client_.get());
    const long result = client != nullptr ? client->get_openssl_verify_result() : X509_V_OK;
    if (result == X509_V_OK) return "the server's certificate is for another name";
    return std::string("the server's certificate is not trusted: ") +
           X509_verify_cert_error_string(result) +
           " (--ca-file or SSL_CERT_FILE names a file with further authorities)";
  }

  ServerAddress address_;
  HttpOptions options_;
  std::unique_ptr<httplib::ClientImpl> client_;
  std::string proxy_;
  SocketHandle socket_;
};

}  // namespace

std::unique_ptr<Transport> MakeHttpTransport(ServerAddress address, HttpOptions options) {
  PrepareHttp();
  return std::make_unique<HttpTransport>(std::move(address), std::move(options));
}

}  // namespace agent
