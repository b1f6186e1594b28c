// SPDX-License-Identifier: Apache-2.0
// Our tables and libdw's, address by address, for the ELF files of the machine. AGENT_ALL_ELF=1
// takes all of them, else some 60.
#if defined(__x86_64__)
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <set>

#include "agent/elf/elf_file.h"
#include "agent/process/registers.h"
#include "spies/unwind/unwind_table.h"
#include "tests/support/catch.h"

namespace agent::live {
namespace {

using unwind::CfaKind;
using unwind::Saved;
using unwind::SavedKind;
using unwind::UnwindRule;
using unwind::UnwindTable;

constexpr std::size_t kRowsOfFile = 300;
constexpr std::size_t kSampledFiles = 60;

// libdw's description of one address.
class LibdwFrame {
 public:
  explicit LibdwFrame(Dwarf_Frame* frame) : frame_(frame, &std::free) {}

  // "" where it says the same.
  std::string Difference(const UnwindRule& rule) {
    bool is_signal = false;
    Dwarf_Addr start = 0;
    Dwarf_Addr end = 0;
    ::dwarf_frame_info(frame_.get(), &start, &end, &is_signal);
    if (is_signal != (rule.cfa == CfaKind::kSignal)) return "signal frame";
    if (is_signal || rule.cfa == CfaKind::kComplex) return "";
    if (!Read(RegisterNumbers::kReturnColumn)) return "libdw cannot read the return address";
    const bool is_root = count_ == 0 && ops_ == memory_;
    if (is_root || rule.return_address.kind == SavedKind::kUndefined) {
      return is_root == (rule.return_address.kind == SavedKind::kUndefined) ? "" : "root";
    }
    if (!IsSaved(RegisterNumbers::kReturnColumn, rule.return_address)) return "return address";
    if (!IsSaved(RegisterNumbers::kFp, rule.fp)) return "frame pointer";
    // Expressions for rbx are left out on purpose.
    if (rule.extra.kind != SavedKind::kUndefined && !IsSaved(RegisterNumbers::kExtra, rule.extra)) {
      return "rbx";
    }
    return IsCfa(rule) ? "" : "CFA";
  }
  /// Whether our engine has a form for it.
  bool IsSimple() {
    if (::dwarf_frame_cfa(frame_.get(), &ops_, &count_) != 0 || count_ == 0) return false;
    std::int64_t number = 0;
    if (count_ != 1 || !Base(ops_[0], &number)) return false;
    for (const int column : {RegisterNumbers::kReturnColumn, RegisterNumbers::kFp}) {
      if (!Read(column) || count_ > 2) return false;
      if (count_ > 0 && ops_[0].atom != DW_OP_call_frame_cfa) return false;
      if (count_ == 2 && ops_[1].atom != DW_OP_plus_uconst) return false;
    }
    return true;
  }

 private:
  bool Read(int column) {
    return ::dwarf_frame_register(frame_.get(), column, memory_, &ops_, &count_) == 0;
  }

  // The register and offset of "register + offset".
  static bool Base(const Dwarf_Op& op, std::int64_t* number) {
    if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
      *number = op.atom - DW_OP_breg0;
      return true;
    }
    *number = static_cast<std::int64_t>(op.number);
    return op.atom == DW_OP_bregx;
  }
  static std::int64_t OffsetOf(const Dwarf_Op& op) {
    return static_cast<std::int64_t>(op.atom == DW_OP_bregx ? op.number2 : op.number);
  }

