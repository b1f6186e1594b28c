// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "tests/support/catch.h"
#include "uploader/server_address.h"

using namespace agent;

namespace {

bool IsInvalid(const std::string& text) {
  const auto address = ParseServerAddress(text);
  return !address && address.error().code == Errc::kInvalid && !address.error().Message().empty();
}

}  // namespace

TEST_CASE("Server addresses: scheme, host, port") {
  const auto plain = ParseServerAddress("http://pyroscope:4040");
  REQUIRE(plain);
  CHECK_FALSE(plain->tls);
  CHECK(plain->host == "pyroscope");
  CHECK(plain->port == 4040);
  CHECK(plain->prefix.empty());
  CHECK(plain->user.empty());
  CHECK(plain->Shown() == "http://pyroscope:4040");

  const auto tls = ParseServerAddress("HTTPS://Profiles.example.org");
  REQUIRE(tls);
  CHECK(tls->tls);
  CHECK(tls->host == "Profiles.example.org");
  CHECK(tls->port == 443);
  CHECK(ParseServerAddress("http://10.0.0.1").value().port == 80);
  CHECK(ParseServerAddress("http://h:1").value().port == 1);
  CHECK(ParseServerAddress("http://h:65535").value().port == 65535);
}

TEST_CASE("Server addresses: a path goes in front, without its last slash") {
  CHECK(ParseServerAddress("http://h:4040/").value().prefix.empty());
  CHECK(ParseServerAddress("http://h/a/b").value().prefix == "/a/b");
  CHECK(ParseServerAddress("http://h/a/b//").value().prefix == "/a/b");
  CHECK(ParseServerAddress("http://h/a").value().Shown() == "http://h:80/a");
}

TEST_CASE("Server addresses: IPv6 in brackets") {
  const auto address = ParseServerAddress("http://[fe80::1]:4040/x");
  REQUIRE(address);
  CHECK(address->host == "fe80::1");
  CHECK(address->port == 4040);
  CHECK(address->Shown() == "http://[fe80::1]:4040/x");
  CHECK(ParseServerAddress("https://[::1]").value().port == 443);
  CHECK(IsInvalid("http://[::1"));
  CHECK(IsInvalid("http://[]:4040"));
  CHECK(IsInvalid("http://[::1]4040"));
  CHECK(IsInvalid("http://::1:4040"));
}

TEST_CASE("Server addresses: user and password") {
  const auto address = ParseServerAddress("https://12345:p%40ss:%2f@h/x");
  REQUIRE(address);
  CHECK(address->user == "12345");
  CHECK(address->password == "p@ss:/");
  CHECK(address->host == "h");
  CHECK(address->Shown() == "https://h:443/x");
  CHECK(ParseServerAddress("http://u@h").value().password.empty());
  CHECK(ParseServerAddress("http://u:a@b@h").value().password == "a@b");
  CHECK(IsInvalid("http://:p@h"));
  CHECK(IsInvalid("http://u:%zz@h"));
  CHECK(IsInvalid("http://u:%4@h"));
  CHECK(IsInvalid("http://a%3ab:p@h"));
}

TEST_CASE("Server addresses: anything else is refused") {
  for (const char* text : {"",
                           "pyroscope",
                           "pyroscope:4040",
                           "//h",
                           "ftp://h",
                           "http:/h",
                           "http://",
                           "http:///x",
                           "http://:4040",
                           "http://h:",
                           "http://h:0",
                           "http://h:65536",
                           "http://h:-1",
                           "http://h:+1",
                           "http://h:4040x",
                           "http://h:99999999999",
                           "http://h/?a=b",
                           "http://h/#x",
                           "http://h /x",
                           "http://h/\r\nX: y",
                           "http://h\n",
                           "http://h/\xff",
                           "http://h,i"}) {
    INFO(text);
    CHECK(IsInvalid(text));
  }
  CHECK(IsInvalid("http://" + std::string(5000, 'h')));
  CHECK(IsInvalid(std::string("http://h/\0x", 11)));
}

TEST_CASE("Server addresses: no text repeats a password") {
  for (const char* text :
       {"ftp://u:s3cret@h", "http://u:s3cret@h:0", "http://u:s3cret%zz@h", "http://u:s3cret@",
        "http://u:s3cret@h?x", "http://u:s3cret@[x]", "http://u:s3cret@h\n", "u:s3cret@h"}) {
    INFO(text);
    const auto address = ParseServerAddress(text);
    REQUIRE_FALSE(address);
    CHECK(address.error().Message().find("s3cret") == std::string::npos);
  }
}
