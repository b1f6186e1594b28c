// SPDX-License-Identifier: Apache-2.0
#include "spies/python/line_table.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(python_lines) {
  for (const std::int64_t instruction : {-1l, 0l, 1l, 5l, 100l, 0x7fffffffffffffffl}) {
    (void)python::FindLine(input, 1, instruction);
    (void)python::FindLine(input, 0xffffffff, instruction);
  }
}
