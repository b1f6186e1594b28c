// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/dwarf_unit.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "symbolizer/range_table.h"

namespace agent {
namespace {

constexpr std::size_t kMaxDies = 32u << 20;   // looked at, per unit
constexpr std::size_t kMaxScopes = 1u << 20;  // inlined calls per function
constexpr std::size_t kMaxRanges = 8u << 20;  // of all entries: they may all name one long list
constexpr std::size_t kMaxDepth = 1024;       // of entries in one another
constexpr std::size_t kMaxChain = 16;         // of DW_AT_abstract_origin and DW_AT_specification
constexpr std::size_t kMaxLevels = 256;       // of inlined calls at one address
constexpr std::size_t kMaxName = 16u << 10;

const std::uint8_t* AddressOf(const Dwarf_Die& die) {
  return static_cast<const std::uint8_t*>(die.addr);
}

/// Walks over the entries below one entry, parents first. Never goes over an entry's children
/// twice, though clang writes no DW_AT_sibling: where a list of children ends, the next entry
/// begins.
class DieCursor {
 public:
  /// `end`: behind the unit's last byte.
  DieCursor(const Dwarf_Die& root, const std::uint8_t* end) : root_(root), end_(end) {}

  /// The next entry: a child of the present one if `descend` says so. False at the end.
  bool Next(bool descend) {
    if (++count_ > kMaxDies) return false;
    if (descend && depth_ < kMaxDepth) {
      Dwarf_Die& parent = depth_ == 0 ? root_ : current_;
      Dwarf_Die child;
      if (::dwarf_child(&parent, &child) == 0) {
        ++depth_;
        current_ = child;
        return true;
      }
    }
    if (depth_ == 0) return false;
    Dwarf_Die next{};
    if (::dwarf_siblingof(&current_, &next) == 0) {
      current_ = next;
      return true;
    }
    // libdw leaves the place where the list ends in `next`.
    return Leave(AddressOf(next));
  }

  [[nodiscard]] Dwarf_Die& current() { return current_; }
  /// 1: a child of the root.
  [[nodiscard]] std::size_t depth() const { return depth_; }

 private:
  bool Leave(const std::uint8_t* place) {
    while (place != nullptr && place + 1 < end_ && *place == 0 && depth_ > 1) {
      --depth_;
      ++place;
      if (*place == 0) continue;
      Dwarf_Die next{};
      next.addr = const_cast<std::uint8_t*>(place);
      next.cu = root_.cu;
      current_ = next;
      return true;
    }
    return false;
  }

