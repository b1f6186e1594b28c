// SPDX-License-Identifier: Apache-2.0
#include <elf.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "spies/python/dispatch_code.h"
#include "spies/python/interpreter_code.h"
#include "tests/support/catch.h"
#include "tests/support/cfi_bytes.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kCode = 0x401000;
constexpr std::uint64_t kData = 0x406000;
constexpr std::uint64_t kEnd = 0x40b000;
constexpr std::uint64_t kBase = 0x400000;  // of the file's first byte
constexpr std::uint64_t kDynamic = kEnd - 0x100;
constexpr std::uint64_t kTable = kData + 0x100;
constexpr std::uint64_t kOtherTable = kTable + 0x800;

constexpr std::uint64_t kPlt = kCode;  // 0x40 bytes
constexpr std::uint64_t kEval = kCode + 0x100;
constexpr std::uint64_t kCold = kCode + 0x800;
constexpr std::uint64_t kStart = kCode + 0x1000;
constexpr std::uint64_t kError = kCode + 0x1100;
constexpr std::uint64_t kErrorCold = kCode + 0x1200;
constexpr std::uint64_t kOther = kCode + 0x1300;
constexpr std::uint64_t kHandlers = kCode + 0x2000;  // of 0x10 bytes

// A stripped file: code, data, relative relocations, call frame information, and one symbol.
class Image {
 public:
  Image() : memory_(kEnd - kBase, std::byte{0x90}) {
    std::fill(memory_.begin() + (kData - kBase), memory_.end(), std::byte{0});
    for (const std::uint64_t start : {kPlt, kEval, kStart, kError, kErrorCold, kOther}) {
      Function(start, 0x40);
    }
    Function(kCold, 0x400);
  }

  void Function(std::uint64_t start, std::uint64_t size) {
    if (frame_.size() == 0) frame_.Append(UsualCie());
    frame_.Append(UsualFde(frame_.size(), start, size, {}));
  }
  void Jump(std::uint64_t from, std::uint64_t to) { Relative(from, {0xe9}, to); }
  void JumpIf(std::uint64_t from, std::uint64_t to) { Relative(from, {0x0f, 0x84}, to); }
  void Call(std::uint64_t from, std::uint64_t to) { Relative(from, {0xe8}, to); }
  void Lea(std::uint64_t at, std::uint64_t of) { Relative(at, {0x48, 0x8d, 0x05}, of); }
  // mov of an immediate operand to the stack
  void Move(std::uint64_t at, std::uint64_t address) {
    Relative(at, {0x48, 0xc7, 0x45, 0xf8}, address + at + 8);
  }
  void Word(std::uint64_t at, std::uint64_t value) { Put(at, value); }
  // As a file that may be loaded anywhere has it.
  void RelocatedWord(std::uint64_t at, std::uint64_t value) {
    relocations_.push_back({.r_offset = at,
                            .r_info = ELF64_R_INFO(0, R_X86_64_RELATIVE),
                            .r_addend = static_cast<Elf64_Sxword>(value)});
  }

  [[nodiscard]] std::shared_ptr<const std::vector<std::byte>> File() {
    using namespace std::string_view_literals;
    constexpr auto kTexts = "\0.eh_frame\0.plt\0.dynsym\0.dynstr\0_PyEval_EvalFrameDefault\0"sv;
    const auto name = [&](std::string_view text) {
      return static_cast<std::uint32_t>(kTexts.find(std::string(text) + '\0'));
    };
    Elf64_Sym symbols[2] = {};
    symbols[1].st_name = name("_PyEval_EvalFrameDefault");
    symbols[1].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbols[1].st_shndx = 2;
    symbols[1].st_value = kEval;
    symbols[1].st_size = 0x40;
    const std::uint64_t rela = kDynamic - relocations_.size() * sizeof(Elf64_Rela);
    for (std::size_t i = 0; i < relocations_.size(); ++i) {
      Put(rela + i * sizeof(Elf64_Rela), relocations_[i]);
    }
    Put(kDynamic, Elf64_Dyn{.d_tag = DT_RELA, .d_un = {.d_ptr = rela}});
    Put(kDynamic + 16, Elf64_Dyn{.d_tag = DT_RELASZ, .d_un = {.d_val = kDynamic - rela}});
    const Elf64_Phdr segments[] = {
        Segment(PT_LOAD, PF_R | PF_X, kCode, kData),
        Segment(PT_LOAD, PF_R | PF_W, kData, kEnd),
        Segment(PT_DYNAMIC, PF_R | PF_W, kDynamic, kEnd),
    };
    Bytes after;
    std::vector<Elf64_Shdr> sections(1);
    const auto add = [&](std::string_view text, Elf64_Word type, const Bytes& content) {
      Elf64_Shdr section{};
      section.sh_name = name(text);
      section.sh_type = type;
      section.sh_addralign = 1;
      section.sh_offset = memory_.size() + after.size();
      section.sh_size = content.size();
      sections.push_back(section);
      after.Append(content);
    };
    add(".eh_frame", SHT_PROGBITS, frame_);
    add(".plt", SHT_NOBITS, {});
    sections.back().sh_addr = kPlt;
    sections.back().sh_size = 0x40;
    add(".dynsym", SHT_DYNSYM, Bytes().Put(symbols[0]).Put(symbols[1]));
    sections.back().sh_entsize = sizeof(Elf64_Sym);
    sections.back().sh_link = 4;
    Bytes strings;
    for (const char c : kTexts) strings.U8(static_cast<unsigned char>(c));
    add(".dynstr", SHT_STRTAB, strings);
    while (after.size() % 8 != 0) after.U8(0);

    Elf64_Ehdr header = testing::ElfHeader(ET_DYN, EM_X86_64, std::size(segments));
    header.e_shoff = memory_.size() + after.size();
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = static_cast<Elf64_Half>(sections.size());
    header.e_shstrndx = 4;
    Put(kBase, header);
    Put(kBase + sizeof(header), segments);
    for (const Elf64_Shdr& section : sections) after.Put(section);
    std::vector<std::byte> bytes = memory_;
    bytes.insert(bytes.end(), after.get().begin(), after.get().end());
    return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  }

