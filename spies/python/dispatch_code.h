// SPDX-License-Identifier: Apache-2.0
// The code that runs Python's instructions, in an interpreter whose symbols do not tell all of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agent/base/types.h"
#include "agent/elf/elf_file.h"

namespace agent::python {

struct DispatchCode {
  /// Parts of the evaluation function that lie apart from it: where the compiler took its loop for
  /// code that seldom runs (Debian's 3.14 and 3.15), nearly all of it.
  std::vector<ElfRange> parts;
  /// Functions that the evaluation function calls and that jump from one to the next: one for each
  /// instruction, in an interpreter of tail calls.
  std::vector<ElfRange> handlers;
  /// Whether a table of the instructions' code was found.
  bool has_table = false;
};

/// Follows what the function at `eval` refers to. Parts are where it jumps to, behind the first
/// instruction of what .eh_frame has as a function. The interpreter has tables of 256 pointers, one
/// for each byte that an instruction may be: to labels in the evaluation function
/// (Python/opcode_targets.h, "static void *opcode_targets[256]" of 3.7 to 3.15), or to functions
/// ("py_tail_call_funcptr INSTRUCTION_TABLE[256]" of 3.14, "instruction_funcptr_handler_table" of
/// 3.15): these, and what they jump to, are handlers. A function of `named` (sorted addresses) is
/// neither. Takes some 3 ms. The same as the symbols said of a
/// 3.14.7 of tail calls by clang 19 (x86-64, aarch64), clang 21 (ThinLTO, lld) and gcc 16 (with
/// parts apart from its handlers).
[[nodiscard]] DispatchCode FindDispatchCode(const ElfFile& file, ElfAddress eval,
                                            std::span<const std::uint64_t> named);

}  // namespace agent::python