  Dwarf_Die root_;
  const std::uint8_t* end_;
  Dwarf_Die current_{};
  std::size_t depth_ = 0;
  std::size_t count_ = 0;
};

// Takes what it has looked at from `left`.
template <typename Visit>
void ForEachRange(Dwarf_Die& die, std::size_t& left, Visit&& visit) {
  std::ptrdiff_t offset = 0;
  Dwarf_Addr base = 0;
  Dwarf_Addr low = 0;
  Dwarf_Addr high = 0;
  for (; left > 0; --left) {
    offset = ::dwarf_ranges(&die, offset, &base, &low, &high);
    if (offset <= 0) return;
    if (low < high) visit(low, high);
  }
}

std::string StringOf(Dwarf_Die& die, unsigned int attribute) {
  Dwarf_Attribute value;
  if (::dwarf_attr(&die, attribute, &value) == nullptr) return {};
  const char* text = ::dwarf_formstring(&value);
  return text != nullptr ? std::string(text, ::strnlen(text, kMaxName)) : std::string();
}

std::optional<std::uint64_t> NumberOf(Dwarf_Die& die, unsigned int attribute) {
  Dwarf_Attribute value;
  Dwarf_Word number = 0;
  if (::dwarf_attr(&die, attribute, &value) == nullptr || ::dwarf_formudata(&value, &number) != 0) {
    return std::nullopt;
  }
  return number;
}

std::uint32_t LineOf(Dwarf_Die& die, unsigned int attribute) {
  return static_cast<std::uint32_t>(NumberOf(die, attribute).value_or(0));
}

std::string FileName(const char* name) {
  // libdw's word for a file that it does not know.
  return name != nullptr && std::string_view(name) != "???"
             ? std::string(name, ::strnlen(name, kMaxName))
             : std::string();
}

std::string FileOf(Dwarf_Die& die, unsigned int attribute) {
  const auto index = NumberOf(die, attribute);
  Dwarf_Die unit;
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (!index ||
      ::dwarf_cu_die(die.cu, &unit, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) ==
          nullptr ||
      ::dwarf_getsrcfiles(&unit, &files, &count) != 0 || *index >= count) {
    return {};
  }
  return FileName(::dwarf_filesrc(files, *index, nullptr, nullptr));
}

bool IsContainer(int tag) { return tag == DW_TAG_namespace || tag == DW_TAG_module; }

bool IsScope(int tag) {
  return tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block ||
         tag == DW_TAG_try_block || tag == DW_TAG_catch_block || tag == DW_TAG_with_stmt;
}

bool IsCpp(int language) {
  constexpr int kCpp17 = 0x2b;  // DWARF 5 supplement; elfutils 0.188 does not name them
  constexpr int kCpp20 = 0x2c;
  return language == DW_LANG_C_plus_plus || language == DW_LANG_C_plus_plus_03 ||
         language == DW_LANG_C_plus_plus_11 || language == DW_LANG_C_plus_plus_14 ||
         language == kCpp17 || language == kCpp20;
}

// Where the bytes of the unit that `unit_die` begins end.
const std::uint8_t* EndOfUnit(Dwarf_Die& unit_die) {
  const Dwarf_Off die_offset = ::dwarf_dieoffset(&unit_die);
  const Dwarf_Off start = die_offset - ::dwarf_cuoffset(&unit_die);
  Dwarf_Off next = 0;
  std::size_t header = 0;
  if (::dwarf_next_unit(::dwarf_cu_getdwarf(unit_die.cu), start, &next, &header, nullptr, nullptr,
                        nullptr, nullptr, nullptr, nullptr) != 0 ||
      next <= die_offset) {
    return AddressOf(unit_die);
  }
  return AddressOf(unit_die) + (next - die_offset);
}

std::optional<Dwarf_Die> EntryAt(Dwarf_Die& die, unsigned int attribute) {
  Dwarf_Attribute link;
  Dwarf_Die entry;
  if (::dwarf_attr(&die, attribute, &link) == nullptr ||
      ::dwarf_formref_die(&link, &entry) == nullptr) {
    return std::nullopt;
  }
  return entry;
}

// The type of the object that a C++ member function runs on.
std::optional<Dwarf_Die> ClassOf(Dwarf_Die& function) {
  auto object = EntryAt(function, DW_AT_object_pointer);
  if (!object) return std::nullopt;
  auto pointer = EntryAt(*object, DW_AT_type);
  return pointer ? EntryAt(*pointer, DW_AT_type) : std::nullopt;
}

// By the fields that the C# compiler gives it (Roslyn, GeneratedNames.cs).
dotnet::StateMachine StateMachineOf(Dwarf_Die& function) {
  constexpr int kMaxFields = 1000;
  auto type = ClassOf(function);
  Dwarf_Die field;
  if (!type || ::dwarf_child(&*type, &field) != 0) return dotnet::StateMachine::kNone;
  bool is_async = false;
  bool is_iterator = false;
  for (int i = 0; i < kMaxFields; ++i) {
    if (::dwarf_tag(&field) == DW_TAG_member) {
      const std::string name = StringOf(field, DW_AT_name);
      is_async |= name == "<>t__builder";
      is_iterator |= name == "<>2__current";
    }
    if (::dwarf_siblingof(&field, &field) != 0) break;
  }
  if (is_async && is_iterator) return dotnet::StateMachine::kAsyncIterator;
  if (is_async) return dotnet::StateMachine::kAsync;
  return is_iterator ? dotnet::StateMachine::kIterator : dotnet::StateMachine::kNone;
}

// What a function's entry says, over its abstract and declaring entries.
struct FunctionInfo {
  std::string name;
  AotMethod aot;
  bool qualified = false;
  std::string file;
  std::uint32_t line = 0;
};

}  // namespace

class DwarfUnit::Impl {
 public:
  Impl(Dwarf_CU* unit, const CodeRanges& code, bool may_open_split) : code_(code) {
    Dwarf_Half version = 0;
    std::uint8_t type = 0;
    if (::dwarf_cu_info(unit, &version, &type, &lines_die_, nullptr, nullptr, nullptr, nullptr) !=
        0) {
      return;
    }
    die_ = lines_die_;
    Dwarf_Die split{};
    if (type == DW_UT_skeleton && may_open_split &&
        ::dwarf_cu_info(unit, &version, &type, &lines_die_, &split, nullptr, nullptr, nullptr) ==
            0 &&
        split.addr != nullptr) {
      die_ = split;
    }
    if (::dwarf_getsrclines(&lines_die_, &lines_, &line_count_) != 0) line_count_ = 0;
    end_ = EndOfUnit(die_);
    is_cpp_ = IsCpp(::dwarf_srclang(&die_));
    is_native_aot_ = StringOf(die_, DW_AT_producer) == "NetRuntime";
    CollectFunctions(/*deep=*/false);
  }

