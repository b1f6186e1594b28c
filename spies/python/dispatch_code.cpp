// SPDX-License-Identifier: Apache-2.0
#include "spies/python/dispatch_code.h"

#include <elf.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "agent/elf/relocated_words.h"
#include "spies/python/code_references.h"
#include "spies/unwind/cfi_reader.h"
#include "spies/unwind/eh_frame.h"

namespace agent::python {
namespace {

constexpr std::size_t kTableWords = 256;
constexpr std::size_t kLeastUnused = 8;  // 3.15 has 21, those before it more
// 3.15 has 240 functions of instructions and labels, in all 100 KB; an evaluation function that is
// not optimised has 400 KB.
constexpr std::size_t kMaxFunctions = 2048;
constexpr std::size_t kMaxCode = 4u << 20;
constexpr std::size_t kMaxTableReads = 16384;
constexpr std::size_t kMaxFrames = 32u << 20;  // bytes of .eh_frame; Debian's have 0.6 MB

class Finder {
 public:
  Finder(const ElfFile& file, std::span<const std::uint64_t> named)
      : file_(file), words_(file), named_(named) {
    // A call of another file's function in the place of a return would look like a jump within one.
    std::vector<ElfRange> stubs;
    for (const std::string_view name : {".plt", ".plt.sec", ".plt.got", ".iplt"}) {
      if (const auto section = file.FindSection(name)) stubs.push_back(*section);
    }
    const unwind::EhFrame frame(file);
    if (frame.bytes.size() > kMaxFrames) return;
    for (const unwind::Fde& fde :
         unwind::ReadCfiEntries(frame.bytes, frame.address, unwind::CfiFormat::kEhFrame).fdes) {
      const ElfRange range{ElfAddress{fde.start}, fde.size};
      const auto is_in = [&](const ElfRange& section) { return section.Contains(range.address); };
      if (std::ranges::none_of(stubs, is_in)) functions_.push_back(range);
    }
    std::ranges::sort(functions_, {}, &ElfRange::address);
  }

  DispatchCode Find(ElfAddress eval) {
    const ElfRange* const function = FunctionAt(static_cast<std::uint64_t>(eval));
    if (function == nullptr || function->address != eval) return {};
    Add(*function, false);
    Follow();
    found_.parts.erase(found_.parts.begin());
    if (found_.has_table) return std::move(found_);
    // The first of the functions that run instructions has the table, and the evaluation function
    // calls it.
    for (const std::uint64_t target : std::exchange(calls_, {})) {
      const ElfRange* const callee = FunctionAt(target);
      if (callee == nullptr || !IsStart(*callee, target) || IsNamed(target)) continue;
      for (const std::uint64_t address : Read(*callee).data) {
        if (AddTable(address)) Add(*callee, true);
      }
    }
    Follow();
    return std::move(found_);
  }

 private:
  struct Piece {
    ElfRange range;
    bool is_handler;
  };

  static bool IsStart(const ElfRange& function, std::uint64_t address) {
    return static_cast<std::uint64_t>(function.address) == address;
  }
  [[nodiscard]] bool IsNamed(std::uint64_t address) const {
    return std::ranges::binary_search(named_, address);
  }
  [[nodiscard]] const ElfRange* FunctionAt(std::uint64_t address) const {
    const auto after =
        std::ranges::upper_bound(functions_, ElfAddress{address}, {}, &ElfRange::address);
    if (after == functions_.begin()) return nullptr;
    const ElfRange& function = *std::prev(after);
    return function.Contains(ElfAddress{address}) ? &function : nullptr;
  }

  CodeReferences Read(const ElfRange& function) {
    const std::size_t size = std::min<std::uint64_t>(function.size, code_left_);
    code_left_ -= size;
    const std::vector<std::byte> code = file_.ReadLoaded(function.address, size);
    const auto start = static_cast<std::uint64_t>(function.address);
    return file_.machine() == EM_AARCH64 ? ReadReferencesAarch64(code, start)
                                         : ReadReferencesX86_64(code, start);
  }

