// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include "tests/support/catch.h"
#include "uploader/listen_address.h"
#include "uploader/proxy.h"

using namespace agent;

namespace {

// "" for none, else as messages show it.
std::string ProxyOf(const std::string& address, const std::map<std::string, std::string>& set) {
  const auto proxy = ProxyFor(*ParseServerAddress(address), [&](const char* name) -> const char* {
    const auto found = set.find(name);
    return found == set.end() ? nullptr : found->second.c_str();
  });
  if (!proxy) return "error: " + proxy.error().Message();
  return *proxy ? (*proxy)->Shown() : "";
}

}  // namespace

TEST_CASE("Proxy: each scheme has its variable") {
  const std::map<std::string, std::string> set = {{"http_proxy", "http://one:3128"},
                                                  {"HTTPS_PROXY", "two:8080"}};
  CHECK(ProxyOf("http://pyroscope:4040", set) == "http://one:3128");
  CHECK(ProxyOf("https://pyroscope", set) == "http://two:8080");
  CHECK(ProxyOf("unix:///run/pyroscope", set).empty());
  CHECK(ProxyOf("http://pyroscope", {}).empty());
  CHECK(ProxyOf("http://pyroscope", {{"HTTP_PROXY", "http://evil"}}).empty());
  CHECK(ProxyOf("https://pyroscope", {{"all_proxy", "http://three:1"}}) == "http://three:1");
}

TEST_CASE("Proxy: the machine itself, and what no_proxy names, are reached directly") {
  const auto with = [](const std::string& address, const std::string& no_proxy) {
    return ProxyOf(address, {{"http_proxy", "http://one:3128"}, {"no_proxy", no_proxy}}).empty();
  };
  for (const char* local : {"http://localhost:4040", "http://127.0.0.1", "http://[::1]:4040"}) {
    CHECK(with(local, ""));
  }
  CHECK_FALSE(with("http://pyroscope.monitoring", "other,monitorin"));
  CHECK(with("http://pyroscope.monitoring", "other, .Monitoring"));
  CHECK(with("http://pyroscope.monitoring", "monitoring"));
  CHECK(with("http://pyroscope.monitoring", "*.monitoring"));
  CHECK(with("http://Pyroscope", "pyroscope"));
  CHECK(with("http://anything", "*"));
  CHECK(with("http://pyroscope:4040", "pyroscope:4040"));
  CHECK_FALSE(with("http://pyroscope:4040", "pyroscope:4041"));
  CHECK(with("http://10.1.2.3", "10.0.0.0/8"));
  CHECK_FALSE(with("http://11.1.2.3", "10.0.0.0/8"));
  CHECK(with("http://10.1.2.3", "10.1.2.3"));
  CHECK_FALSE(with("http://10.1.2.3", "10.0.0.0/99"));
  CHECK(with("http://[fd00::1]", "fd00::/16"));
}

TEST_CASE("Proxy: one that is no http address is an error, which does not show its password") {
  for (const char* bad : {"https://user:geheim@one", "socks5://user:geheim@one", "http://"}) {
    const std::string text = ProxyOf("http://pyroscope", {{"http_proxy", bad}});
    CHECK(text.starts_with("error: the proxy of the environment"));
    CHECK(text.find("geheim") == std::string::npos);
  }
}

TEST_CASE("Listen addresses: loopback unless the host is said") {
  CHECK(ParseListenAddress(":6061")->host == "127.0.0.1");
  CHECK(ParseListenAddress(":6061")->port == 6061);
  CHECK(ParseListenAddress("6061")->host == "127.0.0.1");
  CHECK(ParseListenAddress("0.0.0.0:6061")->host == "0.0.0.0");
  CHECK(ParseListenAddress("[::]:6061")->host == "::");
  for (const char* bad : {"", "x", ":", ":-1", ":65536", "::1:6061", "host:port"}) {
    INFO(bad);
    CHECK_FALSE(ParseListenAddress(bad));
  }
}
