// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/cfi_reader.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(cfi) {
  for (const auto format : {unwind::CfiFormat::kEhFrame, unwind::CfiFormat::kDebugFrame}) {
    for (const std::uint64_t address : {std::uint64_t{0x2000}, ~std::uint64_t{0} - 16}) {
      (void)unwind::ReadCfiEntries(input, address, format);
    }
  }
}
