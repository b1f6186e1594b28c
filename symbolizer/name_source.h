// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "symbolizer/native_aot_names.h"

namespace agent {

/// One function of what runs at an address.
struct NamedLevel {
  std::string name;           ///< As the file has it, mangled or not; "" when unknown.
  bool qualified = true;      ///< False: without its namespace or class, as far as is known.
  bool readable_cpp = false;  ///< Not mangled, but C++ all the same: "Sum<int>".
  AotMethod aot;              ///< What else a NativeAOT program's DWARF says.
  std::string readable;       ///< `name` for people where its file has rules of its own, else "".
  std::string file;           ///< Of `line`, or where the function is declared; "" when unknown.
  std::uint32_t start_line = 0;  ///< Where the function is declared in `file`; 0 when unknown.
  std::uint32_t line = 0;        ///< Running, or of the call of the level before; 0 when unknown.
};

/// Knows names of one module's code: its DWARF, its symbols, a table of its runtime.
class NameSource {
 public:
  virtual ~NameSource() = default;
  /// Adds what runs at `address` to an empty chain, innermost level first; all but the last are
  /// inlined. Without a name for the last (outermost) level, but with a line, that level's name is
  /// empty. Leaves `chain` empty when nothing is known.
  virtual void Find(ElfAddress address, std::vector<NamedLevel>& chain) = 0;
};

}  // namespace agent
