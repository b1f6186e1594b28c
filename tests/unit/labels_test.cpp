// SPDX-License-Identifier: Apache-2.0
#include "uploader/labels.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "tests/support/catch.h"

using namespace agent;

namespace {

using Pair = std::pair<std::string, std::string>;

bool IsInvalidTag(const std::string& text) {
  const auto tag = ParseTag(text);
  return !tag && tag.error().code == Errc::kInvalid && !tag.error().Message().empty();
}

bool IsInvalidName(const std::string& text) {
  const auto name = ParseApplicationName(text);
  return !name && name.error().code == Errc::kInvalid && !name.error().Message().empty();
}

std::string ValueOf(const Labels& labels, const std::string& key) {
  const auto found = std::ranges::find(labels, key, &Pair::first);
  return found != labels.end() ? found->second : "(none)";
}

}  // namespace

TEST_CASE("A tag is split at the first '='") {
  CHECK(ParseTag("region=eu").value() == Pair("region", "eu"));
  CHECK(ParseTag("query=a=b=").value() == Pair("query", "a=b="));
  CHECK(ParseTag("_a1=").value() == Pair("_a1", ""));
  CHECK(ParseTag("город=x").error().code == Errc::kInvalid);
  CHECK(ParseTag("city=Łódź, {}").value() == Pair("city", "Łódź, {}"));
}

TEST_CASE("A tag that the server would refuse is refused") {
  CHECK(IsInvalidTag(""));
  CHECK(IsInvalidTag("region"));
  CHECK(IsInvalidTag("=eu"));
  CHECK(IsInvalidTag("1a=b"));
  CHECK(IsInvalidTag("a-b=c"));
  CHECK(IsInvalidTag("a.b=c"));
  CHECK(IsInvalidTag("__name__=x"));
  CHECK(IsInvalidTag("__x=y"));
  CHECK(IsInvalidTag("a=\xff"));
  CHECK(IsInvalidTag("a=\xc0\x80"));
}

TEST_CASE("A tag's key and value are bounded") {
  CHECK(ParseTag(std::string(1024, 'k') + "=v").has_value());
  CHECK(IsInvalidTag(std::string(1025, 'k') + "=v"));
  CHECK(ParseTag("k=" + std::string(2048, 'v')).has_value());
  CHECK(IsInvalidTag("k=" + std::string(2049, 'v')));
}

TEST_CASE("The text about a tag names it") {
  CHECK(ParseTag("a-b=c").error().Message().find("a-b=c") != std::string::npos);
}

TEST_CASE("An application name may carry labels") {
  const auto plain = ParseApplicationName("shop/email.service_2-x");
  REQUIRE(plain);
  CHECK(plain->service == "shop/email.service_2-x");
  CHECK(plain->labels.empty());

  const auto braced = ParseApplicationName("email.service{region=eu, zone=a=b}");
  REQUIRE(braced);
  CHECK(braced->service == "email.service");
  CHECK(braced->labels == Labels{{"region", "eu"}, {"zone", "a=b"}});

  const auto empty = ParseApplicationName("email.service{}");
  REQUIRE(empty);
  CHECK(empty->labels.empty());
}

TEST_CASE("An application name that cannot be one is refused") {
  CHECK(IsInvalidName(""));
  CHECK(IsInvalidName("{a=b}"));
  CHECK(IsInvalidName("shop{a=b"));
  CHECK(IsInvalidName("shop{a=b}x"));
  CHECK(IsInvalidName("shop{a}"));
  CHECK(IsInvalidName("shop{__name__=x}"));
  CHECK(IsInvalidName("shop\xff"));
  CHECK(IsInvalidName("my shop"));
  CHECK(IsInvalidName("shop}"));
  CHECK(IsInvalidName(std::string(2049, 'n')));
}

TEST_CASE("Labels: the application's name, the host, then tags, which win") {
  const Labels labels = MakeLabels("shop{region=eu,zone=a}", {{"zone", "b"}, {"color", "red"}},
                                   Labels{{"hostname", "host-1"}});
  CHECK(labels == Labels{{"color", "red"},
                         {"hostname", "host-1"},
                         {"region", "eu"},
                         {"service_name", "shop"},
                         {"zone", "b"}});
}

TEST_CASE("Labels: tags may name the service and the host") {
  const Labels labels = MakeLabels("shop", {{"service_name", "other"}, {"hostname", "mine"}},
                                   Labels{{"hostname", "host-1"}});
  CHECK(labels == Labels{{"hostname", "mine"}, {"service_name", "other"}});
  CHECK(ValueOf(MakeLabels("shop{hostname=own}", {}, Labels{{"hostname", "host-1"}}), "hostname") ==
        "own");
}

