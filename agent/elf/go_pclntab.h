// SPDX-License-Identifier: Apache-2.0
// Go's table of functions (pclntab): frame sizes, names, lines and inlined calls, also of stripped
// programs. Source of the format: runtime/symtab.go and symtabinl.go, cmd/link/internal/ld/pcln.go
// of Go 1.16 to 1.27.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/elf/elf_file.h"

namespace agent {

/// What kind of frame a Go function makes. GoKIND
enum class GoFunctionKind : std::uint8_t {
  kOrdinary,
  kRoot,
  kSystemStack,
  kMoreStack,
  kCgoCall,
  kCgoCallback,
  kInjectedCall,
  kSignalHandler,
  kSignalReturn,
  kSwitchesStack,
};

/// The tables of one Go program, copied out of its file (as large as the section .gopclntab, and
/// the inline trees). Const functions may be called by many threads at once.
class GoPclntab {
 public:
  /// Nothing when the file is not a Go program; kMalformed when it is one whose table cannot be
  /// read, kUnsupported for Go before 1.16.
  static Result<std::optional<GoPclntab>> Find(const ElfFile& elf);

  /// A table alone, from its header on, pointers relocated; it will know no inlined calls. `text`
  /// is what functions' offsets count from (moduledata.text), used where the header says 0, as it
  /// does since Go 1.26. Errors as above.
  static Result<GoPclntab> Parse(std::vector<std::byte> table, ElfAddress text);

  struct Function {
    ElfAddress start{};
    ElfAddress end{};
    std::uint32_t record = 0;  ///< Where the function's record lies within the table.
    GoFunctionKind kind = GoFunctionKind::kOrdinary;
  };
  /// The function that `pc` lies in. C functions of a cgo program have an entry at most, without
  /// frame sizes. O(log functions).
  [[nodiscard]] std::optional<Function> FindFunction(ElfAddress pc) const;
  [[nodiscard]] std::size_t function_count() const { return function_count_; }
  /// The function of an index below function_count(); nothing when its record is unreadable.
  [[nodiscard]] std::optional<Function> FunctionAt(std::size_t index) const;

  /// Bytes between the stack pointer and the return address before the instruction at `pc` is
  /// executed (PCSP). Nothing for C functions, and where the table is broken.
  [[nodiscard]] std::optional<std::int32_t> StackDelta(const Function& function,
                                                       ElfAddress pc) const;

  /// As the linker wrote it, for example "main.(*Server).serve.func1". Lives as long as the table.
  [[nodiscard]] std::string_view Name(const Function& function) const;

  /// One source level at a pc. The texts live as long as the table; "" and 0 where not known.
  struct Level {
    std::string_view name;
    std::string_view file;
    std::uint32_t line = 0;        ///< Of the instruction, or of the inlined call.
    std::uint32_t start_line = 0;  ///< Of the function; 0 before Go 1.20.
    bool inlined = false;
  };
  /// Appends the levels at `pc`: innermost inlined function first, the physical function last.
  /// For a caller's frame pass the return address - 1. Returns how many.
  std::size_t Names(const Function& function, ElfAddress pc, std::vector<Level>& levels) const;

  [[nodiscard]] bool has_inlines() const { return !trees_.empty(); }

 private:
  friend class GoPclntabFinder;

  static constexpr std::size_t kMaxInlinedCall = 20;  // bytes
  enum class Version : std::uint8_t { k116, k118, k120 };
  struct Special {
    std::uint32_t record;
    GoFunctionKind kind;
  };

  [[nodiscard]] std::optional<std::uint32_t> Word(std::uint64_t offset) const;
  [[nodiscard]] std::optional<std::uint64_t> Pointer(std::uint64_t offset) const;
  [[nodiscard]] std::optional<std::uint32_t> Field(const Function& function,
                                                   std::size_t offset) const;
  [[nodiscard]] std::string_view String(std::uint64_t offset, std::size_t end) const;
  [[nodiscard]] std::uint64_t Entry(std::size_t index) const;
  [[nodiscard]] std::optional<std::int32_t> Value(const Function& function, std::uint32_t values,
                                                  ElfAddress pc) const;
  [[nodiscard]] std::optional<std::uint64_t> InlineTree(const Function& function) const;
  [[nodiscard]] std::optional<std::span<const std::byte>> InlinedCall(std::uint64_t tree,
                                                                      std::int32_t index) const;
  [[nodiscard]] std::int32_t InlineIndex(const Function& function, ElfAddress pc) const;
  [[nodiscard]] bool MakesSense(const Function& function, std::span<const std::byte> call) const;
  void AddPosition(const Function& function, ElfAddress pc, Level& level) const;
  [[nodiscard]] GoFunctionKind KindByName(const Function& function) const;
  Result<void> ParseHeader(ElfAddress text);
  void FindSpecials();

  std::vector<std::byte> table_;
  Version version_ = Version::k120;
  std::uint8_t quantum_ = 1;  // the least instruction size: differences of pcs count in it
  std::uint64_t text_ = 0;
  std::size_t function_count_ = 0;
  // Where the parts of the table begin; each ends where the next begins.
  std::size_t names_ = 0;
  std::size_t units_ = 0;  // of each compilation unit the files, as offsets into files_
  std::size_t files_ = 0;
  std::size_t values_ = 0;
  std::size_t functions_ = 0;
  std::vector<Special> specials_;  // sorted by record
  std::vector<std::byte> trees_;   // the inline trees of all functions
  std::uint64_t trees_address_ = 0;
  std::uint64_t go_func_ = 0;  // moduledata.gofunc, which offsets of inline trees count from
};

}  // namespace agent
