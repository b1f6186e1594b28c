// SPDX-License-Identifier: Apache-2.0
// Go's function table from bytes; real programs: tests/e2e/test_go_pclntab.py.
#include "agent/elf/go_pclntab.h"

#include <elf.h>

#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/elf_header.h"

namespace agent {
namespace {

constexpr std::uint64_t kText = 0x401000;
constexpr std::uint32_t kMagic116 = 0xfffffffa;
constexpr std::uint32_t kMagic118 = 0xfffffff0;
constexpr std::uint32_t kMagic120 = 0xfffffff1;

class Bytes {
 public:
  template <typename T>
  void Add(T value) {
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  void AddWords(std::initializer_list<std::uint32_t> words) {
    for (const std::uint32_t word : words) Add(word);
  }
  std::uint32_t AddString(std::string_view text) {
    const auto at = static_cast<std::uint32_t>(bytes.size());
    for (const char c : text) Add(c);
    Add('\0');
    return at;
  }
  template <typename T>
  void Set(std::size_t offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
  }
  void Append(const Bytes& other) {
    bytes.insert(bytes.end(), other.bytes.begin(), other.bytes.end());
  }
  void AlignTo(std::size_t size) { bytes.resize((bytes.size() + size - 1) / size * size); }

  std::vector<std::byte> bytes;
};

// {value, bytes of code that it holds for}
using Rows = std::vector<std::pair<std::int32_t, std::uint32_t>>;

void AddVarint(Bytes& to, std::uint32_t value) {
  for (; value >= 0x80; value >>= 7) to.Add(static_cast<std::uint8_t>(value | 0x80));
  to.Add(static_cast<std::uint8_t>(value));
}

std::uint32_t AddRows(Bytes& to, const Rows& rows) {
  const auto at = static_cast<std::uint32_t>(to.bytes.size());
  std::int32_t last = -1;
  for (const auto& [value, length] : rows) {
    const std::int32_t difference = value - last;
    AddVarint(to, (static_cast<std::uint32_t>(difference) << 1) ^
                      static_cast<std::uint32_t>(difference >> 31));
    AddVarint(to, length);
    last = value;
  }
  to.Add(std::uint8_t{0});
  return at;
}

// Two functions. main.work has 0x200 bytes of code in work.go; from 0x100 on stands main.inner of
// inner.go, and from 0x140 on main.innermost, called by main.inner. runtime.mstart has 0x20 bytes.
struct Program {
  explicit Program(std::uint32_t version_magic) : magic(version_magic) { Build(); }

  [[nodiscard]] std::size_t HeaderSize() const { return magic == kMagic116 ? 64 : 72; }
  [[nodiscard]] std::size_t FirstPart() const { return HeaderSize() - 40; }

  void AddRecord(Bytes& records, std::uint32_t name, const std::array<std::uint32_t, 3>& values,
                 std::uint32_t inline_values, std::uint8_t flags, std::uint64_t start) {
    records.AlignTo(8);
    if (magic == kMagic116) {
      records.Add(start);
    } else {
      records.Add(static_cast<std::uint32_t>(start - kText));
    }
    records.AddWords({name, 0, 0, values[0], values[1], values[2], 3, 0});
    if (magic == kMagic120) records.Add(std::uint32_t{7});  // its first line
    records.AddWords({std::uint32_t{4} << 24 | std::uint32_t{flags} << 8, 0, 0, inline_values});
    const bool inlines = inline_values != 0;
    if (magic == kMagic116) {
      records.AlignTo(8);
      for (int i = 0; i < 3; ++i) records.Add(std::uint64_t{0});
      records.Add(inlines ? trees_address : 0);
    } else {
      records.AddWords({0, 0, 0, inlines ? 16U : 0xffffffffU});
    }
  }

