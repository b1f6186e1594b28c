// SPDX-License-Identifier: Apache-2.0
#include "agent/elf/go_pclntab.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace agent {
namespace {

static_assert(std::endian::native == std::endian::little, "tables are read as they are");

constexpr std::uint32_t kMagic12 = 0xfffffffb;   // Go 1.2 to 1.15
constexpr std::uint32_t kMagic116 = 0xfffffffa;  // Go 1.16 and 1.17
constexpr std::uint32_t kMagic118 = 0xfffffff0;  // Go 1.18 and 1.19
constexpr std::uint32_t kMagic120 = 0xfffffff1;  // Go 1.20 and later

constexpr std::size_t kMaxTable = 1u << 30;        // offsets have 32 bits
constexpr std::uint64_t kMaxFunctions = 1u << 24;  // the largest programs have some 1 << 18
constexpr std::size_t kMaxRows = 1u << 20;         // of the values of one function
constexpr std::size_t kMaxString = 1u << 16;
constexpr std::size_t kMaxLevels = 256;
constexpr std::size_t kMaxVarintBytes = 5;

constexpr std::uint32_t kInlineIndexTable = 2;  // PCDATA_InlTreeIndex
constexpr std::uint32_t kInlineTreeData = 3;    // FUNCDATA_InlTree
constexpr std::uint32_t kNoData = 0xffffffff;
constexpr std::uint8_t kSwitchesStackFlag = 2;  // FuncFlagSPWrite
constexpr std::uint8_t kAssemblyFlag = 4;       // FuncFlagAsm

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

// Where the fields of a function's record lie, and how long it is (runtime._func).
struct RecordLayout {
  std::size_t name, pcsp, pcfile, pcln, pcdata_count, unit, start_line, flags, data_count, size;
};

// The same of a call in an inline tree (runtime.inlinedCall).
struct CallLayout {
  std::size_t name, parent_pc, start_line, size;
};

struct Layout {
  RecordLayout record;
  CallLayout call;
  std::size_t entry_size;     // of functab: a function's start and its record's offset
  std::size_t header_fields;  // pointer-sized, after the first 8 bytes (runtime.pcHeader)
};

constexpr std::array<Layout, 3> kLayouts{{
    {{8, 20, 24, 28, 32, 36, kNone, kNone, 43, 44}, {12, 16, kNone, 20}, 16, 7},
    {{4, 16, 20, 24, 28, 32, kNone, 37, 39, 40}, {12, 16, kNone, 20}, 8, 8},
    {{4, 16, 20, 24, 28, 32, 36, 41, 43, 44}, {4, 8, 12, 16}, 8, 8},
}};

template <typename T>
T Load(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <typename T>
std::optional<T> LoadChecked(std::span<const std::byte> bytes, std::uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  return Load<T>(bytes, offset);
}

// A base-128 number at the front of `bytes`, which it takes off.
std::optional<std::uint32_t> TakeVarint(std::span<const std::byte>& bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < std::min(kMaxVarintBytes, bytes.size()); ++i) {
    const auto byte = static_cast<std::uint32_t>(bytes[i]);
    value |= (byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      bytes = bytes.subspan(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

struct NamedKind {
  std::string_view name;
  GoFunctionKind kind;
};

// All are in assembly.
constexpr std::array kNamedKinds = {
    NamedKind{"runtime.goexit", GoFunctionKind::kRoot},
    NamedKind{"runtime.mstart", GoFunctionKind::kRoot},
    NamedKind{"runtime.rt0_go", GoFunctionKind::kRoot},
    NamedKind{"runtime.mcall", GoFunctionKind::kRoot},
    NamedKind{"runtime.gogo", GoFunctionKind::kRoot},
    NamedKind{"gogo", GoFunctionKind::kRoot},
    NamedKind{"runtime.systemstack", GoFunctionKind::kSystemStack},
    NamedKind{"runtime.morestack", GoFunctionKind::kMoreStack},
    NamedKind{"runtime.asmcgocall", GoFunctionKind::kCgoCall},
    NamedKind{"runtime.cgocallback", GoFunctionKind::kCgoCallback},
    NamedKind{"runtime.sigpanic0", GoFunctionKind::kInjectedCall},
    NamedKind{"runtime.asyncPreempt", GoFunctionKind::kInjectedCall},
    NamedKind{"runtime.debugCallV2", GoFunctionKind::kInjectedCall},
    NamedKind{"runtime.sigtramp", GoFunctionKind::kSignalHandler},
    NamedKind{"runtime.cgoSigtramp", GoFunctionKind::kSignalHandler},
    NamedKind{"runtime.sigreturn", GoFunctionKind::kSignalReturn},
    NamedKind{"runtime.sigreturn__sigaction", GoFunctionKind::kSignalReturn},
};

const Layout& LayoutOf(auto version) { return kLayouts[static_cast<std::size_t>(version)]; }

}  // namespace

std::optional<std::uint32_t> GoPclntab::Word(std::uint64_t offset) const {
  return LoadChecked<std::uint32_t>(table_, offset);
}

std::optional<std::uint64_t> GoPclntab::Pointer(std::uint64_t offset) const {
  return LoadChecked<std::uint64_t>(table_, offset);
}

std::optional<std::uint32_t> GoPclntab::Field(const Function& function, std::size_t offset) const {
  return Word(std::uint64_t{function.record} + offset);
}

std::string_view GoPclntab::String(std::uint64_t offset, std::size_t end) const {
  if (offset >= end) return {};
  const std::size_t room = std::min(end - offset, kMaxString);
  const auto* text = reinterpret_cast<const char*>(table_.data() + offset);
  const auto* nul = static_cast<const char*>(std::memchr(text, 0, room));
  return nul == nullptr ? std::string_view() : std::string_view(text, nul);
}

Result<GoPclntab> GoPclntab::Parse(std::vector<std::byte> table, ElfAddress text) {
  GoPclntab result;
  result.table_ = std::move(table);
  AGENT_CHECK_OK(result.ParseHeader(text));
  result.FindSpecials();
  return result;
}

Result<void> GoPclntab::ParseHeader(ElfAddress text) {
  const auto magic = Word(0);
  const auto sizes = Word(4);  // two zeros, the least instruction size, the size of a pointer
  if (!magic || !sizes) return Fail(Errc::kMalformed, "Go's pclntab is too short");
  if (*magic == kMagic12) return Fail(Errc::kUnsupported, "Go before 1.16");
  if (*magic == kMagic116) {
    version_ = Version::k116;
  } else if (*magic == kMagic118) {
    version_ = Version::k118;
  } else if (*magic == kMagic120) {
    version_ = Version::k120;
  } else {
    return Fail(Errc::kMalformed, "Go's pclntab has an unknown magic");
  }
  quantum_ = static_cast<std::uint8_t>(*sizes >> 16);
  const bool quantum_known = quantum_ == 1 || quantum_ == 2 || quantum_ == 4;
  if ((*sizes & 0xffff) != 0 || !quantum_known || *sizes >> 24 != sizeof(std::uint64_t)) {
    return Fail(Errc::kMalformed, "Go's pclntab has a broken header");
  }
  const Layout& layout = LayoutOf(version_);
  std::array<std::uint64_t, 8> fields{};
  for (std::size_t i = 0; i < layout.header_fields; ++i) {
    const auto field = Pointer(8 + 8 * i);
    if (!field) return Fail(Errc::kMalformed, "Go's pclntab is too short");
    fields[i] = *field;
  }
  // Functions, files, [text,] then where the parts begin, in this order.
  const std::size_t first = layout.header_fields - 5;
  std::uint64_t last = 8 + 8 * layout.header_fields;
  for (std::size_t i = first; i < layout.header_fields; ++i) {
    if (fields[i] < last || fields[i] > table_.size()) {
      return Fail(Errc::kMalformed, "a part of Go's pclntab lies outside of it");
    }
    last = fields[i];
  }
  names_ = fields[first];
  units_ = fields[first + 1];
  files_ = fields[first + 2];
  values_ = fields[first + 3];
  functions_ = fields[first + 4];
  // One more entry says where the last function ends; only its first half is needed.
  if (fields[0] == 0 || fields[0] > kMaxFunctions || table_.size() > kMaxTable ||
      (table_.size() - functions_) / layout.entry_size < fields[0] ||
      table_.size() - functions_ - fields[0] * layout.entry_size < layout.entry_size / 2) {
    return Fail(Errc::kMalformed, "Go's pclntab has too many functions");
  }
  function_count_ = fields[0];
  if (version_ == Version::k116) return {};  // its addresses are absolute
  text_ = fields[2] != 0 ? fields[2] : static_cast<std::uint64_t>(text);
  if (text_ == 0) return Fail(Errc::kMalformed, "where Go's functions begin is not known");
  return {};
}

// `index` is at most function_count_: ParseHeader saw that this lies within the table.
std::uint64_t GoPclntab::Entry(std::size_t index) const {
  if (version_ == Version::k116) return Load<std::uint64_t>(table_, functions_ + index * 16);
  return text_ + Load<std::uint32_t>(table_, functions_ + index * 8);
}

std::optional<GoPclntab::Function> GoPclntab::FunctionAt(std::size_t index) const {
  if (index >= function_count_) return std::nullopt;
  const Layout& layout = LayoutOf(version_);
  const std::size_t entry = functions_ + index * layout.entry_size;
  const std::uint64_t offset = version_ == Version::k116 ? Load<std::uint64_t>(table_, entry + 8)
                                                         : Load<std::uint32_t>(table_, entry + 4);
  if (offset > table_.size() - functions_ ||
      table_.size() - functions_ - offset < layout.record.size) {
    return std::nullopt;
  }
  Function function{.start = ElfAddress{Entry(index)},
                    .end = ElfAddress{Entry(index + 1)},
                    .record = static_cast<std::uint32_t>(functions_ + offset)};
  const auto special = std::ranges::lower_bound(specials_, function.record, {}, &Special::record);
  if (special != specials_.end() && special->record == function.record) {
    function.kind = special->kind;
  }
  return function;
}

std::optional<GoPclntab::Function> GoPclntab::FindFunction(ElfAddress pc) const {
  const auto wanted = static_cast<std::uint64_t>(pc);
  if (wanted < Entry(0) || wanted >= Entry(function_count_)) return std::nullopt;
  std::size_t low = 0;
  std::size_t high = function_count_;
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    (Entry(middle) <= wanted ? low : high) = middle;
  }
  auto function = FunctionAt(low);
  if (function && (pc < function->start || pc >= function->end)) return std::nullopt;
  return function;
}

// A table of values is a list of differences: of the value (zigzag), then of the pc up to which it
// holds. It starts with -1 at the function's start; a difference of 0 in a later row ends it.
std::optional<std::int32_t> GoPclntab::Value(const Function& function, std::uint32_t values,
                                             ElfAddress pc) const {
  if (values == 0 || values >= functions_ - values_ || pc < function.start) return std::nullopt;
  auto bytes = std::span(table_).subspan(values_ + values, functions_ - values_ - values);
  const std::uint64_t wanted =
      static_cast<std::uint64_t>(pc) - static_cast<std::uint64_t>(function.start);
  std::uint64_t reached = 0;
  std::uint32_t value = 0xffffffff;
  for (std::size_t row = 0; row < kMaxRows; ++row) {
    const auto difference = TakeVarint(bytes);
    if (!difference || (*difference == 0 && row != 0)) return std::nullopt;
    const auto advance = TakeVarint(bytes);
    if (!advance) return std::nullopt;
    value += (*difference >> 1) ^ (0 - (*difference & 1));
    reached += std::uint64_t{*advance} * quantum_;
    if (wanted < reached) return static_cast<std::int32_t>(value);
  }
  return std::nullopt;
}

std::optional<std::int32_t> GoPclntab::StackDelta(const Function& function, ElfAddress pc) const {
  const auto values = Field(function, LayoutOf(version_).record.pcsp);
  return values ? Value(function, *values, pc) : std::nullopt;
}

std::string_view GoPclntab::Name(const Function& function) const {
  const auto offset = Field(function, LayoutOf(version_).record.name);
  return offset ? String(std::uint64_t{names_} + *offset, units_) : std::string_view();
}

std::optional<std::uint64_t> GoPclntab::InlineTree(const Function& function) const {
  const RecordLayout& record = LayoutOf(version_).record;
  const auto pcdata_count = Field(function, record.pcdata_count);
  const auto counts = Field(function, record.data_count - 3);  // the count is its last byte
  if (!pcdata_count || !counts || *counts >> 24 <= kInlineTreeData) return std::nullopt;
  std::uint64_t data = function.record + record.size + std::uint64_t{*pcdata_count} * 4;
  if (version_ == Version::k116) {
    data = (data + 7) & ~std::uint64_t{7};
    const auto address = Pointer(data + std::uint64_t{kInlineTreeData} * 8);
    return address && *address != 0 ? address : std::nullopt;
  }
  const auto offset = Word(data + std::uint64_t{kInlineTreeData} * 4);
  if (!offset || *offset == kNoData) return std::nullopt;
  return go_func_ + *offset;
}

std::optional<std::span<const std::byte>> GoPclntab::InlinedCall(std::uint64_t tree,
                                                                 std::int32_t index) const {
  const std::size_t size = LayoutOf(version_).call.size;
  if (index < 0 || tree < trees_address_) return std::nullopt;
  const std::uint64_t offset = tree - trees_address_ + static_cast<std::uint64_t>(index) * size;
  if (offset > trees_.size() || trees_.size() - offset < size) return std::nullopt;
  return std::span(trees_).subspan(offset, size);
}

// Whether an inlined call names a function, and stands within the caller.
bool GoPclntab::MakesSense(const Function& function, std::span<const std::byte> call) const {
  const CallLayout& layout = LayoutOf(version_).call;
  if (call.size() < layout.size) return false;
  const std::uint64_t name = std::uint64_t{names_} + Load<std::uint32_t>(call, layout.name);
  const auto size =
      static_cast<std::uint64_t>(function.end) - static_cast<std::uint64_t>(function.start);
  const bool starts_there = name == names_ || (name < units_ && table_[name - 1] == std::byte{0});
  return starts_there && !String(name, units_).empty() &&
         Load<std::uint32_t>(call, layout.parent_pc) < size;
}

// The place of the innermost inlined call at `pc` in the function's tree, or -1.
std::int32_t GoPclntab::InlineIndex(const Function& function, ElfAddress pc) const {
  const RecordLayout& record = LayoutOf(version_).record;
  const auto count = Field(function, record.pcdata_count);
  if (!count || *count <= kInlineIndexTable) return -1;
  const auto values = Field(function, record.size + std::size_t{kInlineIndexTable} * 4);
  return values ? Value(function, *values, pc).value_or(-1) : -1;
}

void GoPclntab::AddPosition(const Function& function, ElfAddress pc, Level& level) const {
  const RecordLayout& record = LayoutOf(version_).record;
  const auto line_values = Field(function, record.pcln);
  const auto file_values = Field(function, record.pcfile);
  const auto unit = Field(function, record.unit);
  if (!line_values || !file_values || !unit) return;
  const auto line = Value(function, *line_values, pc);
  if (line && *line > 0) level.line = static_cast<std::uint32_t>(*line);
  const auto file = Value(function, *file_values, pc);
  if (!file || *file < 0) return;
  const std::uint64_t place =
      units_ + (std::uint64_t{*unit} + static_cast<std::uint64_t>(*file)) * 4;
  const auto name = place < files_ ? Word(place) : std::nullopt;
  if (name && *name != kNoData) level.file = String(std::uint64_t{files_} + *name, values_);
}

std::size_t GoPclntab::Names(const Function& function, ElfAddress pc,
                             std::vector<Level>& levels) const {
  const Layout& layout = LayoutOf(version_);
  const std::size_t before = levels.size();
  const auto tree = trees_.empty() ? std::nullopt : InlineTree(function);
  while (tree && levels.size() - before < kMaxLevels) {
    const auto call = InlinedCall(*tree, InlineIndex(function, pc));
    if (!call) break;
    const auto name = Load<std::uint32_t>(*call, layout.call.name);
    Level level;
    level.name = String(std::uint64_t{names_} + name, units_);
    level.inlined = true;
    if (layout.call.start_line != kNone) {
      level.start_line = Load<std::uint32_t>(*call, layout.call.start_line);
    }
    AddPosition(function, pc, level);
    levels.push_back(level);
    // What is inlined stands at an instruction of its caller, whose position is that of the call.
    pc = ElfAddress{static_cast<std::uint64_t>(function.start) +
                    Load<std::uint32_t>(*call, layout.call.parent_pc)};
    if (pc >= function.end) break;
  }
  Level level;
  level.name = Name(function);
  if (layout.record.start_line != kNone) {
    level.start_line = Field(function, layout.record.start_line).value_or(0);
  }
  AddPosition(function, pc, level);
  levels.push_back(level);
  return levels.size() - before;
}

GoFunctionKind GoPclntab::KindByName(const Function& function) const {
  const RecordLayout& record = LayoutOf(version_).record;
  std::uint32_t flags = kAssemblyFlag;
  if (record.flags != kNone) {
    const auto word = Field(function, record.flags - 1);  // the byte after the function's id
    if (!word) return GoFunctionKind::kOrdinary;
    flags = (*word >> 8) & 0xff;
  }
  const std::string_view name = Name(function);
  if (name == "runtime.sigpanic") return GoFunctionKind::kInjectedCall;  // not in assembly
  // Go code calls assembly through wrappers of the same name, which are ordinary functions.
  if ((flags & kAssemblyFlag) == 0) return GoFunctionKind::kOrdinary;
  const auto* found = std::ranges::find(kNamedKinds, name, &NamedKind::name);
  if (found != kNamedKinds.end()) return found->kind;
  return (flags & kSwitchesStackFlag) != 0 ? GoFunctionKind::kSwitchesStack
                                           : GoFunctionKind::kOrdinary;
}

void GoPclntab::FindSpecials() {
  std::vector<Special> found;
  for (std::size_t i = 0; i < function_count_; ++i) {
    const auto function = FunctionAt(i);
    if (!function) continue;
    const GoFunctionKind kind = KindByName(*function);
    if (kind != GoFunctionKind::kOrdinary) found.push_back({function->record, kind});
  }
  std::ranges::sort(found, {}, &Special::record);
  specials_ = std::move(found);
}

}  // namespace agent
