// SPDX-License-Identifier: Apache-2.0
#include "tests/offline/recording.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include "agent/base/hex.h"
#include "agent/format/gzip.h"
#include "agent/process/mappings.h"
#include "tests/support/elf_header.h"

namespace agent::offline {
namespace {

constexpr std::size_t kMaxText = 64u << 20;

// The word off the front of a line; the line then begins behind the space.
std::string_view TakeWord(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

// A line's next number, hexadecimal.
std::uint64_t TakeNumber(std::string_view& line, bool& ok) {
  const std::string_view word = TakeWord(line);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
  ok = ok && error == std::errc() && end == word.data() + word.size();
  return value;
}

int HexDigit(char digit) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const std::size_t value = kDigits.find(digit);
  return value == std::string_view::npos ? -1 : static_cast<int>(value);
}

bool ReadPage(std::string_view hex, std::array<std::byte, kPage>& page) {
  if (hex.size() != 2 * kPage) return false;
  for (std::size_t i = 0; i < kPage; ++i) {
    const int value = HexDigit(hex[2 * i]) * 16 + HexDigit(hex[2 * i + 1]);
    if (HexDigit(hex[2 * i]) < 0 || HexDigit(hex[2 * i + 1]) < 0) return false;
    page[i] = static_cast<std::byte>(value);
  }
  return true;
}

void ReadFact(std::string_view line, std::map<std::string, ElfRange, std::less<>>& ranges,
              bool& ok) {
  const std::string name(TakeWord(line));
  const ElfAddress address{TakeNumber(line, ok)};
  ranges[name] = {.address = address, .size = TakeNumber(line, ok)};
}

ElfSegment ReadSegment(std::string_view line, bool& ok) {
  ElfSegment segment;
  segment.offset = FileOffset{TakeNumber(line, ok)};
  segment.address = ElfAddress{TakeNumber(line, ok)};
  segment.file_size = TakeNumber(line, ok);
  segment.memory_size = TakeNumber(line, ok);
  segment.executable = TakeNumber(line, ok) != 0;
  return segment;
}

// One line of the text into what it tells of. False when it is none of WriteRecording's.
bool ReadLine(std::string_view line, Recording& recording, FileFacts*& file) {
  bool ok = true;
  const std::string_view word = TakeWord(line);
  if (word == "runtime") {
    recording.runtime = line;
  } else if (word == "thread") {
    recording.threads.push_back(
        {.tid = InnerTid{static_cast<pid_t>(TakeNumber(line, ok))}, .frames = {}});
  } else if (word == "frame" && !recording.threads.empty()) {
    recording.threads.back().frames.emplace_back(line);
  } else if (word == "map") {
    recording.maps += line;
    recording.maps += '\n';
  } else if (word == "file") {
    const std::uint64_t device = TakeNumber(line, ok);
    file = &recording.files[{device, TakeNumber(line, ok)}];
  } else if (word == "segment" && file != nullptr) {
    file->segments.push_back(ReadSegment(line, ok));
  } else if (word == "symbol" && file != nullptr) {
    ReadFact(line, file->symbols, ok);
  } else if (word == "section" && file != nullptr) {
    ReadFact(line, file->sections, ok);
  } else if (word == "page") {
    const std::uint64_t address = TakeNumber(line, ok);
    ok = ok && ReadPage(line, recording.pages[address]);
  } else {
    return false;
  }
  return ok;
}

// --- An ELF file of facts
// --------------------------------------------------------------------------

template <typename T>
void Append(std::vector<std::byte>& bytes, const T& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof(T));
}

// Names one behind another, as .dynstr and .shstrtab have them.
struct Names {
  std::string text = std::string(1, '\0');
  std::uint32_t Add(std::string_view name) {
    const auto place = static_cast<std::uint32_t>(text.size());
    text += name;
    text += '\0';
    return place;
  }
};

Elf64_Shdr SectionHeader(std::uint32_t name, std::uint32_t type, const ElfRange& range) {
  Elf64_Shdr header{};
  header.sh_name = name;
  header.sh_type = type;
  header.sh_flags = SHF_ALLOC;
  header.sh_addr = static_cast<std::uint64_t>(range.address);
  header.sh_size = range.size;
  header.sh_addralign = 1;
  return header;
}

// Header, program headers, symbols, names, section headers.
std::vector<std::byte> MakeElfFile(const FileFacts& facts) {
  std::vector<std::byte> bytes;
  auto header =
      testing::ElfHeader(ET_DYN, EM_X86_64, static_cast<Elf64_Half>(facts.segments.size()));
  Append(bytes, header);
  for (const ElfSegment& segment : facts.segments) {
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | (segment.executable ? PF_X : 0u);
    load.p_offset = static_cast<std::uint64_t>(segment.offset);
    load.p_vaddr = static_cast<std::uint64_t>(segment.address);
    load.p_filesz = segment.file_size;
    load.p_memsz = segment.memory_size;
    Append(bytes, load);
  }
  Names names;
  std::vector<Elf64_Shdr> sections(1);
  // The first one, as the symbols are said to be in a section.
  for (const auto& [name, range] : facts.sections) {
    sections.push_back(SectionHeader(names.Add(name), SHT_NOBITS, range));
  }
  const auto put = [&](std::string_view name, std::uint32_t type, std::string_view content) {
    Elf64_Shdr section =
        SectionHeader(names.Add(name), type, {.address = {}, .size = content.size()});
    section.sh_offset = bytes.size();
    const auto raw = std::as_bytes(std::span(content));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
    sections.push_back(section);
  };
  Names symbol_names;
  std::vector<std::byte> symbols(sizeof(Elf64_Sym));
  for (const auto& [name, range] : facts.symbols) {
    Elf64_Sym symbol{};
    symbol.st_name = symbol_names.Add(name);
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
    symbol.st_shndx = 1;
    symbol.st_value = static_cast<std::uint64_t>(range.address);
    symbol.st_size = range.size;
    Append(symbols, symbol);
  }
  put(".dynstr", SHT_STRTAB, symbol_names.text);
  put(".dynsym", SHT_DYNSYM, {reinterpret_cast<const char*>(symbols.data()), symbols.size()});
  sections.back().sh_link = static_cast<std::uint32_t>(sections.size() - 2);
  sections.back().sh_entsize = sizeof(Elf64_Sym);
  const std::uint32_t own = names.Add(".shstrtab");
  Elf64_Shdr last = SectionHeader(own, SHT_STRTAB, {.address = {}, .size = names.text.size()});
  last.sh_offset = bytes.size();
  const auto raw = std::as_bytes(std::span(names.text));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
  sections.push_back(last);
  header.e_shoff = bytes.size();
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(sections.size());
  header.e_shstrndx = static_cast<Elf64_Half>(sections.size() - 1);
  for (const Elf64_Shdr& section : sections) Append(bytes, section);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

void WriteRanges(std::string_view word, const std::map<std::string, ElfRange, std::less<>>& ranges,
                 std::string& text) {
  for (const auto& [name, range] : ranges) {
    text += fmt::format("{} {} {:x} {:x}\n", word, name, static_cast<std::uint64_t>(range.address),
                        range.size);
  }
}

}  // namespace

std::string WriteRecording(const Recording& recording) {
  std::string text = fmt::format("runtime {}\n", recording.runtime);
  for (const Recording::Thread& thread : recording.threads) {
    text += fmt::format("thread {:x}\n", static_cast<pid_t>(thread.tid));
    for (const std::string& frame : thread.frames) text += fmt::format("frame {}\n", frame);
  }
  std::string_view maps = recording.maps;
  while (!maps.empty()) {
    const std::size_t end = maps.find('\n');
    text += fmt::format("map {}\n", maps.substr(0, end));
    maps.remove_prefix(std::min(end, maps.size() - 1) + 1);
  }
  for (const auto& [key, file] : recording.files) {
    text += fmt::format("file {:x} {:x}\n", key.first, key.second);
    for (const ElfSegment& segment : file.segments) {
      text += fmt::format("segment {:x} {:x} {:x} {:x} {:x}\n",
                          static_cast<std::uint64_t>(segment.offset),
                          static_cast<std::uint64_t>(segment.address), segment.file_size,
                          segment.memory_size, segment.executable ? 1 : 0);
    }
    WriteRanges("symbol", file.symbols, text);
    WriteRanges("section", file.sections, text);
  }
  for (const auto& [address, page] : recording.pages) {
    text += fmt::format("page {:x} {}\n", address, ToHex(page));
  }
  return Gzip(text);
}

Result<Recording> ReadRecording(std::string_view bytes) {
  AGENT_TRY(const std::string text, Gunzip(bytes, kMaxText));
  Recording recording;
  FileFacts* file = nullptr;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size() - 1);
    const std::string_view line = rest.substr(0, end);
    if (!ReadLine(line, recording, file)) {
      return Fail(Errc::kMalformed, "a line of no recording", std::string(line.substr(0, 80)));
    }
    rest.remove_prefix(end + 1);
  }
  return recording;
}

