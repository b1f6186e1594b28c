// SPDX-License-Identifier: Apache-2.0
#include "agent/profile/frame.h"

#include "agent/base/utf8.h"

namespace agent {
namespace {

// Markers are needed in a full table too; a program can look like one (a function without a file),
// so their room is bounded as well.
constexpr std::size_t kBytesForMarkers = 1u << 20;
constexpr std::size_t kBytesPerEntry = sizeof(Function) + 64;  // with its place in the index

void Mix(std::size_t value, std::size_t& hash) {
  hash ^= value + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2);
}

}  // namespace

std::size_t FunctionTable::KeyHash::operator()(const Key& key) const {
  std::size_t hash = std::hash<std::string_view>{}(key.name);
  Mix(std::hash<std::string_view>{}(key.file), hash);
  Mix(key.start_line, hash);
  return hash;
}

const Function* FunctionTable::Intern(std::string_view name, std::string_view file,
                                      std::uint32_t start_line) {
  if (!IsUtf8(name) || !IsUtf8(file)) {
    return Intern(ReplaceNonUtf8(name), ReplaceNonUtf8(file), start_line);
  }
  const auto found = index_.find({name, file, start_line});
  if (found != index_.end()) return found->second;
  constexpr std::string_view kFull = "[too many functions]";
  const std::size_t room = kMaxBytes + (file.empty() ? kBytesForMarkers : 0);
  if (bytes_ > room && name != kFull) return Marker(kFull);
  bytes_ += kBytesPerEntry + name.size() + file.size();
  const Function& function = functions_.emplace_back(
      Function{.name = std::string(name), .file = std::string(file), .start_line = start_line});
  index_.emplace(Key{function.name, function.file, start_line}, &function);
  return &function;
}

}  // namespace agent