  void Add(const ElfRange& range, bool is_handler) {
    if (known_.size() >= kMaxFunctions ||
        !known_.insert(static_cast<std::uint64_t>(range.address)).second) {
      return;
    }
    (is_handler ? found_.handlers : found_.parts).push_back(range);
    to_follow_.push_back({range, is_handler});
  }

  void AddUnnamed(const ElfRange& range, bool is_handler) {
    if (!IsNamed(static_cast<std::uint64_t>(range.address))) Add(range, is_handler);
  }

  // Jumps first: what labels a table may have depends on them.
  void Follow() {
    while (!to_follow_.empty() || !data_.empty()) {
      if (to_follow_.empty()) {
        const std::uint64_t address = data_.back();
        data_.pop_back();
        AddTable(address);
        continue;
      }
      const Piece piece = to_follow_.back();
      to_follow_.pop_back();
      const CodeReferences references = Read(piece.range);
      for (const std::uint64_t target : references.jumps) {
        const ElfRange* const function = FunctionAt(target);
        if (function == nullptr) continue;
        // The evaluation function may call another one by a jump, in the place of a return.
        // Handlers return nothing but what others of them do.
        if (IsStart(*function, target) && !piece.is_handler) continue;
        AddUnnamed(*function, piece.is_handler);
      }
      data_.insert(data_.end(), references.data.begin(), references.data.end());
      if (!piece.is_handler) calls_.insert(references.calls.begin(), references.calls.end());
    }
  }

  // Whether there is one at `address`.
  bool AddTable(std::uint64_t address) {
    if (address % sizeof(std::uint64_t) != 0 || !IsLoaded(address)) return false;
    const auto [place, is_new] = tables_.try_emplace(address, false);
    if (!is_new || tables_.size() > kMaxTableReads) return place->second;
    const std::vector<std::uint64_t> first = words_.Read(ElfAddress{address}, 1);
    if (first.empty() || FunctionAt(first.front()) == nullptr) return false;
    const std::vector<std::uint64_t> words = words_.Read(ElfAddress{address}, kTableWords);
    const std::unordered_set<std::uint64_t> targets(words.begin(), words.end());
    // The numbers of no instruction lead to one place. Other pointers (.got) are all different.
    if (words.empty() || targets.size() > kTableWords - kLeastUnused) return false;
    const auto is_label = [&](std::uint64_t target) {
      const ElfRange* const function = FunctionAt(target);
      return function != nullptr && known_.contains(static_cast<std::uint64_t>(function->address));
    };
    const auto is_function = [&](std::uint64_t target) {
      const ElfRange* const function = FunctionAt(target);
      return function != nullptr && IsStart(*function, target);
    };
    if (!std::ranges::all_of(targets, is_label)) {
      if (!std::ranges::all_of(targets, is_function)) return false;
      for (const std::uint64_t target : targets) AddUnnamed(*FunctionAt(target), true);
    }
    place->second = true;
    found_.has_table = true;
    return true;
  }

  [[nodiscard]] bool IsLoaded(std::uint64_t address) const {
    return std::ranges::any_of(file_.load_segments(), [&](const ElfSegment& segment) {
      return ElfRange{segment.address, segment.file_size}.Contains(ElfAddress{address});
    });
  }

  const ElfFile& file_;
  const RelocatedWords words_;
  const std::span<const std::uint64_t> named_;
  std::vector<ElfRange> functions_;  // by .eh_frame, sorted
  std::size_t code_left_ = kMaxCode;
  std::unordered_set<std::uint64_t> known_;
  std::unordered_map<std::uint64_t, bool> tables_;
  std::vector<Piece> to_follow_;
  std::vector<std::uint64_t> data_;  // where tables may be
  std::set<std::uint64_t> calls_;    // by the evaluation function
  DispatchCode found_;
};

}  // namespace

DispatchCode FindDispatchCode(const ElfFile& file, ElfAddress eval,
                              std::span<const std::uint64_t> named) {
  return Finder(file, named).Find(eval);
}

}  // namespace agent::python
