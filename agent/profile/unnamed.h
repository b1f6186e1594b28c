// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "agent/profile/frame.h"

namespace agent {

/// Why an address has no name.
enum class UnnamedReason : std::uint8_t {
  kUnreadable,    ///< The file could not be opened, or is no ELF file that we can read.
  kStripped,      ///< The file has neither .symtab nor DWARF, and no debug file was found.
  kNoSymbol,      ///< The file has symbols, but none that covers the address.
  kNoPerfMap,     ///< Code without a file, and no perf map or jitdump that we may read.
  kNotInPerfMap,  ///< Code without a file that its perf map or jitdump does not name.
};

/// What of one module has no name, for one reason.
struct UnnamedCode {
  const Module* module = nullptr;
  UnnamedReason reason{};
  std::uint64_t addresses = 0;  ///< Different ones.
  std::int64_t samples = 0;     ///< That were in one of them (it was the leaf).
};

}  // namespace agent
