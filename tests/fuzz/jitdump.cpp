// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/jitdump.h"

#include "tests/fuzz/target.h"

using namespace agent;

// In one piece, and cut in two: what is left of the first is read with the second.
AGENT_FUZZ_TARGET(jitdump) {
  CodeMap whole;
  JitDump dump;
  (void)dump.Add(input, whole);
  for (const std::uint64_t address : {0ull, 0x1000ull, 0x1008ull, ~0ull}) (void)whole.Find(address);

  CodeMap parts;
  JitDump grown;
  const auto taken = grown.Add(input.first(input.size() / 2), parts);
  if (!taken) return;
  if (*taken > input.size() / 2) __builtin_trap();
  (void)grown.Add(input.subspan(*taken), parts);
}
