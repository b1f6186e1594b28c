// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/jitdump.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

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

// Takes a T from the start of `bytes`.
template <typename T>
std::optional<T> Take(std::span<const std::byte>& bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes = bytes.subspan(sizeof(T));
  return value;
}

// Takes a string and the zero behind it.
std::optional<std::string_view> TakeString(std::span<const std::byte>& bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t end = text.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  bytes = bytes.subspan(end + 1);
  return text.substr(0, std::min(end, kMaxName));
}

}  // namespace

void JitDump::AddLoad(std::span<const std::byte> body, CodeMap& map) {
  const auto load = Take<LoadRecord>(body);
  const auto name = load ? TakeString(body) : std::nullopt;
  if (!name) return;
  auto code = std::make_shared<JitCode>(ParseJitName(*name));
  const std::uint64_t shift = IsV8Name(*name) ? kV8Shift : 0;
  if (const auto info = debug_infos_.find(load->code_address); info != debug_infos_.end()) {
    for (const Line& line : info->second.lines) {
      const std::uint64_t offset = line.address - load->code_address - shift;
      if (offset < load->code_size) code->rows.push_back({.offset = offset, .line = line.line});
    }
    std::ranges::stable_sort(code->rows, {}, &JitCode::Row::offset);
    if (code->file.empty()) code->file = info->second.file;
    debug_infos_.erase(info);
  }
  map.Add(load->code_address, load->code_size, std::move(code));
}

void JitDump::AddDebugInfo(std::span<const std::byte> body) {
  const auto record = Take<DebugInfoRecord>(body);
  if (!record || debug_infos_.size() >= kMaxWaitingInfos) return;
  DebugInfo info;
  // A name of the byte 0xff alone: the same as before. Lines of other files (code inlined from
  // there) are left out: a function has one file.
  constexpr std::string_view kSame = "\xff";
  bool own_file = true;
  for (std::uint64_t i = 0; i < record->count && info.lines.size() < kMaxLines; ++i) {
    const auto entry = Take<DebugEntry>(body);
    const auto file = entry ? TakeString(body) : std::nullopt;
    if (!file) break;
    if (i == 0) info.file = *file;
    if (*file != kSame) own_file = *file == info.file;
    if (own_file) info.lines.push_back({.address = entry->address, .line = entry->line});
  }
  debug_infos_.insert_or_assign(record->code_address, std::move(info));
}

std::optional<std::size_t> JitDump::Add(std::span<const std::byte> bytes, CodeMap& map) {
  const std::size_t size = bytes.size();
  if (!has_header_) {
    std::span<const std::byte> start = bytes;
    const auto header = Take<FileHeader>(start);
    if (!header) return 0;
    if (header->magic != kMagic || header->total_size < sizeof(FileHeader) ||
        header->total_size > kMaxHeader) {
      return std::nullopt;
    }
    if (bytes.size() < header->total_size) return 0;
    bytes = bytes.subspan(header->total_size);
    has_header_ = true;
  }
  while (true) {
    std::span<const std::byte> rest = bytes;
    const auto header = Take<RecordHeader>(rest);
    if (!header) break;
    if (header->total_size < sizeof(RecordHeader) || header->total_size > kMaxRecord) {
      return std::nullopt;
    }
    if (bytes.size() < header->total_size) break;
    std::span<const std::byte> body = rest.first(header->total_size - sizeof(RecordHeader));
    if (header->id == kLoad) AddLoad(body, map);
    if (header->id == kDebugInfo) AddDebugInfo(body);
    if (header->id == kMove) {
      if (const auto move = Take<MoveRecord>(body)) {
        map.Move(move->old_address, move->new_address, move->code_size);
      }
    }
    bytes = bytes.subspan(header->total_size);
  }
  return size - bytes.size();
}

}  // namespace agent