Result<Recording> ReadRecordingFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return ReadRecording(std::string{std::istreambuf_iterator<char>(file), {}});
}

std::size_t RecordedMemory::Copy(RemoteAddress address, std::span<std::byte> destination) const {
  std::size_t done = 0;
  while (done < destination.size()) {
    const std::uint64_t place = address.Plus(done).value();
    const auto page = pages_.find(place / kPage * kPage);
    if (page == pages_.end()) break;
    const std::size_t count =
        std::min<std::size_t>(destination.size() - done, kPage - place % kPage);
    std::memcpy(destination.data() + done, page->second.data() + place % kPage, count);
    done += count;
  }
  return done;
}

Result<void> RecordedMemory::ReadRanges(std::span<const ReadRange> ranges) {
  for (const ReadRange& range : ranges) {
    if (Copy(range.address, range.destination) != range.destination.size()) {
      return Fail(Errc::kUnreadable, "not recorded");
    }
  }
  return {};
}

Result<std::size_t> RecordedMemory::ReadSome(RemoteAddress address,
                                             std::span<std::byte> destination) {
  const std::size_t count = Copy(address, destination);
  if (count == 0) return Fail(Errc::kUnreadable, "not recorded");
  return count;
}

Result<std::vector<Mapping>> RecordedProcess::ReadMappings() {
  return ParseMappings(recording_.maps);
}

Result<UniqueFd> RecordedProcess::OpenMappedFile(const Mapping& mapping) {
  const auto found = recording_.files.find({mapping.device, mapping.inode});
  if (found == recording_.files.end()) return Fail(Errc::kUnreadable, "not recorded");
  const std::vector<std::byte> bytes = MakeElfFile(found->second);
  UniqueFd file(::memfd_create("recorded", MFD_CLOEXEC));
  if (!file.valid() ||
      ::pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return FailErrno("memfd_create");
  }
  return file;
}

}  // namespace agent::offline
