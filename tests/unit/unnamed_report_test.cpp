// SPDX-License-Identifier: Apache-2.0
#include "agent/report/unnamed_report.h"

#include <vector>

#include "agent/report/summary.h"
#include "tests/support/catch.h"

using namespace agent;

namespace {

Module ModuleOf(const std::string& path, const std::string& build_id) {
  Module module;
  module.path = path;
  module.build_id = build_id;
  return module;
}

}  // namespace

TEST_CASE("Unnamed report: each module with its build id, its counts and why") {
  const Module foo = ModuleOf("/usr/lib/libfoo.so.1", "12ab");
  const Module own = ModuleOf("/srv/app", "");
  CHECK(DescribeUnnamed({&foo, UnnamedReason::kStripped, 3, 40}) ==
        "/usr/lib/libfoo.so.1 (build id 12ab): 3 addresses without a name, 40 samples in them: "
        "stripped, and no debug file was found");
  CHECK(DescribeUnnamed({&own, UnnamedReason::kNoSymbol, 1, 1}) ==
        "/srv/app (no build id): 1 address without a name, 1 sample in them: outside of every "
        "symbol");
}

TEST_CASE("Unnamed report: the commonest reason and its cure, where it is worth telling") {
  const Module foo = ModuleOf("/usr/lib/libfoo.so.1", "12ab");
  const Module own = ModuleOf("/srv/app", "");
  const Module jit = ModuleOf("[anonymous code]", "");
  CHECK(UnnamedLine({}, 1000).empty());
  const std::vector<UnnamedCode> few = {{&foo, UnnamedReason::kStripped, 9, 9}};
  CHECK(UnnamedLine(few, 1000).empty());
  CHECK_FALSE(UnnamedLine(few, 900).empty());
  // Addresses of callers only.
  const std::vector<UnnamedCode> callers = {{&foo, UnnamedReason::kStripped, 9, 0}};
  CHECK(UnnamedLine(callers, 0).empty());

  const std::vector<UnnamedCode> two = {{&own, UnnamedReason::kNoSymbol, 1, 50},
                                        {&foo, UnnamedReason::kStripped, 3, 200}};
  CHECK(UnnamedLine(two, 1000) ==
        "25.0 % of the samples are in code without a name, 20.0 % in /usr/lib/libfoo.so.1: "
        "stripped, and no debug file was found; install its debug symbols (Debian: the -dbgsym "
        "package of what \"dpkg -S /usr/lib/libfoo.so.1\" names)");
  const std::vector<UnnamedCode> one = {{&own, UnnamedReason::kStripped, 1, 50}};
  CHECK(UnnamedLine(one, 1000) ==
        "5.0 % of the samples are in code without a name, all in /srv/app: stripped, and no debug "
        "file was found; keep its symbols (do not strip it), or put its debug file beside it");
  const Module runtime =
      ModuleOf("/usr/share/dotnet/shared/Microsoft.NETCore.App/10.0.12/a.so", "");
  const std::vector<UnnamedCode> dotnet = {{&runtime, UnnamedReason::kStripped, 1, 50}};
  CHECK(UnnamedLine(dotnet, 1000).find("dotnet-symbol --symbols /usr/share") != std::string::npos);
  const std::vector<UnnamedCode> made = {{&jit, UnnamedReason::kNoPerfMap, 1, 50}};
  CHECK(UnnamedLine(made, 50).find("--perf-basic-prof") != std::string::npos);
}

TEST_CASE("Unnamed report: the summary ends in it, without the path's control characters") {
  FunctionTable functions;
  const Module evil = ModuleOf("/srv/\x1b[2J", "");
  Profile profile(WallTime(std::chrono::seconds(1'700'000'000)), Nanoseconds(0));
  const Frame frame{.function = functions.Intern("f", "", 0)};
  profile.Add(profile.InternStack({&frame, 1}), profile.InternThread({}), SampleKind::kCpu,
              profile.start(), {.count = 10, .cpu_ns = 100});
  const std::vector<UnnamedCode> unnamed = {{&evil, UnnamedReason::kStripped, 1, 5}};
  RunFacts facts;
  facts.unnamed.assign(unnamed.begin(), unnamed.end());
  const std::string text = FormatSummary(profile, facts, {.prefix = "agent: "});
  CHECK(text.find(
            "agent: 50.0 % of the samples are in code without a name, all in /srv/\\x1b[2J: ") !=
        std::string::npos);
  CHECK(text.ends_with("\n"));
  CHECK(FormatSummary(profile, {}).find("without a name") == std::string::npos);
}