  void Build() {
    Bytes names;
    names.AddString("");
    const std::uint32_t work = names.AddString("main.work");
    const std::uint32_t inner = names.AddString("main.inner");
    const std::uint32_t innermost = names.AddString("main.innermost");
    const std::uint32_t mstart = names.AddString("runtime.mstart");
    Bytes files;
    const std::uint32_t work_file = files.AddString("/src/work.go");
    const std::uint32_t inner_file = files.AddString("/src/inner.go");
    Bytes units;
    units.AddWords({work_file, inner_file});
    Bytes values;
    values.Add(std::uint8_t{0});
    const std::uint32_t pcsp = AddRows(values, {{0, 4}, {0x48, 0x1f0}, {0, 12}});
    const std::uint32_t pcfile = AddRows(values, {{0, 0x100}, {1, 0x80}, {0, 0x80}});
    const std::uint32_t pcln =
        AddRows(values, {{10, 0xf0}, {11, 0x10}, {30, 0x40}, {20, 0x40}, {12, 0x80}});
    const std::uint32_t inlined = AddRows(values, {{-1, 0x100}, {0, 0x40}, {1, 0x40}, {-1, 0x80}});
    const std::uint32_t flat = AddRows(values, {{0, 0x20}});
    Bytes records;
    AddRecord(records, work, {pcsp, pcfile, pcln}, inlined, 0, kText);
    records.AlignTo(8);
    const std::size_t second = records.bytes.size();
    AddRecord(records, mstart, {flat, flat, flat}, 0, 5, kText + 0x200);

    const std::size_t entry = magic == kMagic116 ? 8 : 4;
    const auto table = static_cast<std::uint64_t>(entry * 6);  // after the functions' starts
    Bytes functions;
    for (const std::uint64_t word :
         {kText, table, kText + 0x200, table + second, kText + 0x220, std::uint64_t{0}}) {
      const std::uint64_t relative = word >= kText ? word - kText : word;
      if (magic == kMagic116) {
        functions.Add(word);
      } else {
        functions.Add(static_cast<std::uint32_t>(relative));
      }
    }
    functions.Append(records);

    bytes.AddWords({magic, 0x08010000});
    bytes.Add(std::uint64_t{2});
    bytes.Add(std::uint64_t{2});
    if (magic != kMagic116) bytes.Add(kText);
    bytes.bytes.resize(HeaderSize());
    std::size_t field = FirstPart();
    for (const Bytes* part : {&names, &units, &files, &values, &functions}) {
      bytes.AlignTo(8);
      bytes.Set(field, std::uint64_t{bytes.bytes.size()});
      field += 8;
      bytes.Append(*part);
    }
    // The inlined calls: which function, and at which of the caller's instructions it stands.
    trees.bytes.resize(16);  // offsets of trees count from here
    if (magic == kMagic120) {
      trees.AddWords({0, inner, 0xf4, 28, 0, innermost, 0x110, 18});
    } else {
      trees.AddWords({0, 0, 0, inner, 0xf4, 0, 0, 0, innermost, 0x110});
    }
    trees.bytes.resize(64);
  }

  // A program of one segment without sections: a note of Go's, the table, the trees, and (where
  // there is to be one) the moduledata.
  [[nodiscard]] std::shared_ptr<const std::vector<std::byte>> File(bool with_module) const {
    Bytes file;
    const Elf64_Ehdr header = testing::ElfHeader(ET_EXEC, EM_X86_64, 2);
    file.Add(header);
    const std::size_t segments = file.bytes.size();
    file.bytes.resize(segments + 2 * sizeof(Elf64_Phdr));
    const std::size_t note = file.bytes.size();
    file.AddWords({4, 4, 4, 0x00006f47, 0});
    file.bytes.resize(kTreesOffset);
    file.Append(trees);
    const std::size_t table = file.bytes.size();
    file.Append(bytes);
    file.AlignTo(8);
    if (with_module) {
      std::array<std::uint64_t, 48> module{};
      module[0] = kBase + table;
      for (std::size_t part = 0; part < 5; ++part) {
        std::uint64_t offset = 0;
        std::memcpy(&offset, bytes.bytes.data() + FirstPart() + 8 * part, sizeof offset);
        module[1 + 3 * part] = kBase + table + offset;
        module[2 + 3 * part] = bytes.bytes.size() - offset;
      }
      module[22] = kText;
      module[33] = kBase + 8;  // not gofunc
      module[40] = trees_address - 16;
      file.Add(module);
    }
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R;
    load.p_vaddr = kBase;
    load.p_filesz = load.p_memsz = file.bytes.size();
    file.Set(segments, load);
    load.p_type = PT_NOTE;
    load.p_offset = note;
    load.p_vaddr = kBase + note;
    load.p_filesz = load.p_memsz = 20;
    file.Set(segments + sizeof load, load);
    return std::make_shared<const std::vector<std::byte>>(std::move(file.bytes));
  }

