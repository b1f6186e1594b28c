// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/jit_names.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "agent/process/root_open.h"
#include "symbolizer/perf_map.h"

namespace agent {
namespace {

constexpr std::uint64_t kMaxFile = std::uint64_t{1} << 30;
constexpr std::size_t kMaxDumps = 8;
constexpr std::size_t kChunk = 4u << 20;
constexpr std::size_t kBeginning = 64;
constexpr std::size_t kMaxChunk = 64u << 20;  // more than the largest record

std::string BeginningOf(const UniqueFd& file) {
  std::string text(kBeginning, '\0');
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  return text;
}

}  // namespace

JitNames::JitNames(const UniqueFd& root, InnerTid inner_pid, uid_t owner,
                   std::vector<std::string> jitdump_paths)
    : root_(root), owner_(owner) {
  const auto pid = static_cast<pid_t>(inner_pid);
  jitdump_paths.push_back(fmt::format("/tmp/jit-{}.dump", pid));
  for (std::string& path : jitdump_paths) {
    const bool known = std::ranges::any_of(
        sources_, [&path](const Source& source) { return source.path == path; });
    if (known || sources_.size() >= kMaxDumps) continue;
    sources_.emplace_back();
    sources_.back().path = std::move(path);
    sources_.back().is_dump = true;
  }
  sources_.emplace_back();
  sources_.back().path = fmt::format("/tmp/perf-{}.map", pid);
}

void JitNames::Refresh() {
  if (!root_.valid()) return;
  for (Source& source : sources_) Refresh(source);
}

void JitNames::Refresh(Source& source) const {
  const auto file = OpenInRoot(root_, source.path);
  if (!file) return;
  struct stat info{};
  if (::fstat(file->get(), &info) != 0 || (info.st_uid != owner_ && info.st_uid != 0)) return;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  std::string beginning = BeginningOf(*file);
  const bool is_same = info.st_ino == source.inode && size >= source.offset &&
                       beginning.starts_with(source.beginning);
  source.beginning = std::move(beginning);
  if (!is_same) {
    // Another file, or written anew.
    source.inode = info.st_ino;
    source.offset = 0;
    source.damaged = false;
    source.dump = JitDump();
    source.map.Clear();
  }
  if (size > source.offset && !source.damaged) ReadMore(source, *file, std::min(size, kMaxFile));
}

void JitNames::ReadMore(Source& source, const UniqueFd& file, std::uint64_t size) const {
  std::vector<std::byte> buffer(
      std::min<std::uint64_t>(kChunk, size - std::min(size, source.offset)));
  while (source.offset < size && !buffer.empty()) {
    const ssize_t count =
        ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(source.offset));
    if (count <= 0) return;
    const std::span<const std::byte> bytes =
        std::span(buffer).first(static_cast<std::size_t>(count));
    std::optional<std::size_t> taken;
    if (source.is_dump) {
      taken = source.dump.Add(bytes, source.map);
    } else {
      taken = AddPerfMap({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, source.map);
    }
    if (!taken) {
      source.damaged = true;
      return;
    }
    source.offset += *taken;
    if (*taken > 0) continue;
    // A record longer than the buffer, or one that is not complete yet.
    if (bytes.size() < buffer.size() || source.offset + bytes.size() >= size ||
        buffer.size() >= kMaxChunk) {
      return;
    }
    buffer.resize(buffer.size() * 2);
  }
}

bool JitNames::empty() const {
  return std::ranges::all_of(sources_, [](const Source& source) { return source.map.size() == 0; });
}

CodeMap::Found JitNames::Find(std::uint64_t address) const {
  for (const Source& source : sources_) {
    if (CodeMap::Found found = source.map.Find(address); found.code) return found;
  }
  return {};
}

}  // namespace agent