  bool IsSaved(int column, const Saved& saved) {
    if (!Read(column)) return false;
    if (count_ == 0) {
      return ops_ == nullptr ? saved.kind == SavedKind::kSame
                             : saved.kind != SavedKind::kAtCfa && saved.kind != SavedKind::kAtFp;
    }
    std::size_t first = 0;
    switch (saved.kind) {
      case SavedKind::kAtCfa: {
        if (ops_[0].atom != DW_OP_call_frame_cfa) return false;
        std::int64_t offset = 0;
        if (count_ > 1) {
          if (ops_[1].atom != DW_OP_plus_uconst) return false;
          offset = static_cast<std::int64_t>(ops_[1].number);
        }
        return offset == saved.offset;
      }
      case SavedKind::kRegister:
        return ops_[0].atom == DW_OP_reg0 + saved.offset ||
               (ops_[0].atom == DW_OP_regx &&
                static_cast<std::int64_t>(ops_[0].number) == saved.offset);
      case SavedKind::kAtFp:
        if (count_ == 2 && ops_[0].atom == DW_OP_call_frame_cfa) first = 1;
        return count_ == first + 1 && ops_[first].atom == DW_OP_breg0 + RegisterNumbers::kFp &&
               static_cast<std::int64_t>(ops_[first].number) == saved.offset;
      case SavedKind::kSame:
      case SavedKind::kUndefined:
        return false;
    }
    return false;
  }

  bool IsCfa(const UnwindRule& rule) {
    if (::dwarf_frame_cfa(frame_.get(), &ops_, &count_) != 0 || count_ == 0) return false;
    std::int64_t number = 0;
    const bool has_base = Base(ops_[0], &number);
    switch (rule.cfa) {
      case CfaKind::kRegister:
        return count_ == 1 && has_base && number == rule.cfa_register &&
               OffsetOf(ops_[0]) == rule.cfa_offset;
      case CfaKind::kDeref:
        return has_base && number == rule.cfa_register && OffsetOf(ops_[0]) == rule.cfa_offset &&
               count_ >= 2 && ops_[1].atom == DW_OP_deref &&
               (count_ == 2 ? rule.cfa_addend == 0
                            : count_ == 3 && ops_[2].atom == DW_OP_plus_uconst &&
                                  static_cast<std::int32_t>(ops_[2].number) == rule.cfa_addend);
      case CfaKind::kPlt: {
        // breg7 8, breg16 0, lit15, and, lit N, ge, lit3, shl, plus
        if (count_ != 9 || number != RegisterNumbers::kSp || OffsetOf(ops_[0]) != 8) return false;
        return ops_[4].atom == DW_OP_lit0 + rule.cfa_offset && ops_[5].atom == DW_OP_ge &&
               ops_[8].atom == DW_OP_plus;
      }
      case CfaKind::kNone:
      case CfaKind::kSwitched:
      case CfaKind::kResumed:
      case CfaKind::kSignal:
      case CfaKind::kComplex:
        return false;
    }
    return false;
  }

  std::unique_ptr<Dwarf_Frame, decltype(&std::free)> frame_;
  Dwarf_Op memory_[3] = {};
  Dwarf_Op* ops_ = nullptr;
  std::size_t count_ = 0;
};

struct Totals {
  std::size_t files = 0;
  std::size_t rows = 0;
  std::size_t most_rules = 0;
  std::size_t malformed = 0;
  std::size_t checks = 0;
  std::size_t complex = 0;
  std::size_t only_ours = 0;  // where libdw finds nothing
  std::vector<std::string> differences;
};

// Both of libdw's tables of one file, .eh_frame first.
class LibdwTables {
 public:
  explicit LibdwTables(const ElfFile& elf)
      : eh_(::dwarf_getcfi_elf(elf.handle())),
        dwarf_(::dwarf_begin_elf(elf.handle(), DWARF_C_READ, nullptr)),
        debug_(dwarf_ == nullptr ? nullptr : ::dwarf_getcfi(dwarf_)) {}
  ~LibdwTables() {
    if (eh_ != nullptr) ::dwarf_cfi_end(eh_);
    if (dwarf_ != nullptr) ::dwarf_end(dwarf_);
  }
  LibdwTables(const LibdwTables&) = delete;
  LibdwTables& operator=(const LibdwTables&) = delete;

  [[nodiscard]] Dwarf_Frame* Find(std::uint64_t address) const {
    Dwarf_Frame* frame = nullptr;
    for (Dwarf_CFI* cfi : {eh_, debug_}) {
      if (cfi != nullptr && ::dwarf_cfi_addrframe(cfi, address, &frame) == 0) return frame;
    }
    return nullptr;
  }

