// SPDX-License-Identifier: Apache-2.0
#include "agent/profile/frame.h"

#include <set>

#include "tests/support/catch.h"

using namespace agent;

TEST_CASE("Functions: pointers stay valid while the table grows") {
  FunctionTable functions;
  const Function* first = functions.Intern("first", "/a.py", 7);
  for (std::uint32_t i = 0; i < 10'000; ++i) (void)functions.Intern("f", "/a.py", i);
  CHECK(first->name == "first");
  CHECK(first->file == "/a.py");
  CHECK(first->start_line == 7);
  CHECK(functions.Intern("first", "/a.py", 7) == first);
}

TEST_CASE("Functions: what differed only in bytes that are not UTF-8 is one function") {
  FunctionTable functions;
  CHECK(functions.Intern("a\xff", "/x\xfe", 1) == functions.Intern("a\xfe", "/x\xff", 1));
  CHECK(functions.Intern("a\xff", "", 1) != functions.Intern("a", "", 1));
}

TEST_CASE("Functions: names without a file cannot fill our memory either") {
  FunctionTable functions;
  std::set<const Function*> seen;
  for (int i = 0; i < 20'000; ++i) {
    seen.insert(functions.Intern(std::string(4000, 'x') + std::to_string(i), "", 0));
  }
  CHECK(seen.size() < (FunctionTable::kMaxBytes + (2u << 20)) / 4000);
}

TEST_CASE("Functions: a full table still takes markers") {
  FunctionTable functions;
  for (int i = 0; i < 20'000; ++i) {
    (void)functions.Intern(std::string(4000, 'x') + std::to_string(i), "/a", 0);
  }
  CHECK(functions.Marker("[not sampled]")->name == "[not sampled]");
}
