// SPDX-License-Identifier: Apache-2.0
// Names of code by the ELF symbols alone, for what tests print and compare.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "spies/unwind/address_space.h"

namespace agent::live {

/// Knows each file's .symtab, else .dynsym, once it was asked for.
class CodeNames {
 public:
  /// "name" in the file itself; "file.so:name"; "file.so+0x123".
  std::string Of(const unwind::CodeRegion* region, std::uint64_t address);

 private:
  struct Symbol {
    std::uint64_t end = 0;
    std::string name;
  };
  using Symbols = std::map<std::uint64_t, Symbol>;
  static Symbols Read(const unwind::CodeFile& file);

  std::map<const unwind::CodeFile*, Symbols> files_;
};

}  // namespace agent::live