 private:
  template <typename T>
  void Put(std::uint64_t at, const T& value) {
    std::memcpy(memory_.data() + (at - kBase), &value, sizeof(value));
  }
  void Relative(std::uint64_t at, std::initializer_list<std::uint8_t> opcode, std::uint64_t to) {
    for (const std::uint8_t byte : opcode) Put(at++, byte);
    Put(at, static_cast<std::uint32_t>(to - at - 4));
  }
  static Elf64_Phdr Segment(Elf64_Word type, Elf64_Word flags, std::uint64_t start,
                            std::uint64_t end) {
    return {.p_type = type,
            .p_flags = flags,
            .p_offset = start - kBase,
            .p_vaddr = start,
            .p_paddr = start,
            .p_filesz = end - start,
            .p_memsz = end - start,
            .p_align = 8};
  }

  std::vector<std::byte> memory_;
  std::vector<Elf64_Rela> relocations_;
  Bytes frame_;
};

using Addresses = std::set<std::uint64_t>;

Addresses Starts(const std::vector<ElfRange>& ranges) {
  Addresses starts;
  for (const ElfRange& range : ranges) starts.insert(static_cast<std::uint64_t>(range.address));
  CHECK(starts.size() == ranges.size());
  return starts;
}

DispatchCode Find(Image& image, const std::vector<std::uint64_t>& named = {}) {
  const auto elf = ElfFile::OpenBytes(image.File());
  REQUIRE(elf);
  return FindDispatchCode(*elf, ElfAddress{kEval}, named);
}

InterpreterCode CodeOf(Image& image) {
  const auto elf = ElfFile::OpenBytes(image.File());
  REQUIRE(elf);
  return InterpreterCode(*elf);
}

// What handles instruction `i` of 256: the last ones are no instructions.
std::uint64_t Handler(std::uint64_t i) {
  return kHandlers + 0x10 * std::min<std::uint64_t>(i, 200);
}
std::uint64_t Label(std::uint64_t i) { return kCold + 4 * std::min<std::uint64_t>(i, 200); }

// The first function has the table, as in 3.14, and gives it on to no other.
Image TailCalls() {
  Image image;
  image.Call(kEval + 4, kStart);
  image.Call(kEval + 16, kOther);
  image.Lea(kStart + 2, kTable);
  for (std::uint64_t i = 0; i < 256; ++i) {
    if (i <= 200) image.Function(Handler(i), 0x10);
    image.RelocatedWord(kTable + 8 * i, Handler(i));
  }
  image.Call(Handler(7) + 1, kOther);
  image.JumpIf(Handler(7) + 8, kError);
  image.Jump(kError + 8, kErrorCold + 2);
  return image;
}

Addresses TailCallHandlers() {
  Addresses handlers{kStart, kError, kErrorCold};
  for (std::uint64_t i = 0; i <= 200; ++i) handlers.insert(Handler(i));
  return handlers;
}

