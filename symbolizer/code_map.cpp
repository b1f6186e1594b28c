// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/code_map.h"

#include <algorithm>
#include <utility>

namespace agent {

void CodeMap::Remove(std::uint64_t start, std::uint64_t end) {
  auto place = ranges_.upper_bound(start);
  if (place != ranges_.begin() && std::prev(place)->second.end > start) --place;
  while (place != ranges_.end() && place->first < end) {
    const std::uint64_t old_start = place->first;
    Range old = std::move(place->second);
    place = ranges_.erase(place);
    if (old.end > end) ranges_.emplace(end, old);
    if (old_start < start) {
      old.end = start;
      ranges_.emplace(old_start, std::move(old));
    }
  }
}

void CodeMap::Add(std::uint64_t start, std::uint64_t size, std::shared_ptr<const JitCode> code) {
  if (size == 0 || start + size < start || ranges_.size() >= kMaxRanges) return;
  Remove(start, start + size);
  ranges_.emplace(start, Range{.end = start + size, .code_start = start, .code = std::move(code)});
}

void CodeMap::Move(std::uint64_t from, std::uint64_t to, std::uint64_t size) {
  const auto place = ranges_.find(from);
  if (place == ranges_.end() || place->second.code_start != from) return;
  std::shared_ptr<const JitCode> code = place->second.code;
  Remove(from, place->second.end);
  Add(to, size, std::move(code));
}

CodeMap::Found CodeMap::Find(std::uint64_t address) const {
  auto place = ranges_.upper_bound(address);
  if (place == ranges_.begin()) return {};
  --place;
  const Range& range = place->second;
  if (address >= range.end) return {};
  Found found{.code = range.code, .line = 0};
  const std::vector<JitCode::Row>& rows = range.code->rows;
  auto row = std::ranges::upper_bound(rows, address - range.code_start, {}, &JitCode::Row::offset);
  if (row != rows.begin()) found.line = std::prev(row)->line;
  return found;
}

}  // namespace agent
