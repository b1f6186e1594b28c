// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "agent/base/types.h"
#include "agent/elf/go_pclntab.h"
#include "spies/unwind/unwind_rule.h"

namespace agent::unwind {

/// The rule that follows from what Go's linker says of the frame at an instruction
/// (GoFunctionKind); nothing for C functions and where it says too little.
[[nodiscard]] std::optional<UnwindRule> GoRule(const GoPclntab& go, ElfAddress address);

}  // namespace agent::unwind