TEST_CASE("Dispatch code: a loop apart from the evaluation function") {
  Image image;
  for (std::uint64_t i = 0; i < 256; ++i) image.Word(kTable + 8 * i, Label(i));
  image.Jump(kEval + 20, kCold + 4);
  SECTION("by the table's address") { image.Move(kEval + 4, kTable); }
  SECTION("by its distance") { image.Lea(kEval + 4, kTable); }
  const DispatchCode found = Find(image);
  CHECK(found.has_table);
  CHECK(Starts(found.parts) == Addresses{kCold});
  CHECK(found.handlers.empty());
  const InterpreterCode code = CodeOf(image);
  CHECK(code.has_eval());
  CHECK(code.At(ElfAddress{kEval + 0x3f}) == NativeKind::kEval);
  CHECK(code.At(ElfAddress{kCold + 0x3ff}) == NativeKind::kEval);
  CHECK(code.At(ElfAddress{kCold + 0x400}) == NativeKind::kOther);
}

TEST_CASE("Dispatch code: code that seldom runs has been put elsewhere") {
  Image image;
  image.JumpIf(kEval + 4, kCold + 12);
  image.Jump(kCold + 0x20, kEval + 10);
  const DispatchCode found = Find(image);
  CHECK(Starts(found.parts) == Addresses{kCold});
  CHECK_FALSE(found.has_table);
  CHECK_FALSE(CodeOf(image).has_eval());
}

TEST_CASE("Dispatch code: functions that a jump calls are no parts") {
  Image image;
  image.Jump(kEval + 4, kOther);
  image.JumpIf(kEval + 12, kPlt + 0x20);
  image.Jump(kEval + 20, kCode + 0x700);  // nothing is known there
  const DispatchCode found = Find(image);
  CHECK(found.parts.empty());
  CHECK(found.handlers.empty());
}

TEST_CASE("Dispatch code: an interpreter of tail calls") {
  Image image = TailCalls();
  const DispatchCode found = Find(image);
  CHECK(found.has_table);
  CHECK(found.parts.empty());
  CHECK(Starts(found.handlers) == TailCallHandlers());
  const InterpreterCode code = CodeOf(image);
  CHECK(code.has_eval());
  CHECK(code.At(ElfAddress{kEval}) == NativeKind::kEval);
  CHECK(code.At(ElfAddress{Handler(3) + 0xf}) == NativeKind::kPlumbing);
  CHECK(code.At(ElfAddress{kOther}) == NativeKind::kOther);
}

TEST_CASE("Dispatch code: the evaluation function gives the table on") {
  Image image = TailCalls();
  image.Lea(kEval + 24, kTable);
  image.Lea(kStart + 2, kData);
  image.Jump(Handler(9) + 4, kStart);
  // Another one, which only a handler refers to.
  image.Lea(Handler(8) + 1, kOtherTable);
  for (std::uint64_t i = 0; i < 256; ++i) image.RelocatedWord(kOtherTable + 8 * i, kOther);
  Addresses expected = TailCallHandlers();
  expected.insert(kOther);
  CHECK(Starts(Find(image).handlers) == expected);
}

TEST_CASE("Dispatch code: what has a name is what its name says") {
  Image image = TailCalls();
  Addresses expected = TailCallHandlers();
  for (const std::uint64_t named : {Handler(5), kError, kErrorCold}) expected.erase(named);
  CHECK(Starts(Find(image, {kError, kErrorCold, Handler(5)}).handlers) == expected);
}

TEST_CASE("Dispatch code: other tables of pointers") {
  Image image;
  image.Jump(kEval + 20, kCold + 4);
  image.Lea(kEval + 4, kTable);
  SECTION("no two are the same") {
    for (std::uint64_t i = 0; i < 256; ++i) image.Word(kTable + 8 * i, kCold + i);
  }
  SECTION("too short") {
    for (std::uint64_t i = 0; i < 255; ++i) image.Word(kTable + 8 * i, Label(i));
  }
  SECTION("data in between") {
    for (std::uint64_t i = 0; i < 256; ++i) image.Word(kTable + 8 * i, i == 99 ? kData : Label(i));
  }
  SECTION("labels of another function") {
    for (std::uint64_t i = 0; i < 256; ++i) {
      image.Word(kTable + 8 * i, i == 99 ? kOther + 4 : Label(i));
    }
  }
  SECTION("nothing refers to its start") {
    for (std::uint64_t i = 0; i < 256; ++i) image.Word(kTable + 8 + 8 * i, Label(i));
    image.Word(kTable, kData);
  }
  const DispatchCode found = Find(image);
  CHECK_FALSE(found.has_table);
  CHECK(Starts(found.parts) == Addresses{kCold});
  CHECK(found.handlers.empty());
  CHECK_FALSE(CodeOf(image).has_eval());
}

TEST_CASE("Dispatch code: files that are cut off") {
  Image image = TailCalls();
  const auto whole = image.File();
  for (std::size_t size = 0; size < whole->size(); size += 997) {
    const auto elf = ElfFile::OpenBytes(std::make_shared<const std::vector<std::byte>>(
        whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size)));
    if (elf) CHECK(FindDispatchCode(*elf, ElfAddress{kEval}, {}).handlers.size() <= 204);
  }
}

}  // namespace
