// SPDX-License-Identifier: Apache-2.0
// What the interpreter's own functions are to a stack of native and Python frames.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/base/types.h"
#include "agent/elf/elf_file.h"

namespace agent::python {

enum class NativeKind : std::uint8_t {
  kOther,
  kEval,      ///< Runs Python frames: one call of it all frames up to one that `is_entry`.
  kPlumbing,  ///< On the way from one Python frame to the next, and from main to the first.
};

/// By a function's name.
[[nodiscard]] NativeKind KindOf(std::string_view function);

/// The functions of the file that holds the interpreter, by their names and, as far as these do not
/// tell where Python runs, by FindDispatchCode. Immutable.
class InterpreterCode {
 public:
  InterpreterCode() = default;
  explicit InterpreterCode(const ElfFile& file);

  [[nodiscard]] NativeKind At(ElfAddress address) const;
  /// Whether the code that runs Python is known: without it native frames have no place.
  [[nodiscard]] bool has_eval() const { return has_eval_; }

 private:
  struct Range {
    std::uint64_t start;
    std::uint64_t end;
    NativeKind kind;
  };
  void Add(const ElfRange& range, NativeKind kind);

  std::vector<Range> ranges_;  // sorted by start; of kEval and kPlumbing
  bool has_eval_ = false;
};

}  // namespace agent::python
