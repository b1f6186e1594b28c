// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "spies/python/code_references.h"
#include "spies/unwind/instruction.h"

namespace agent::python {

CodeReferences ReadReferencesX86_64(std::span<const std::byte> code, std::uint64_t address) {
  using Kind = unwind::InstructionKind;
  CodeReferences found;
  while (!code.empty()) {
    const auto instruction = unwind::Decode(code, address);
    const std::size_t length =
        std::min<std::size_t>(instruction ? instruction->length : 1, code.size());
    const std::uint64_t next = address + length;
    if (instruction) {
      const Kind kind = instruction->kind;
      std::int32_t last = 0;  // a displacement, or an immediate operand
      if (kind == Kind::kJump || kind == Kind::kJumpIf) {
        found.jumps.push_back(instruction->target);
      } else if (kind == Kind::kCall) {
        found.calls.push_back(instruction->target);
      } else if (length > sizeof(last)) {
        std::memcpy(&last, code.data() + length - sizeof(last), sizeof(last));
        found.data.push_back(next + static_cast<std::uint64_t>(std::int64_t{last}));
        // Of code that is not relocated.
        if (last > 0) found.data.push_back(static_cast<std::uint64_t>(last));
      }
    }
    code = code.subspan(length);
    address = next;
  }
  return found;
}

}  // namespace agent::python
