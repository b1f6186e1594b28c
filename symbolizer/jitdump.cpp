// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/jitdump.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/byte_reader.h"
#include "symbolizer/perf_map.h"

namespace agent {
namespace {

constexpr std::uint32_t kMagic = 0x4a695444;
constexpr std::size_t kMaxHeader = 4096;
constexpr std::size_t kMaxRecord = 32u << 20;
constexpr std::size_t kMaxName = 4096;
constexpr std::size_t kMaxLines = 100'000;        // per function
constexpr std::size_t kMaxWaitingInfos = 10'000;  // without a load that they are about
// V8 counts the addresses of lines from an ELF header that it imagines before the code.
constexpr std::uint64_t kV8Shift = 0x40;

enum RecordId : std::uint32_t { kLoad = 0, kMove = 1, kDebugInfo = 2 };

struct FileHeader {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t total_size;
  std::uint32_t machine;
};

struct RecordHeader {
  std::uint32_t id;
  std::uint32_t total_size;
  std::uint64_t timestamp;
};

struct LoadRecord {
  std::uint32_t pid;
  std::uint32_t tid;
  std::uint64_t vma;
  std::uint64_t code_address;
  std::uint64_t code_size;
  std::uint64_t code_index;
};

struct MoveRecord {
  std::uint32_t pid;
  std::uint32_t tid;
  std::uint64_t vma;
  std::uint64_t old_address;
  std::uint64_t new_address;
  std::uint64_t code_size;
  std::uint64_t code_index;
};

struct DebugInfoRecord {
  std::uint64_t code_address;
  std::uint64_t count;
};

struct DebugEntry {
  std::uint64_t address;
  std::uint32_t line;
  std::uint32_t discriminator;
};

std::string_view ReadName(ByteReader& reader) { return reader.ReadString().substr(0, kMaxName); }

}  // namespace

void JitDump::AddLoad(std::span<const std::byte> body, CodeMap& map) {
  ByteReader reader(body);
  const auto load = reader.Read<LoadRecord>();
  const std::string_view name = ReadName(reader);
  if (!reader.ok()) return;
  auto code = std::make_shared<JitCode>(ParseJitName(name));
  const std::uint64_t shift = IsV8Name(name) ? kV8Shift : 0;
  if (const auto info = debug_infos_.find(load.code_address); info != debug_infos_.end()) {
    for (const Line& line : info->second.lines) {
      const std::uint64_t offset = line.address - load.code_address - shift;
      if (offset < load.code_size) code->rows.push_back({.offset = offset, .line = line.line});
    }
    std::ranges::stable_sort(code->rows, {}, &JitCode::Row::offset);
    if (code->file.empty()) code->file = info->second.file;
    debug_infos_.erase(info);
  }
  map.Add(load.code_address, load.code_size, std::move(code));
}

void JitDump::AddDebugInfo(std::span<const std::byte> body) {
  ByteReader reader(body);
  const auto record = reader.Read<DebugInfoRecord>();
  if (!reader.ok() || debug_infos_.size() >= kMaxWaitingInfos) return;
  DebugInfo info;
  // A name of the byte 0xff alone: the same as before. Lines of other files (code inlined from
  // there) are left out: a function has one file.
  constexpr std::string_view kSame = "\xff";
  bool own_file = true;
  for (std::uint64_t i = 0; i < record.count && info.lines.size() < kMaxLines; ++i) {
    const auto entry = reader.Read<DebugEntry>();
    const std::string_view file = ReadName(reader);
    if (!reader.ok()) break;
    if (i == 0) info.file = file;
    if (file != kSame) own_file = file == info.file;
    if (own_file) info.lines.push_back({.address = entry.address, .line = entry.line});
  }
  debug_infos_.insert_or_assign(record.code_address, std::move(info));
}

std::optional<std::size_t> JitDump::Add(std::span<const std::byte> bytes, CodeMap& map) {
  ByteReader reader(bytes);
  std::size_t taken = 0;
  if (!has_header_) {
    const auto header = reader.Read<FileHeader>();
    if (!reader.ok()) return 0;
    if (header.magic != kMagic || header.total_size < sizeof(FileHeader) ||
        header.total_size > kMaxHeader) {
      return std::nullopt;
    }
    reader.Skip(header.total_size - sizeof(FileHeader));
    if (!reader.ok()) return 0;
    taken = reader.position();
    has_header_ = true;
  }
  while (true) {
    const auto header = reader.Read<RecordHeader>();
    if (!reader.ok()) return taken;
    if (header.total_size < sizeof(RecordHeader) || header.total_size > kMaxRecord) {
      return std::nullopt;
    }
    const auto body = reader.Take(header.total_size - sizeof(RecordHeader));
    if (!reader.ok()) return taken;
    taken = reader.position();
    if (header.id == kLoad) AddLoad(body, map);
    if (header.id == kDebugInfo) AddDebugInfo(body);
    if (header.id == kMove) {
      ByteReader record(body);
      const auto move = record.Read<MoveRecord>();
      if (record.ok()) map.Move(move.old_address, move.new_address, move.code_size);
    }
  }
}

}  // namespace agent