 private:
  Dwarf_CFI* eh_;
  Dwarf* dwarf_;
  Dwarf_CFI* debug_;
};

void CheckAddress(const LibdwTables& libdw, const UnwindTable& table, std::uint64_t address,
                  const std::string& path, Totals& totals) {
  ++totals.checks;
  const UnwindRule& rule = table.Find(ElfAddress{address});
  Dwarf_Frame* found = libdw.Find(address);
  std::string difference;
  if (found == nullptr) {
    if (rule.cfa != CfaKind::kNone) ++totals.only_ours;
    return;
  }
  LibdwFrame frame(found);
  if (rule.cfa == CfaKind::kNone) {
    difference = "only libdw has something";
  } else if (rule.cfa == CfaKind::kComplex) {
    ++totals.complex;
    if (frame.IsSimple()) difference = "not for tables, though simple";
  } else {
    difference = frame.Difference(rule);
  }
  if (!difference.empty()) {
    totals.differences.push_back(fmt::format("{} at {:#x}: {}", path, address, difference));
  }
}

void CheckFile(const std::string& path, Totals& totals) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return;
  const Result<ElfFile> elf = ElfFile::Open(std::move(file));
  if (!elf || elf->machine() != EM_X86_64 || elf->load_segments().empty()) return;
  const Result<UnwindTable> table = UnwindTable::Compile(*elf);
  REQUIRE(table.has_value());
  ++totals.files;
  totals.rows += table->rows();
  totals.most_rules = std::max(totals.most_rules, table->rules());
  totals.malformed += table->malformed();
  if (table->rows() == 0) return;
  const LibdwTables libdw(*elf);
  const auto low = static_cast<std::uint64_t>(table->RowStart(0));
  const auto high = static_cast<std::uint64_t>(table->RowStart(table->rows() - 1)) + 64;
  std::mt19937_64 random(table->rows());
  const std::size_t step = std::max<std::size_t>(1, table->rows() / kRowsOfFile);
  for (std::size_t i = random() % step; i < table->rows(); i += 1 + random() % (2 * step)) {
    const auto start = static_cast<std::uint64_t>(table->RowStart(i));
    CheckAddress(libdw, *table, start, path, totals);
    if (start > low) CheckAddress(libdw, *table, start - 1, path, totals);
    CheckAddress(libdw, *table, low + random() % (high - low), path, totals);
  }
}

std::vector<std::string> Files() {
  std::vector<std::string> files;
  std::set<std::filesystem::path> seen;
  for (const char* root : {"/usr/lib", "/usr/bin"}) {
    const auto options = std::filesystem::directory_options::skip_permission_denied;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root, options)) {
      std::error_code error;
      if (entry.is_regular_file(error) && entry.file_size(error) > 4096) {
        files.push_back(entry.path().string());
      }
    }
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

TEST_CASE("call frame tables agree with libdw's") {
  ::elf_version(EV_CURRENT);
  std::vector<std::string> files = Files();
  const bool all = std::getenv("AGENT_ALL_ELF") != nullptr;
  std::mt19937_64 random(7);
  if (!all) std::ranges::shuffle(files, random);
  Totals totals;
  for (const std::string& path : files) {
    CheckFile(path, totals);
    if (!all && totals.files >= kSampledFiles) break;
  }
  fmt::print(
      "{} files, {} rows, at most {} rules a file, {} malformed entries; {} addresses checked, {} "
      "not for tables, {} where libdw finds nothing, {} differences\n",
      totals.files, totals.rows, totals.most_rules, totals.malformed, totals.checks, totals.complex,
      totals.only_ours, totals.differences.size());
  constexpr std::size_t kListed = 100;
  for (std::size_t i = 0; i < std::min(kListed, totals.differences.size()); ++i) {
    fmt::print("  {}\n", totals.differences[i]);
  }
  CHECK(totals.checks > 10'000);
  CHECK(totals.differences.size() * 10'000 <= totals.checks);
}

}  // namespace agent::live
#endif
