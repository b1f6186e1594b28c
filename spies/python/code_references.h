// SPDX-License-Identifier: Apache-2.0
// What machine code refers to. One .cpp file for each architecture, all compiled everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace agent::python {

/// Addresses, in the code's order.
struct CodeReferences {
  std::vector<std::uint64_t> jumps;  ///< Where direct jumps lead, conditional or not.
  std::vector<std::uint64_t> calls;  ///< And direct calls.
  std::vector<std::uint64_t> data;   ///< What may be the address of a variable. Most are not.
};

/// Of code at `address`, from its first instruction on. Nothing where this agent's own architecture
/// is another one (Decode).
[[nodiscard]] CodeReferences ReadReferencesX86_64(std::span<const std::byte> code,
                                                  std::uint64_t address);
[[nodiscard]] CodeReferences ReadReferencesAarch64(std::span<const std::byte> code,
                                                   std::uint64_t address);

}  // namespace agent::python
