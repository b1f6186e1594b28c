// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/perf_map.h"

#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(perf_map) {
  const std::string_view text = fuzz::TextOf(input);
  CodeMap map;
  if (AddPerfMap(text, map) > text.size()) __builtin_trap();
  for (const std::uint64_t address : {0ull, 0x1000ull, 0x1008ull, ~0ull}) (void)map.Find(address);
  (void)ParseJitName(text);
}