  bool Find(std::uint64_t address, std::vector<NamedLevel>& chain) {
    Function* function = FindFunction(address);
    if (function == nullptr && !deep_) {
      // Functions in functions; in C++ those of local classes.
      CollectFunctions(/*deep=*/true);
      function = FindFunction(address);
    }
    NamedLevel running;
    FindLine(address, running);
    if (function == nullptr) {
      if (running.line == 0) return false;
      chain.push_back(std::move(running));
      return true;
    }
    AddChain(*function, address, std::move(running), chain);
    return true;
  }

 private:
  struct Range {
    std::uint64_t low;
    std::uint64_t high;
  };
  struct Scope {
    Dwarf_Die die;
    std::uint32_t first_range;
    std::uint32_t range_count;
    std::uint32_t end;  // of the scopes inside of it
  };
  struct Function {
    Dwarf_Die die;
    bool built = false;
    std::vector<Scope> scopes;  // inlined calls, parents first
    std::vector<Range> ranges;  // of the scopes
  };
  struct Container {
    const std::uint8_t* begin;
    const std::uint8_t* end;
    Dwarf_Die die;
  };

  void CollectFunctions(bool deep) {
    deep_ = deep;
    ranges_left_ = kMaxRanges;
    functions_.clear();
    table_ = {};
    containers_.clear();
    std::vector<std::pair<std::size_t, std::size_t>> open;  // depth and index of a container
    DieCursor cursor(die_, end_);
    bool descend = true;
    while (cursor.Next(descend)) {
      Dwarf_Die& die = cursor.current();
      while (!open.empty() && open.back().first >= cursor.depth()) {
        containers_[open.back().second].end = AddressOf(die);
        open.pop_back();
      }
      const int tag = ::dwarf_tag(&die);
      descend = deep || IsContainer(tag);
      if (tag == DW_TAG_subprogram) AddFunction(die);
      if (IsContainer(tag)) {
        open.emplace_back(cursor.depth(), containers_.size());
        containers_.push_back({.begin = AddressOf(die), .end = end_, .die = die});
      }
    }
    table_.Seal();
  }

  void AddFunction(Dwarf_Die& die) {
    const std::size_t index = functions_.size();
    bool has_code = false;
    ForEachRange(die, ranges_left_, [&](std::uint64_t low, std::uint64_t high) {
      // Functions that the linker has left out keep an entry at address 0, 1 or -1.
      if (!code_.Contains(low)) return;
      table_.Add(low, high, index);
      has_code = true;
    });
    if (has_code) functions_.push_back({.die = die, .built = false, .scopes = {}, .ranges = {}});
  }

  Function* FindFunction(std::uint64_t address) {
    Function* found = nullptr;
    (void)table_.Find(address, [&](const RangeTable<std::size_t>::Entry& entry) {
      found = &functions_[entry.value];
      return true;
    });
    return found;
  }

  void BuildScopes(Function& function) {
    function.built = true;
    std::vector<std::pair<std::size_t, std::size_t>> open;  // depth and index of a scope
    const auto close = [&](std::size_t depth) {
      while (!open.empty() && open.back().first >= depth) {
        function.scopes[open.back().second].end =
            static_cast<std::uint32_t>(function.scopes.size());
        open.pop_back();
      }
    };
    DieCursor cursor(function.die, end_);
    bool descend = true;
    while (cursor.Next(descend) && function.scopes.size() < kMaxScopes) {
      Dwarf_Die& die = cursor.current();
      close(cursor.depth());
      const int tag = ::dwarf_tag(&die);
      descend = IsScope(tag);
      if (tag != DW_TAG_inlined_subroutine) continue;
      const auto first = static_cast<std::uint32_t>(function.ranges.size());
      ForEachRange(die, ranges_left_, [&](std::uint64_t low, std::uint64_t high) {
        function.ranges.push_back({low, high});
      });
      open.emplace_back(cursor.depth(), function.scopes.size());
      function.scopes.push_back(
          {.die = die,
           .first_range = first,
           .range_count = static_cast<std::uint32_t>(function.ranges.size()) - first,
           .end = 0});
    }
    close(0);
  }

  static bool Covers(const Function& function, const Scope& scope, std::uint64_t address) {
    for (std::uint32_t i = 0; i < scope.range_count; ++i) {
      const Range& range = function.ranges[scope.first_range + i];
      if (address >= range.low && address < range.high) return true;
    }
    return false;
  }

