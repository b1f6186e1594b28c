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

/// What kind of frame a Go function makes, and what an unwinder does there on amd64 to find the
/// caller. Source: runtime/asm_amd64.s, sys_linux_amd64.s, time_linux_amd64.s, signal_amd64.go and
/// runtime/cgo/abi_amd64.h of Go 1.19, 1.21, 1.24, 1.26 and 1.27; frame pointers, slots and offsets
/// checked in live processes and DWARF of these. Delta is StackDelta() at the frame's pc, CFA the
/// address after the return address.
enum class GoFunctionKind : std::uint8_t {
  /// CFA = rsp + delta + 8. Where delta >= 8 the caller's rbp is at CFA - 16, else it is in rbp: Go
  /// saves it first in every frame (also crosscall2 and sigtramp, which C calls).
  kOrdinary,
  /// goexit, mstart, rt0_go: no caller. mcall and gogo: the goroutine that was left is not a
  /// caller, and may run elsewhere by now. The stack ends here.
  kRoot,
  /// systemstack has gone to the thread's stack (g0); its caller is on the goroutine's. rbp still
  /// belongs to the goroutine. Delta 8 (since Go 1.21): CFA = rbp + 16. Delta 0 (before): the
  /// function has no frame of its own. CFA = curg.sched.sp + 8; for those who do not know curg,
  /// rbp + 16 is its caller's CFA, and the caller's own frame is missing.
  kSystemStack,
  /// morestack is on g0 as well, but has lost rbp: pc, rsp and rbp of the function that needs more
  /// stack are curg.sched.pc, .sp and .bp (a first instruction's: no subtraction of 1). The stack
  /// ends here for those who do not know curg.
  kMoreStack,
  /// asmcgocall has gone to g0 and called C. Delta 8 (since Go 1.21): CFA = rbp + 16, as C keeps
  /// rbp. Delta 0 (before): with d = [rsp + 40] and g = [rsp + 48],
  /// CFA = (g == 0 ? d : [g + 8] - d) + 8.
  kCgoCall,
  /// cgocallback stands on both stacks with frames of the same size. Taken as kOrdinary on the
  /// goroutine's stack it leads to systemstack_switch, as if called by Go that called C, and so
  /// past the C functions. Those are met from rsp = g0.sched.sp with the same pc, as kOrdinary.
  kCgoCallback,
  /// sigpanic, sigpanic0, asyncPreempt, debugCallV2: as kOrdinary, but the return address is the
  /// interrupted instruction itself: look up the caller at it, not at it - 1.
  kInjectedCall,
  /// sigtramp: as kOrdinary, but the return address is the first instruction of sigreturn (in cgo
  /// programs of libc's __restore_rt): no subtraction of 1 there.
  kSignalHandler,
  /// sigreturn (sigreturn__sigaction): rsp is the address of a ucontext. The interrupted rbp is at
  /// rsp + 120, rsp at rsp + 160, pc at rsp + 168: no subtraction of 1 there.
  kSignalReturn,
  /// Others that change rsp unseen by delta (nanotime1 and time.now to call the vDSO, callCgoMmap,
  /// sigfwd, vgetrandom1, clone): CFA = rbp + 16 where delta >= 8, else the stack ends here.
  kSwitchesStack,
};

/// Offsets that the above needs, in bytes: g.stack.hi 8, g.m 48, g.sched 56 (in it sp 0, pc 8, bp
/// 48 or, in Go 1.26 and 1.27, 40); m.g0 0, m.curg 192 or, in Go 1.26 and 1.27, 184. While Go code
/// of 1.17 and later runs, r14 is g.

/// Whether Go's linker has marked the file as its own. Cheap; a file that is not marked may be one
/// all the same.
[[nodiscard]] bool IsGo(const ElfFile& elf);

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

  /// As the linker wrote it, for example "main.(*Server).serve.func1", "main.each[go.shape.int]"
  /// (which Go 1.21 and later print as "main.each[...]"). Lives as long as the table.
  [[nodiscard]] std::string_view Name(const Function& function) const;

  /// One source level at a pc. The texts live as long as the table; "" and 0 where not known. The
  /// file "<autogenerated>" marks a wrapper that the compiler made; Go's own tools hide these.
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