  static constexpr std::uint64_t kBase = 0x700000;
  static constexpr std::size_t kTreesOffset = 0x200;
  std::uint32_t magic;
  std::uint64_t trees_address = kBase + kTreesOffset + 16;
  Bytes bytes;
  Bytes trees;
};

ElfAddress At(std::uint64_t offset) { return ElfAddress{kText + offset}; }

std::string Text(const GoPclntab& table, std::uint64_t offset) {
  const auto function = table.FindFunction(At(offset));
  if (!function) return "nothing";
  std::vector<GoPclntab::Level> levels;
  const std::size_t count = table.Names(*function, At(offset), levels);
  CHECK(count == levels.size());
  std::string text;
  for (const GoPclntab::Level& level : levels) {
    text += text.empty() ? "" : " < ";
    text += std::string(level.name) + " " + std::string(level.file) + ":" +
            std::to_string(level.line) + "(" + std::to_string(level.start_line) + ")";
    CHECK(level.inlined == (&level != &levels.back()));
  }
  return text;
}

GoPclntab FindIn(const Program& program, bool with_module) {
  auto elf = ElfFile::OpenBytes(program.File(with_module));
  REQUIRE(elf);
  auto table = GoPclntab::Find(*elf);
  REQUIRE(table);
  REQUIRE(*table);
  return *std::move(*table);
}

}  // namespace

TEST_CASE("pclntab of each version: functions, stack deltas, kinds") {
  for (const std::uint32_t magic : {kMagic116, kMagic118, kMagic120}) {
    const auto table = GoPclntab::Parse(Program(magic).bytes.bytes, ElfAddress{});
    REQUIRE(table);
    CHECK(table->function_count() == 2);
    CHECK(!table->FindFunction(ElfAddress{kText - 1}));
    CHECK(!table->FindFunction(At(0x220)));
    const auto work = table->FindFunction(At(0x1ff));
    REQUIRE(work);
    CHECK(work->start == At(0));
    CHECK(work->end == At(0x200));
    CHECK(work->kind == GoFunctionKind::kOrdinary);
    CHECK(table->Name(*work) == "main.work");
    CHECK(table->StackDelta(*work, At(0)) == 0);
    CHECK(table->StackDelta(*work, At(3)) == 0);
    CHECK(table->StackDelta(*work, At(4)) == 0x48);
    CHECK(table->StackDelta(*work, At(0x1f3)) == 0x48);
    CHECK(table->StackDelta(*work, At(0x1f4)) == 0);
    CHECK(!table->StackDelta(*work, At(0x200)));
    CHECK(!table->StackDelta(*work, ElfAddress{kText - 1}));
    const auto mstart = table->FindFunction(At(0x200));
    REQUIRE(mstart);
    CHECK(mstart->kind == GoFunctionKind::kRoot);
    CHECK(!table->has_inlines());
    CHECK(Text(*table, 0x150).starts_with("main.work /src/inner.go:20("));
  }
}

TEST_CASE("pclntab found by its bytes alone, with inlined calls") {
  for (const std::uint32_t magic : {kMagic116, kMagic118, kMagic120}) {
    const bool newest = magic == kMagic120;
    const GoPclntab table = FindIn(Program(magic), true);
    REQUIRE(table.has_inlines());
    CHECK(Text(table, 0) ==
          (newest ? "main.work /src/work.go:10(7)" : "main.work /src/work.go:10(0)"));
    CHECK(Text(table, 0x150) ==
          (newest ? "main.innermost /src/inner.go:20(18) < main.inner /src/inner.go:30(28) < "
                    "main.work /src/work.go:11(7)"
                  : "main.innermost /src/inner.go:20(0) < main.inner /src/inner.go:30(0) < "
                    "main.work /src/work.go:11(0)"));
    CHECK(Text(table, 0x1a0).ends_with("main.work /src/work.go:12(7)") == newest);
  }
}

TEST_CASE("pclntab without moduledata has names but no inlined calls") {
  const GoPclntab table = FindIn(Program(kMagic120), false);
  CHECK(!table.has_inlines());
  CHECK(Text(table, 0x150) == "main.work /src/inner.go:20(7)");
}

TEST_CASE("pclntab whose header leaves out where the text begins takes it from the moduledata") {
  Program program(kMagic120);
  program.bytes.Set(24, std::uint64_t{0});
  CHECK(!GoPclntab::Parse(program.bytes.bytes, ElfAddress{}));
  CHECK(GoPclntab::Parse(program.bytes.bytes, ElfAddress{kText}));
  const GoPclntab table = FindIn(program, true);
  CHECK(Text(table, 0) == "main.work /src/work.go:10(7)");
}

TEST_CASE("pclntab that is no such thing") {
  const auto code = [](const Result<GoPclntab>& result) { return result.error().code; };
  CHECK(code(GoPclntab::Parse({}, At(0))) == Errc::kMalformed);
  Program old(kMagic120);
  old.bytes.Set(0, std::uint32_t{0xfffffffb});
  CHECK(code(GoPclntab::Parse(old.bytes.bytes, At(0))) == Errc::kUnsupported);
  Program many(kMagic120);
  many.bytes.Set(8, std::uint64_t{1} << 60);
  CHECK(code(GoPclntab::Parse(many.bytes.bytes, At(0))) == Errc::kMalformed);
  for (std::size_t part = 0; part < 5; ++part) {
    Program outside(kMagic120);
    outside.bytes.Set(outside.FirstPart() + 8 * part, ~std::uint64_t{0});
    CHECK(code(GoPclntab::Parse(outside.bytes.bytes, At(0))) == Errc::kMalformed);
  }
}

// Every byte of a table and of its file is set to some values, and every length of it is tried:
// what is read must stay within it (the sanitizers see to that) and every call must return.
TEST_CASE("pclntab of hostile bytes") {
  for (const std::uint32_t magic : {kMagic116, kMagic118, kMagic120}) {
    const Program program(magic);
    const auto good = program.File(true);
    std::vector<GoPclntab::Level> levels;
    const auto use = [&levels](const GoPclntab& table) {
      for (std::uint64_t offset = 0; offset < 0x230; offset += 0x10) {
        const auto function = table.FindFunction(At(offset));
        if (!function) continue;
        levels.clear();
        (void)table.StackDelta(*function, At(offset));
        CHECK(table.Names(*function, At(offset), levels) <= 257);
      }
    };
    for (std::size_t i = 0; i < good->size(); ++i) {
      for (const unsigned value : {0x00U, 0x7fU, 0x80U, 0xffU}) {
        auto bytes = *good;
        bytes[i] = std::byte{static_cast<unsigned char>(value)};
        auto elf = ElfFile::OpenBytes(std::make_shared<const std::vector<std::byte>>(bytes));
        if (!elf) continue;
        const auto table = GoPclntab::Find(*elf);
        if (table && *table) use(**table);
      }
    }
    for (std::size_t size = 0; size < program.bytes.bytes.size(); ++size) {
      auto bytes = program.bytes.bytes;
      bytes.resize(size);
      if (const auto table = GoPclntab::Parse(std::move(bytes), At(0))) use(*table);
    }
  }
}

}  // namespace agent