  // `running` has the line at `address`.
  void AddChain(Function& function, std::uint64_t address, NamedLevel running,
                std::vector<NamedLevel>& chain) {
    if (!function.built) BuildScopes(function);
    std::vector<Dwarf_Die> path = {function.die};  // outermost first
    std::size_t i = 0;
    std::size_t end = function.scopes.size();
    while (i < end && path.size() < kMaxLevels) {
      const Scope& scope = function.scopes[i];
      if (!Covers(function, scope, address)) {
        i = scope.end;
        continue;
      }
      path.push_back(scope.die);
      end = scope.end;
      ++i;
    }
    NamedLevel level = std::move(running);
    for (auto place = path.rbegin(); place != path.rend(); ++place) {
      const FunctionInfo& info = InfoOf(*place);
      level.name = info.name;
      level.qualified = info.qualified;
      level.readable_cpp = !info.qualified && is_cpp_;
      level.aot = info.aot;
      if (level.file.empty()) level.file = info.file;
      level.start_line = level.file == info.file ? info.line : 0;
      chain.push_back(std::move(level));
      level = NamedLevel();
      level.line = LineOf(*place, DW_AT_call_line);
      level.file = FileOf(*place, DW_AT_call_file);
    }
  }

  const FunctionInfo& InfoOf(Dwarf_Die die) {
    const auto [place, is_new] = infos_.try_emplace(die.addr);
    FunctionInfo& info = place->second;
    if (!is_new) return info;
    for (std::size_t i = 0; i < kMaxChain; ++i) {
      if (!info.qualified) {
        std::string linkage = StringOf(die, DW_AT_linkage_name);
        if (linkage.empty()) linkage = StringOf(die, DW_AT_MIPS_linkage_name);
        if (!linkage.empty()) {
          info.name = std::move(linkage);
          info.qualified = true;
          if (is_native_aot_) {
            info.aot = {.name = StringOf(die, DW_AT_name), .state_machine = StateMachineOf(die)};
          }
        }
      }
      if (info.name.empty()) {
        info.name = StringOf(die, DW_AT_name);
        if (!info.name.empty()) info.name.insert(0, ContainersOf(die));
      }
      // NativeAOT declares all in the first line of the first file.
      if (info.line == 0 && !is_native_aot_) info.line = LineOf(die, DW_AT_decl_line);
      if (info.file.empty() && !is_native_aot_) info.file = FileOf(die, DW_AT_decl_file);
      auto next = EntryAt(die, DW_AT_abstract_origin);
      if (!next) next = EntryAt(die, DW_AT_specification);
      if (!next) break;
      die = *next;
    }
    return info;
  }

  // "a::(anonymous namespace)::" for an entry of this unit.
  std::string ContainersOf(const Dwarf_Die& die) {
    std::string prefix;
    for (Container& container : containers_) {
      if (AddressOf(die) <= container.begin || AddressOf(die) >= container.end) continue;
      const std::string name = StringOf(container.die, DW_AT_name);
      prefix += name.empty() ? "(anonymous namespace)" : name;
      prefix += "::";
    }
    return prefix.size() <= kMaxName ? prefix : std::string();
  }

  // The last row at or before `address`.
  void FindLine(std::uint64_t address, NamedLevel& level) const {
    std::size_t low = 0;
    std::size_t high = line_count_;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      Dwarf_Addr at = 0;
      (void)::dwarf_lineaddr(::dwarf_onesrcline(lines_, middle), &at);
      if (at <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == 0) return;
    Dwarf_Line* row = ::dwarf_onesrcline(lines_, low - 1);
    bool is_end = true;
    int line = 0;
    if (::dwarf_lineendsequence(row, &is_end) != 0 || is_end || ::dwarf_lineno(row, &line) != 0) {
      return;
    }
    level.line = static_cast<std::uint32_t>(line);
    level.file = FileName(::dwarf_linesrc(row, nullptr, nullptr));
  }

  const CodeRanges& code_;
  Dwarf_Die lines_die_{};  // the unit itself
  Dwarf_Die die_{};        // where its functions are: the same, or the split unit in its .dwo
  const std::uint8_t* end_ = nullptr;
  Dwarf_Lines* lines_ = nullptr;
  std::size_t line_count_ = 0;
  bool is_cpp_ = false;
  bool is_native_aot_ = false;
  bool deep_ = false;
  std::size_t ranges_left_ = kMaxRanges;
  std::vector<Function> functions_;
  RangeTable<std::size_t> table_;
  std::vector<Container> containers_;  // namespaces, parents first
  std::unordered_map<const void*, FunctionInfo> infos_;
};

DwarfUnit::DwarfUnit(Dwarf_CU* unit, const CodeRanges& code, bool may_open_split)
    : impl_(std::make_unique<Impl>(unit, code, may_open_split)) {}
DwarfUnit::~DwarfUnit() = default;
DwarfUnit::DwarfUnit(DwarfUnit&&) noexcept = default;
DwarfUnit& DwarfUnit::operator=(DwarfUnit&&) noexcept = default;

bool DwarfUnit::Find(std::uint64_t address, std::vector<NamedLevel>& chain) {
  return impl_->Find(address, chain);
}

}  // namespace agent
