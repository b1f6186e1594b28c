// SPDX-License-Identifier: Apache-2.0
#include "uploader/labels.h"

#include <algorithm>
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
  const Labels labels =
      MakeLabels("shop{region=eu,zone=a}", {{"zone", "b"}, {"color", "red"}}, "host-1");
  CHECK(labels == Labels{{"color", "red"},
                         {"hostname", "host-1"},
                         {"region", "eu"},
                         {"service_name", "shop"},
                         {"zone", "b"}});
}

TEST_CASE("Labels: tags may name the service and the host") {
  const Labels labels =
      MakeLabels("shop", {{"service_name", "other"}, {"hostname", "mine"}}, "host-1");
  CHECK(labels == Labels{{"hostname", "mine"}, {"service_name", "other"}});
  CHECK(ValueOf(MakeLabels("shop{hostname=own}", {}, "host-1"), "hostname") == "own");
}

TEST_CASE("Labels: keys are unique, the last tag counts") {
  const Labels labels = MakeLabels("shop", {{"a", "1"}, {"a", "2"}}, "");
  CHECK(labels == Labels{{"a", "2"}, {"service_name", "shop"}});
}

TEST_CASE("Labels: a name that was not checked still makes labels that a server takes") {
  CHECK(ValueOf(MakeLabels("a program's name", {}, ""), "service_name") == "a program's name");
  CHECK(ValueOf(MakeLabels("a\xff", {}, ""), "service_name") == "a\xEF\xBF\xBD");
  const std::string bad(5000, '\xff');
  CHECK(ValueOf(MakeLabels(bad, {}, bad), "service_name").size() <= 2048);
  CHECK(ValueOf(MakeLabels(bad, {}, bad), "hostname").size() <= 2048);
}

TEST_CASE("Labels: no more than a server takes, __name__ included") {
  Labels tags;
  for (int i = 0; i < 50; ++i) tags.emplace_back("tag" + std::to_string(i), "x");
  const Labels labels = MakeLabels("shop", tags, "host-1");
  CHECK(labels.size() == 29);
  CHECK(ValueOf(labels, "service_name") == "shop");
  CHECK(ValueOf(labels, "hostname") == "host-1");
  CHECK(ValueOf(labels, "tag0") == "x");
  CHECK(ValueOf(labels, "tag49") == "(none)");

  std::string many = "shop{";
  for (int i = 0; i < 50; ++i) many += "own" + std::to_string(i) + "=x,";
  const Labels own = MakeLabels(many + "}", {{"region", "eu"}}, "host-1");
  CHECK(own.size() == 29);
  CHECK(ValueOf(own, "hostname") == "host-1");
}

TEST_CASE("Labels: the host has a name") {
  CHECK(!ValueOf(MakeLabels("shop", {}), "hostname").empty());
}
