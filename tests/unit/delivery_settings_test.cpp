// SPDX-License-Identifier: Apache-2.0
// What the flags of the delivery take, and what of them is kept from the list of processes.
#include "agent/cli/delivery_settings.h"

#include <map>
#include <string>
#include <vector>

#include "tests/support/catch.h"

using namespace agent;

namespace {

Settings WithIdentity(const std::map<std::string, std::string>& set, Settings settings = {}) {
  ApplyIdentity(
      [&](const char* name) -> const char* {
        const auto found = set.find(name);
        return found == set.end() ? nullptr : found->second.c_str();
      },
      settings);
  return settings;
}

// The command line as it is seen after the secrets were hidden.
std::string Hidden(const Settings& settings, std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  HideSecrets(settings, static_cast<int>(argv.size()), argv.data());
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

TEST_CASE("Delivery settings: addresses are added, also with commas") {
  Settings settings;
  CHECK(ApplyServerAddress(settings, "http://a,https://b/c"));
  CHECK(ApplyServerAddress(settings, "unix:///run/p.sock"));
  CHECK(settings.servers ==
        std::vector<std::string>{"http://a", "https://b/c", "unix:///run/p.sock"});
  CHECK_FALSE(ApplyServerAddress(settings, ""));
  CHECK_FALSE(ApplyServerAddress(settings, "http://a,nonsense"));
  CHECK_FALSE(ApplyServerAddress(settings, "unix://relative"));
  CHECK_FALSE(ApplyServerAddress(settings, "unix:///" + std::string(107, 'x')));
}

TEST_CASE("Delivery settings: no header can smuggle another one") {
  Settings settings;
  for (const char* bad :
       {"A=x\r\nB: y", "A b=x", "=x", "A", "{\"A\": 1}", "{\"A\": \"x\\n\"}", "{"}) {
    INFO(bad);
    CHECK_FALSE(ApplyHeader(settings, bad));
  }
  CHECK(settings.http.headers.empty());
  CHECK(ApplyHeader(settings, "A=x=y"));
  CHECK(ApplyHeader(settings, R"({"B": "z"})"));
  CHECK(settings.http.headers ==
        std::vector<std::pair<std::string, std::string>>{{"A", "x=y"}, {"B", "z"}});
  CHECK_FALSE(ApplyAuthToken(settings, "a\nb"));
  CHECK_FALSE(ApplyTenantId(settings, ""));
  CHECK_FALSE(ApplyBasicAuthUser(settings, "a:b"));
}

TEST_CASE(
    "Delivery settings: the environment's names and labels come before those that are given") {
  CHECK(WithIdentity({}).application_name.empty());
  CHECK(WithIdentity({{"OTEL_SERVICE_NAME", "my shop"}}).application_name == "my_shop");
  const Settings by_attribute =
      WithIdentity({{"OTEL_RESOURCE_ATTRIBUTES", "service.name=shop,k8s.pod.name=p"}});
  CHECK(by_attribute.application_name == "shop");
  CHECK(by_attribute.tags == Labels{{"k8s_pod_name", "p"}});
  Settings given;
  given.application_name = "mine";
  given.tags = {{"a", "flag"}};
  const Settings all = WithIdentity({{"OTEL_SERVICE_NAME", "other"},
                                     {"OTEL_RESOURCE_ATTRIBUTES", "a=otel,b=otel"},
                                     {"PYROSCOPE_LABELS", "b=list"}},
                                    given);
  CHECK(all.application_name == "mine");
  // The last one of a key counts.
  CHECK(all.tags == Labels{{"a", "otel"}, {"b", "otel"}, {"b", "list"}, {"a", "flag"}});
}

TEST_CASE("Delivery settings: secrets are overwritten where the list of processes shows them") {
  Settings settings;
  settings.http.token = "t0ken";
  settings.http.password = "pa ss";
  settings.http.headers = {{"X-Key", "k3y"}};
  settings.servers = {"http://me:geheim@host:1/path", "http://plain/a@b"};
  CHECK(Hidden(settings, {"agent", "exec", "--auth-token", "t0ken", "--basic-auth-password=pa ss",
                          "--header=X-Key=k3y", "--server-address", "http://me:geheim@host:1/path",
                          "http://plain/a@b"}) ==
        "agent exec --auth-token xxxxx --basic-auth-password=xxxxx --header=X-Key=xxx "
        "--server-address http://xxxxxxxxx@host:1/path http://plain/a@b");
}
