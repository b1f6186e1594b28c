// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)
#include "spies/unwind/instruction.h"

namespace agent::unwind {

// Its compilers keep frame pointers, which serve where no table does.
std::optional<Instruction> Decode(std::span<const std::byte> /*code*/, std::uint64_t /*address*/) {
  return std::nullopt;
}

}  // namespace agent::unwind
#endif
