// SPDX-License-Identifier: Apache-2.0
#include "uploader/http_transport.h"

#include <fcntl.h>
#include <httplib.h>
#include <netdb.h>
#include <nss.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string_view>
#include <utility>

#include "agent/base/unique_fd.h"

namespace agent {
namespace {

constexpr std::chrono::seconds kConnectLimit{3};
constexpr std::size_t kMaxAnswer = 4096;  // what is kept of it
constexpr const char* kPath = "/push.v1.PusherService/Push";

struct Authorities {
  std::string file;
  std::string folder;
};

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// OpenSSL's built-in places are those of the system that built us; the image that we run in may be
// another one.
Authorities FindAuthorities() {
  Authorities found{FromEnvironment("SSL_CERT_FILE"), FromEnvironment("SSL_CERT_DIR")};
  if (!found.file.empty() || !found.folder.empty()) return found;
  constexpr std::array kBundles = {
      "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Alpine
      "/etc/pki/tls/certs/ca-bundle.crt",                   // Fedora, RHEL
      "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // RHEL
      "/etc/ssl/ca-bundle.pem",                             // SUSE
      "/etc/ssl/cert.pem",                                  // Alpine
  };
  for (const char* bundle : kBundles) {
    if (::access(bundle, R_OK) == 0) return {bundle, ""};
  }
  return {"", "/etc/ssl/certs"};
}

std::unique_ptr<httplib::SSLClient> MakeTlsClient(const ServerAddress& address) {
  auto client = std::make_unique<httplib::SSLClient>(address.host, address.port);
  client->enable_server_certificate_verification(true);
  SSL_CTX* context = client->ssl_context();
  if (context == nullptr) return client;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
  // Servers that close without close_notify have answered all the same.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
  const Authorities authorities = FindAuthorities();
  client->set_ca_cert_path(authorities.file, authorities.folder);
  // httplib takes the folder only where there is no file.
  if (!authorities.file.empty() && !authorities.folder.empty()) {
    SSL_CTX_load_verify_locations(context, nullptr, authorities.folder.c_str());
  }
  return client;
}

// The socket under way, as a descriptor of our own: shutting it down wakes the request, and cannot
// hit another file that got the same number.
class SocketHandle {
 public:
  void Set(int socket) {
    const std::lock_guard lock(mutex_);
    socket_.Reset(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
    was_set_ = true;
  }
  // True if there was a socket since the last call.
  bool Clear() {
    const std::lock_guard lock(mutex_);
    socket_.Reset();
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

class HttpTransport final : public Transport {
 public:
  explicit HttpTransport(ServerAddress address) : address_(std::move(address)) {}

  Reply Post(const std::string& body, Nanoseconds limit) override {
    try {
      if (client_ == nullptr) {
        client_ = MakeHttpClient(address_);
        client_->set_socket_options([this](int socket) { socket_.Set(socket); });
      }
      const Reply reply = Request(body, limit);
      // With a new client the certificates are read anew: they may have been what was wrong.
      if (reply.status == 0) client_.reset();
      return reply;
    } catch (const std::exception& error) {
      client_.reset();
      Reply reply;
      reply.trouble = error.what();
      return reply;
    }
  }

  void Cancel() override { socket_.ShutDown(); }

 private:
  Reply Request(const std::string& body, Nanoseconds limit) {
    const MonotonicTime deadline = std::chrono::steady_clock::now() + limit;
    client_->set_connection_timeout(std::min<Nanoseconds>(limit, kConnectLimit));
    client_->set_read_timeout(limit);
    client_->set_write_timeout(limit);
    httplib::Request request;
    request.method = "POST";
    request.path = address_.prefix + kPath;
    request.headers = {{"Content-Type", "application/proto"},
                       {"Content-Encoding", "gzip"},
                       {"User-Agent", "agent/" AGENT_VERSION}};
    request.body = body;
    Reply reply;
    request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t,
                                   std::uint64_t) {
      reply.body.append(data, std::min(size, kMaxAnswer - reply.body.size()));
      return std::chrono::steady_clock::now() < deadline;
    };
    const httplib::Result result = client_->send(request);
    const bool had_socket = socket_.Clear();
    if (!result) {
      reply.body.clear();
      reply.trouble = Trouble(result.error(), had_socket);
      return reply;
    }
    reply.status = result->status;
    reply.content_type = result->get_header_value("Content-Type");
    reply.location = result->get_header_value("Location");
    reply.retry_after = ParseRetryAfter(result->get_header_value("Retry-After"));
    return reply;
  }

  std::string Trouble(httplib::Error error, bool had_socket) {
    if (error == httplib::Error::ConnectionTimeout) return "no connection within 3 s";
    if (error == httplib::Error::Connection) {
      if (!had_socket) return "the name \"" + address_.host + "\" cannot be resolved";
      return "no connection (refused, or no way to it)";
    }
    if (error == httplib::Error::SSLConnection) return "the TLS handshake failed";
    if (error == httplib::Error::SSLLoadingCerts) {
      return "the certificate authorities cannot be read (SSL_CERT_FILE, SSL_CERT_DIR)";
    }
    if (IsCertificateError(error)) return CertificateTrouble();
    if (error == httplib::Error::Write) return "the connection broke while sending";
    return "no answer, or one that was cut or came too late";
  }

  std::string CertificateTrouble() {
    const auto* client = dynamic_cast<const httplib::SSLClient*>(client_.get());
    const long result = client != nullptr ? client->get_openssl_verify_result() : X509_V_OK;
    if (result == X509_V_OK) return "the server's certificate is for another name";
    return std::string("the server's certificate is not trusted: ") +
           X509_verify_cert_error_string(result) +
           " (SSL_CERT_FILE names a file with further authorities)";
  }

  ServerAddress address_;
  std::unique_ptr<httplib::ClientImpl> client_;
  SocketHandle socket_;
};

}  // namespace

std::unique_ptr<httplib::ClientImpl> MakeHttpClient(const ServerAddress& address) {
  std::unique_ptr<httplib::ClientImpl> client;
  if (address.tls) {
    client = MakeTlsClient(address);
  } else {
    client = std::make_unique<httplib::ClientImpl>(address.host, address.port);
  }
  client->set_connection_timeout(kConnectLimit);
  client->set_follow_location(false);
  client->set_decompress(false);
  client->set_url_encode(false);
  // A connection each: a server or balancer that closes idle ones would make requests fail.
  client->set_keep_alive(false);
  if (!address.user.empty()) client->set_basic_auth(address.user, address.password);
  return client;
}

void PrepareHttp() {
  // A static glibc has these two built in; what the image's nsswitch.conf names besides would be
  // loaded from the image's own, other glibc.
  ::__nss_configure_lookup("hosts", "files dns");
  // No configuration: openssl.cnf of the image may name modules that we cannot load. No clean-up at
  // exit: a thread that was left behind in a request may still be using the library.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
}

std::unique_ptr<Transport> MakeHttpTransport(ServerAddress address) {
  PrepareHttp();
  return std::make_unique<HttpTransport>(std::move(address));
}

}  // namespace agent
