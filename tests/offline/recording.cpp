// SPDX-License-Identifier: Apache-2.0
#include "tests/offline/recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "agent/base/hex.h"
#include "agent/format/gzip.h"

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

// 16: none.
unsigned HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return static_cast<unsigned>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<unsigned>(digit - 'a') + 10;
  return 16;
}

// False when it is not two digits for each byte of `bytes`.
bool ReadHex(std::string_view hex, std::span<std::byte> bytes) {
  if (hex.size() != 2 * bytes.size()) return false;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned high = HexDigit(hex[2 * i]);
    const unsigned low = HexDigit(hex[2 * i + 1]);
    if (high > 15 || low > 15) return false;
    bytes[i] = static_cast<std::byte>(high * 16 + low);
  }
  return true;
}

bool ReadHex(std::string_view hex, std::vector<std::byte>& bytes) {
  bytes.resize(hex.size() / 2);
  return ReadHex(hex, std::span(bytes));
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

// A line that tells of a thread.
bool ReadThreadLine(std::string_view word, std::string_view line, Recording::Thread& thread) {
  bool ok = true;
  if (word == "frame") {
    thread.frames.emplace_back(line);
  } else if (word == "comm") {
    thread.snapshot.comm = line;
  } else if (word == "registers") {
    for (std::uint64_t& value : thread.snapshot.registers.values) value = TakeNumber(line, ok);
    ok = ok && line.empty();
  } else if (word == "stack") {
    StackCopy& copy = thread.snapshot.stacks[0];
    copy.start = TakeNumber(line, ok);
    ok = ok && ReadHex(line, copy.bytes);
  } else {
    return false;
  }
  return ok;
}

// One that tells of a file.
bool ReadFileLine(std::string_view word, std::string_view line, FileFacts& file) {
  bool ok = true;
  if (word == "segment") {
    file.segments.push_back(ReadSegment(line, ok));
  } else if (word == "symbol") {
    ReadFact(line, file.symbols, ok);
  } else if (word == "section") {
    ReadFact(line, file.sections, ok);
  } else if (word == "content") {
    FileFacts::Content& content = file.contents[std::string(TakeWord(line))];
    content.address = ElfAddress{TakeNumber(line, ok)};
    ok = ok && ReadHex(line, content.bytes);
  } else {
    return false;
  }
  return ok;
}

// One line of the text into what it tells of. False when it is none of WriteRecording's.
bool ReadLine(std::string_view line, Recording& recording, FileFacts*& file) {
  bool ok = true;
  const std::string_view word = TakeWord(line);
  if (word == "runtime") {
    recording.runtime = line;
  } else if (word == "thread") {
    const auto tid = static_cast<pid_t>(TakeNumber(line, ok));
    recording.threads.push_back({.tid = InnerTid{tid}, .frames = {}, .snapshot = {}});
  } else if (word == "map") {
    recording.maps += line;
    recording.maps += '\n';
  } else if (word == "file") {
    const std::uint64_t device = TakeNumber(line, ok);
    file = &recording.files[{device, TakeNumber(line, ok)}];
  } else if (word == "root") {
    const std::string_view hex = TakeWord(line);
    ok = ReadHex(hex, recording.root[std::string(line)]);
  } else if (word == "page") {
    const std::uint64_t address = TakeNumber(line, ok);
    ok = ok && ReadHex(line, std::span(recording.pages[address]));
  } else {
    return (!recording.threads.empty() && ReadThreadLine(word, line, recording.threads.back())) ||
           (file != nullptr && ReadFileLine(word, line, *file));
  }
  return ok;
}

void WriteRanges(std::string_view word, const std::map<std::string, ElfRange, std::less<>>& ranges,
                 std::string& text) {
  for (const auto& [name, range] : ranges) {
    text += fmt::format("{} {} {:x} {:x}\n", word, name, static_cast<std::uint64_t>(range.address),
                        range.size);
  }
}

void WriteThread(const Recording::Thread& thread, std::string& text) {
  text += fmt::format("thread {:x}\n", static_cast<pid_t>(thread.tid));
  for (const std::string& frame : thread.frames) text += fmt::format("frame {}\n", frame);
  const StackCopy& stack = thread.snapshot.stacks[0];
  if (stack.bytes.empty()) return;
  text += fmt::format("comm {}\nregisters {:x}\n", thread.snapshot.comm,
                      fmt::join(thread.snapshot.registers.values, " "));
  text += fmt::format("stack {:x} {}\n", stack.start, ToHex(stack.bytes));
}

void WriteFile(const FileFacts& file, std::string& text) {
  for (const ElfSegment& segment : file.segments) {
    text += fmt::format("segment {:x} {:x} {:x} {:x} {:x}\n",
                        static_cast<std::uint64_t>(segment.offset),
                        static_cast<std::uint64_t>(segment.address), segment.file_size,
                        segment.memory_size, segment.executable ? 1 : 0);
  }
  WriteRanges("symbol", file.symbols, text);
  WriteRanges("section", file.sections, text);
  for (const auto& [name, content] : file.contents) {
    text += fmt::format("content {} {:x} {}\n", name, static_cast<std::uint64_t>(content.address),
                        ToHex(content.bytes));
  }
}

}  // namespace

std::string WriteRecording(const Recording& recording) {
  std::string text = fmt::format("runtime {}\n", recording.runtime);
  for (const Recording::Thread& thread : recording.threads) WriteThread(thread, text);
  std::string_view maps = recording.maps;
  while (!maps.empty()) {
    const std::size_t end = maps.find('\n');
    text += fmt::format("map {}\n", maps.substr(0, end));
    maps.remove_prefix(std::min(end, maps.size() - 1) + 1);
  }
  for (const auto& [key, file] : recording.files) {
    text += fmt::format("file {:x} {:x}\n", key.first, key.second);
    WriteFile(file, text);
  }
  for (const auto& [path, bytes] : recording.root) {
    text += fmt::format("root {} {}\n", ToHex(bytes), path);
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

std::map<std::string, Recording> ReadRecordings(const std::string& folder) {
  std::map<std::string, Recording> recordings;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (Result<Recording> recording = ReadRecordingFile(entry.path())) {
      recordings.emplace(entry.path().filename().string(), *std::move(recording));
    }
  }
  return recordings;
}

}  // namespace agent::offline
