// SPDX-License-Identifier: Apache-2.0
// Unwind rules of code that no table describes (musl's C library, hand-written assembly), found by
// following what its instructions do to the stack.
#pragma once

#include "agent/elf/elf_file.h"
#include "spies/unwind/unwind_table.h"

namespace agent::unwind {

/// Rules for the code that `described` has none for. From each function's first instruction
/// (symbols, the program's entry, what calls call) on, along jumps; a block that nothing known
/// jumps to (a switch's, a function without a name) has what its way to a return says of it. Where
/// two ways disagree there is no rule. Takes some 0.2 s of CPU for a MB; empty where there is more
/// than 8 MiB of such code, and on aarch64.
///
/// A rule may be wrong where code follows a call that never returns: what it finds must follow a
/// call (EndsWithCall).
[[nodiscard]] UnwindTable ScanCode(const ElfFile& elf, const UnwindTable& described);

}  // namespace agent::unwind
