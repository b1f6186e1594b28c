// SPDX-License-Identifier: Apache-2.0
#include "uploader/http_client.h"

#include <httplib.h>
#include <netdb.h>
#include <nss.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>

#include "uploader/proxy.h"

namespace agent {
namespace {

constexpr std::chrono::seconds kConnectLimit{3};

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
Authorities FindAuthorities(const HttpOptions& options) {
  if (!options.ca_file.empty()) return {options.ca_file, ""};
  Authorities found{FromEnvironment("SSL_CERT_FILE"), FromEnvironment("SSL_CERT_DIR")};
  if (!found.file.empty() || !found.folder.empty()) return found;
  constexpr std::array kBundles = {
      "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Alpine, Arch
      "/etc/pki/tls/certs/ca-bundle.crt",                   // Fedora, RHEL, Amazon Linux
      "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // RHEL
      "/etc/ssl/ca-bundle.pem",                             // SUSE
      "/etc/pki/tls/cacert.pem",                            // OpenELEC
      "/etc/ssl/cert.pem",                                  // Alpine
  };
  for (const char* bundle : kBundles) {
    if (::access(bundle, R_OK) == 0) return {bundle, ""};
  }
  return {"", "/etc/ssl/certs"};
}

// "" or what is wrong.
std::string UseClientCertificate(SSL_CTX* context, const HttpOptions& options) {
  if (options.client_certificate.empty()) return "";
  const std::string& key =
      options.client_key.empty() ? options.client_certificate : options.client_key;
  if (SSL_CTX_use_certificate_chain_file(context, options.client_certificate.c_str()) != 1) {
    return "the client's certificate cannot be read (--client-cert)";
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return "the client's key cannot be read, or is not the certificate's (--client-key)";
  }
  return "";
}

void MakeTlsClient(const ServerAddress& address, const HttpOptions& options, HttpClient& made) {
  auto client = std::make_unique<httplib::SSLClient>(address.host, address.port);
  client->enable_server_certificate_verification(!options.skip_verify);
  SSL_CTX* context = client->ssl_context();
  if (context == nullptr) {
    made.trouble = "TLS cannot be set up";
    return;
  }
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
  // Servers that close without close_notify have answered all the same.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
  made.trouble = UseClientCertificate(context, options);
  if (!made.trouble.empty()) return;
  const Authorities authorities = FindAuthorities(options);
  client->set_ca_cert_path(authorities.file, authorities.folder);
  // httplib takes the folder only where there is no file.
  if (!authorities.file.empty() && !authorities.folder.empty()) {
    SSL_CTX_load_verify_locations(context, nullptr, authorities.folder.c_str());
  }
  made.client = std::move(client);
}

void UseProxy(const ServerAddress& address, HttpClient& made) {
  const auto proxy = ProxyFor(address, [](const char* name) { return std::getenv(name); });
  if (!proxy) {
    made.trouble = proxy.error().Message();
    made.client.reset();
    return;
  }
  if (!*proxy) return;
  made.client->set_proxy((*proxy)->host, (*proxy)->port);
  if (!(*proxy)->user.empty()) {
    made.client->set_proxy_basic_auth((*proxy)->user, (*proxy)->password);
  }
  made.proxy = (*proxy)->Shown();
}

}  // namespace

HttpClient MakeHttpClient(const ServerAddress& address, const HttpOptions& options) {
  HttpClient made;
  if (!address.socket_path.empty()) {
    made.client = std::make_unique<httplib::ClientImpl>(address.socket_path, 80);
    made.client->set_address_family(AF_UNIX);
  } else if (address.tls) {
    MakeTlsClient(address, options, made);
  } else {
    made.client = std::make_unique<httplib::ClientImpl>(address.host, address.port);
  }
  if (made.client == nullptr) return made;
  made.client->set_connection_timeout(kConnectLimit);
  made.client->set_follow_location(false);
  made.client->set_decompress(false);
  made.client->set_url_encode(false);
  made.client->set_keep_alive(true);
  if (!address.user.empty()) made.client->set_basic_auth(address.user, address.password);
  UseProxy(address, made);
  return made;
}

void PrepareHttp() {
  // A static glibc has these two built in; what the image's nsswitch.conf names besides would be
  // loaded from the image's own, other glibc.
  ::__nss_configure_lookup("hosts", "files dns");
  // No configuration: openssl.cnf of the image may name modules that we cannot load. No clean-up at
  // exit: a thread that was left behind in a request may still be using the library.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
}

}  // namespace agent
