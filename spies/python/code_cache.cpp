// SPDX-License-Identifier: Apache-2.0
#include "spies/python/code_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "spies/python/line_table.h"
#include "spies/python/objects.h"

namespace agent::python {
namespace {

constexpr std::size_t kMaxCodes = 65536;
// Of line tables: past it the cache begins anew; those of one stack may have as much again.
constexpr std::size_t kMaxTableBytes = 32u << 20;
// Less than a page: what lies between two objects is mapped where they are.
constexpr std::uint64_t kMaxGap = 2048;
constexpr std::uint64_t kMaxAddress = std::uint64_t{1} << 57;  // past user space
constexpr std::size_t kMaxLines = 4096;  // positions that are kept of one code object

}  // namespace

CodeCache::CodeCache(ProcessMemory& memory, const Layout& layout, RemoteAddress code_type,
                     FunctionTable& functions)
    : memory_(memory), layout_(layout), code_type_(code_type), functions_(functions) {
  const Layout::Code& code = layout.code;
  const std::uint32_t last =
      std::max({code.first_line, code.filename, code.name, code.qualname, code.line_table});
  identity_start_ = layout.object_size - 8;  // ob_type
  identity_size_ = last + 8 - identity_start_;
}

void CodeCache::BlankWhatChanges(std::span<std::byte> identity) const {
  if (layout_.code.warmup == 0) return;
  std::ranges::fill(identity.subspan(layout_.code.warmup - identity_start_, 4), std::byte{0});
}

Result<void> CodeCache::Load(RemoteAddress address, std::span<const std::byte> identity,
                             Code& code) {
  const auto load = [&](auto& value, std::uint32_t offset) {
    std::memcpy(&value, identity.data() + (offset - identity_start_), sizeof(value));
  };
  const auto pointer = [&](std::uint32_t offset) {
    std::uint64_t value = 0;
    load(value, offset);
    return RemoteAddress(value);
  };
  if (!code_type_.IsNull() && pointer(identity_start_) != code_type_) {
    return Fail(Errc::kUnreadable, "not a code object");
  }
  AGENT_TRY(const std::string name, ReadString(memory_, layout_, pointer(layout_.code.qualname)));
  AGENT_TRY(const std::string file, ReadString(memory_, layout_, pointer(layout_.code.filename)));
  AGENT_TRY(auto line_table, ReadBytes(memory_, layout_, pointer(layout_.code.line_table)));
  if (table_bytes_ + line_table.size() > 2 * kMaxTableBytes) {
    return Fail(Errc::kLimit, "line tables too long");
  }
  table_bytes_ += line_table.size();  // what is replaced counts until the cache begins anew
  code.line_table = std::move(line_table);
  // What was read in between belongs to this code object only if it is still there.
  std::vector<std::byte> again(identity.size());
  AGENT_CHECK_OK(memory_.Read(address.Plus(identity_start_), again));
  BlankWhatChanges(again);
  if (!std::ranges::equal(again, identity)) return Fail(Errc::kUnreadable, "code object freed");
  code.identity.assign(identity.begin(), identity.end());
  load(code.first_line, layout_.code.first_line);
  code.function = functions_.Intern(name, file, code.first_line);
  code.lines.clear();
  return {};
}

// Where the bytecode that the frame runs begins; null when that cannot be told.
RemoteAddress CodeCache::BytecodeOf(const RawFrame& frame) const {
  // Copy 0 is the code object's own one (Include/internal/pycore_code.h, _PyCodeArray).
  if (frame.bytecode == 0) return frame.code.Plus(layout_.code.instructions);
  const auto array = memory_.ReadValue<std::uint64_t>(frame.code.Plus(layout_.code.tlbc));
  if (!array) return {};
  const auto size = memory_.ReadValue<std::uint64_t>(RemoteAddress(*array));
  if (!size || frame.bytecode >= *size) return {};
  const auto entry = memory_.ReadValue<std::uint64_t>(
      RemoteAddress(*array).Plus(sizeof(std::uint64_t) * (1 + std::uint64_t{frame.bytecode})));
  return RemoteAddress(entry.value_or(0));
}

std::uint32_t CodeCache::LineOf(Code& code, const RawFrame& frame) const {
  const RemoteAddress start = BytecodeOf(frame);
  if (start.IsNull()) return 0;
  // A frame that has run nothing yet points one unit before the start (3.11, 3.12).
  const auto index = static_cast<std::int64_t>(frame.instruction.value() - start.value()) / 2;
  const auto [place, inserted] = code.lines.try_emplace(index, 0);
  if (inserted) {
    if (code.lines.size() > kMaxLines ||
        code.lines.size() > code.line_table.size() + 2) {  // hostile: more positions than code
      code.lines.clear();
      return FindLine(layout_.code.line_format, code.line_table, code.first_line, index);
    }
    place->second = FindLine(layout_.code.line_format, code.line_table, code.first_line, index);
  }
  return place->second;
}

// Of seen.codes, by one system call for most. A range of a read costs more than a thousand bytes:
// what lies near each other is read as one.
Result<void> CodeCache::ReadIdentities(CodeIdentities& seen) {
  if (!seen.codes.empty() && seen.codes.back().value() > kMaxAddress) {
    return Fail(Errc::kUnreadable, "not a code object");
  }
  pieces_.clear();
  seen.places.clear();
  std::size_t before = 0;  // the bytes of all pieces but the last
  for (const RemoteAddress code : seen.codes) {
    const std::uint64_t start = code.value() + identity_start_;
    if (pieces_.empty() || start > pieces_.back().end + kMaxGap) {
      if (!pieces_.empty()) before += pieces_.back().end - pieces_.back().start;
      pieces_.push_back({start, start});
    }
    Piece& piece = pieces_.back();
    seen.places.push_back(before + (start - piece.start));
    piece.end = std::max(piece.end, start + identity_size_);
  }
  if (!pieces_.empty()) before += pieces_.back().end - pieces_.back().start;
  seen.bytes.resize(before);
  std::span<std::byte> rest = seen.bytes;
  for (std::size_t first = 0; first < pieces_.size(); first += ProcessMemory::kMaxRanges) {
    ranges_.clear();
    const std::size_t count = std::min(pieces_.size() - first, ProcessMemory::kMaxRanges);
    for (const Piece& piece : std::span(pieces_).subspan(first, count)) {
      const std::size_t size = piece.end - piece.start;
      ranges_.push_back({RemoteAddress(piece.start), rest.first(size)});
      rest = rest.subspan(size);
    }
    AGENT_CHECK_OK(memory_.ReadRanges(ranges_));
  }
  for (std::size_t i = 0; i < seen.codes.size(); ++i) BlankWhatChanges(IdentityOf(seen, i));
  return {};
}

bool CodeCache::AreUnchanged(std::span<const RemoteAddress> codes) {
  unchanged_.codes.assign(codes.begin(), codes.end());
  std::ranges::sort(unchanged_.codes);
  if (!ReadIdentities(unchanged_)) return false;
  for (std::size_t i = 0; i < unchanged_.codes.size(); ++i) {
    const auto identity = IdentityOf(unchanged_, i);
    const auto known = codes_.find(unchanged_.codes[i]);
    if (known == codes_.end() || !std::ranges::equal(known->second.identity, identity))
      return false;
  }
  return true;
}

std::optional<std::uint32_t> CodeCache::KnownLine(const RawFrame& frame) {
  const auto known = codes_.find(frame.code);
  if (known == codes_.end() || known->second.function == nullptr) return std::nullopt;
  const std::uint32_t line = LineOf(known->second, frame);
  if (line == 0) return std::nullopt;
  return line;
}

bool CodeCache::IsOf(const CodeEpoch& epoch, RemoteAddress address) const {
  if (epoch.interpreter.IsNull()) return false;
  const auto known = codes_.find(address);
  return known != codes_.end() && known->second.epoch == epoch;
}

Result<void> CodeCache::Identify(std::span<const RawFrame> frames, const CodeEpoch& epoch,
                                 CodeIdentities& seen) {
  seen.codes.clear();
  for (const RawFrame& frame : frames) {
    if (!IsOf(epoch, frame.code)) seen.codes.push_back(frame.code);
  }
  std::ranges::sort(seen.codes);
  seen.codes.erase(std::ranges::unique(seen.codes).begin(), seen.codes.end());
  AGENT_CHECK_OK(ReadIdentities(seen));
  seen.are_taken = true;
  return {};
}

Result<void> CodeCache::Name(std::span<const RawFrame> frames, const CodeEpoch& epoch,
                             CodeIdentities& seen, Stack& stack) {
  stack.clear();
  if (codes_.size() + frames.size() > kMaxCodes || table_bytes_ > kMaxTableBytes) {
    codes_.clear();
    table_bytes_ = 0;
  }
  const bool in_time = seen.are_taken;
  if (!in_time) {
    AGENT_CHECK_OK(Identify(frames, epoch, seen));
    seen.are_taken = false;
  }
  bool all_known = true;
  for (std::size_t i = 0; i < seen.codes.size(); ++i) {
    const auto identity = IdentityOf(seen, i);
    Code& code = codes_[seen.codes[i]];
    const bool is_known = code.function != nullptr && std::ranges::equal(code.identity, identity);
    if (!is_known) {
      if (Result<void> loaded = Load(seen.codes[i], identity, code); !loaded) {
        codes_.erase(seen.codes[i]);
        return loaded;
      }
    }
    all_known &= is_known;
    code.epoch = epoch;
  }
  if (!in_time && !all_known) return Fail(Errc::kUnreadable, "code objects that are new");
  stack.reserve(frames.size());
  for (const RawFrame& frame : frames) {
    const auto known = codes_.find(frame.code);
    // Forgotten since they were seen.
    if (known == codes_.end() || known->second.epoch != epoch) {
      stack.clear();
      return Fail(Errc::kUnreadable, "code objects forgotten");
    }
    stack.push_back({known->second.function, LineOf(known->second, frame)});
  }
  return {};
}

}  // namespace agent::python
