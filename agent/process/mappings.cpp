// SPDX-License-Identifier: Apache-2.0
#include "agent/process/mappings.h"

#include <charconv>
#include <optional>

namespace agent {
namespace {

// Takes a number in `base` and the separator behind it off the front of `text`.
std::optional<std::uint64_t> TakeNumber(std::string_view& text, int base, char separator) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  const auto length = static_cast<std::size_t>(end - text.data());
  if (error != std::errc() || length >= text.size() || *end != separator) return std::nullopt;
  text.remove_prefix(length + 1);
  return value;
}

// The kernel writes newlines in paths as \012 (fs/seq_file.c, seq_path); nothing else.
std::string UnescapePath(std::string_view text) {
  std::string path;
  path.reserve(text.size());
  while (!text.empty()) {
    if (text.starts_with("\\012")) {
      path.push_back('\n');
      text.remove_prefix(4);
    } else {
      path.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return path;
}

std::optional<Mapping> ParseLine(std::string_view line) {
  Mapping mapping;
  const auto start = TakeNumber(line, 16, '-');
  if (!start) return std::nullopt;
  const auto end = TakeNumber(line, 16, ' ');
  if (!end || *end <= *start || line.size() < 5 || line[4] != ' ') return std::nullopt;
  mapping.start = RemoteAddress(*start);
  mapping.end = RemoteAddress(*end);
  mapping.readable = line[0] == 'r';
  mapping.writable = line[1] == 'w';
  mapping.executable = line[2] == 'x';
  line.remove_prefix(5);
  const auto offset = TakeNumber(line, 16, ' ');
  const auto major = offset ? TakeNumber(line, 16, ':') : std::nullopt;
  const auto minor = major ? TakeNumber(line, 16, ' ') : std::nullopt;
  if (!minor) return std::nullopt;
  mapping.offset = FileOffset{*offset};
  mapping.device = *major << 32 | *minor;
  const std::size_t inode_end = line.find_first_not_of("0123456789");
  std::string_view inode = line.substr(0, inode_end);
  if (std::from_chars(inode.data(), inode.data() + inode.size(), mapping.inode).ec != std::errc()) {
    return std::nullopt;
  }
  line.remove_prefix(inode.size());
  const std::size_t path_start = line.find_first_not_of(' ');
  if (path_start == std::string_view::npos) return mapping;
  line.remove_prefix(path_start);
  constexpr std::string_view kDeleted = " (deleted)";
  if (mapping.inode != 0 && line.ends_with(kDeleted)) {
    mapping.deleted = true;
    line.remove_suffix(kDeleted.size());
  }
  mapping.path = UnescapePath(line);
  return mapping;
}

}  // namespace

std::vector<Mapping> ParseMappings(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (std::optional<Mapping> mapping = ParseLine(text.substr(0, end))) {
      mappings.push_back(*std::move(mapping));
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return mappings;
}

}  // namespace agent
