// SPDX-License-Identifier: Apache-2.0
#include "spies/python/line_table.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(python_lines) {
  for (const std::int64_t instruction : {-1l, 0l, 1l, 5l, 100l, 0x7fffffffffffffffl}) {
    for (const auto format : {python::LineFormat::kPairs, python::LineFormat::kRanges,
                              python::LineFormat::kLocations}) {
      (void)python::FindLine(format, input, 1, instruction);
      (void)python::FindLine(format, input, 0xffffffff, instruction);
    }
  }
}