TEST_CASE("Labels: keys are unique, the last tag counts") {
  const Labels labels = MakeLabels("shop", {{"a", "1"}, {"a", "2"}}, {});
  CHECK(labels == Labels{{"a", "2"}, {"service_name", "shop"}});
}

TEST_CASE("Labels: a name that was not checked still makes labels that a server takes") {
  CHECK(ValueOf(MakeLabels("a program's name", {}, {}), "service_name") == "a program's name");
  CHECK(ValueOf(MakeLabels("a\xff", {}, {}), "service_name") == "a\xEF\xBF\xBD");
  const std::string bad(5000, '\xff');
  CHECK(ValueOf(MakeLabels(bad, {}, {}), "service_name").size() <= 2048);
  const Labels place = FindPlace([&](const char*) { return bad.c_str(); });
  for (const auto& [key, value] : place) CHECK(value.size() <= 2048);
}

TEST_CASE("Labels: no more than a server takes, __name__ included") {
  Labels tags;
  for (int i = 0; i < 50; ++i) tags.emplace_back("tag" + std::to_string(i), "x");
  const Labels labels = MakeLabels("shop", tags, Labels{{"hostname", "host-1"}});
  CHECK(labels.size() == 29);
  CHECK(ValueOf(labels, "service_name") == "shop");
  CHECK(ValueOf(labels, "hostname") == "host-1");
  CHECK(ValueOf(labels, "tag0") == "x");
  CHECK(ValueOf(labels, "tag49") == "(none)");

  std::string many = "shop{";
  for (int i = 0; i < 50; ++i) many += "own" + std::to_string(i) + "=x,";
  const Labels own = MakeLabels(many + "}", {{"region", "eu"}}, Labels{{"hostname", "host-1"}});
  CHECK(own.size() == 29);
  CHECK(ValueOf(own, "hostname") == "host-1");
}

namespace {

// A file system and an environment that are made up.
struct Machine {
  std::map<std::string, std::string> variables;
  std::string root;

  Machine() {
    std::string name = "/tmp/agent-labels-XXXXXX";
    root = ::mkdtemp(name.data());
  }
  ~Machine() { std::filesystem::remove_all(root); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  Labels Place() const {
    return FindPlace(
        [this](const char* name) -> const char* {
          const auto found = variables.find(name);
          return found == variables.end() ? nullptr : found->second.c_str();
        },
        root);
  }
};

}  // namespace

TEST_CASE("Labels: outside of a pod the host tells replicas apart") {
  const Machine machine;
  const Labels place = machine.Place();
  REQUIRE(place.size() == 1);
  CHECK(place[0].first == "hostname");
  CHECK(!place[0].second.empty());
}

TEST_CASE("Labels: a pod by the names that the downward API gives it") {
  Machine machine;
  machine.variables = {{"POD_NAME", "shop-1"},
                       {"POD_NAMESPACE", "web"},
                       {"NODE_NAME", "n7"},
                       {"CONTAINER_NAME", "main"}};
  CHECK(machine.Place() ==
        Labels{{"pod", "shop-1"}, {"namespace", "web"}, {"node", "n7"}, {"container", "main"}});
}

TEST_CASE("Labels: a pod that nobody has described, by its service account and cgroup") {
  Machine machine;
  machine.Write("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "web");
  machine.Write("/proc/self/cgroup",
                "0::/kubepods.slice/pod1/cri-containerd-0123456789abcdef0123456789abcdef01234567"
                "89abcdef0123456789abcdef.scope\n");
  const Labels place = machine.Place();
  CHECK(ValueOf(place, "namespace") == "web");
  CHECK(ValueOf(place, "container") == "0123456789ab");
  CHECK(!ValueOf(place, "pod").empty());
  CHECK(ValueOf(place, "hostname") == "(none)");
}

TEST_CASE("Labels: lists of labels, with keys made valid") {
  CHECK(ParseLabelList("a=1, b-c = x=y ,nonsense,,9=z,__meta=no,", false) ==
        Labels{{"a", "1"}, {"b_c", "x=y"}, {"_9", "z"}});
  CHECK(ParseLabelList("k8s.pod.name=shop%2C1,a=%zz", true) ==
        Labels{{"k8s_pod_name", "shop,1"}, {"a", "%zz"}});
  CHECK(MakeServiceName(" my shop{x} ") == "my_shop_x_");
}
