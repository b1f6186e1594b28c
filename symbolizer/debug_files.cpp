// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/debug_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/byte_reader.h"
#include "agent/base/hex.h"
#include "agent/base/path.h"
#include "agent/process/root_open.h"

namespace agent {
namespace {

constexpr std::uint64_t kMaxCrcBytes = std::uint64_t{8} << 30;
constexpr std::size_t kMaxName = 255;    // NAME_MAX
constexpr std::size_t kMaxBuildId = 64;  // bytes
constexpr std::size_t kMinBuildId = 4;   // hex digits

bool SameDirectory(const UniqueFd& a, const UniqueFd& b) {
  struct stat first{};
  struct stat second{};
  return ::fstat(a.get(), &first) == 0 && ::fstat(b.get(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

bool IsBuildId(std::string_view text) {
  return text.size() >= kMinBuildId && text.size() <= 2 * kMaxBuildId &&
         std::ranges::all_of(
             text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string InstalledDebugPath(const std::string& build_id) {
  return "/usr/lib/debug/.build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2) + ".debug";
}

// dwz's common files have no program headers, by which ElfFile finds the note.
std::string BuildIdOf(const ElfFile& file) {
  std::string id = file.BuildId();
  if (!id.empty()) return id;
  constexpr std::size_t kHeader = 16;  // three words, and "GNU" with its zero
  const auto section = file.ReadSection(".note.gnu.build-id");
  if (!section || section->bytes.size() <= kHeader ||
      section->bytes.size() > kHeader + kMaxBuildId) {
    return id;
  }
  return ToHex(section->bytes.subspan(kHeader));
}

std::optional<DebugLink> ReadDebugLink(const ElfFile& file) {
  const auto section = file.ReadSection(".gnu_debuglink");
  if (!section) return std::nullopt;
  ByteReader reader(section->bytes);
  const std::string_view name = reader.ReadString();
  reader.Seek((reader.position() + 3) & ~std::size_t{3});
  const auto crc = reader.Read<std::uint32_t>();
  if (!reader.ok() || name.empty() || name.size() > kMaxName || name.contains('/')) {
    return std::nullopt;
  }
  return DebugLink{.name = std::string(name), .crc = crc};
}

std::optional<std::uint32_t> FileCrc(const UniqueFd& file) {
  std::vector<std::uint8_t> buffer(1u << 20);
  uLong crc = ::crc32(0, nullptr, 0);
  for (std::uint64_t offset = 0; offset < kMaxCrcBytes;) {
    const ssize_t count =
        ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (count < 0) return std::nullopt;
    if (count == 0) return static_cast<std::uint32_t>(crc);
    crc = ::crc32(crc, buffer.data(), static_cast<uInt>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return std::nullopt;
}

DebugFiles::DebugFiles(const UniqueFd& root)
    : root_(root), our_root_(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  shares_our_root_ = root.valid() && our_root_.valid() && SameDirectory(root, our_root_);
}

DebugFiles::Opened DebugFiles::Open(const UniqueFd& root, const std::string& path) {
  auto file = OpenInRoot(root, path);
  if (!file) return {};
  UniqueFd copy(::fcntl(file->get(), F_DUPFD_CLOEXEC, 0));
  auto elf = ElfFile::Open(std::move(copy));
  if (!elf) return {};
  return {.file = *std::move(file), .elf = std::make_shared<const ElfFile>(*std::move(elf))};
}

std::optional<DebugFile> DebugFiles::FindByBuildId(const std::string& build_id) const {
  if (!IsBuildId(build_id)) return std::nullopt;
  const std::string path = InstalledDebugPath(build_id);
  for (const UniqueFd* root : {&root_, &our_root_}) {
    if (!root->valid() || (root == &our_root_ && shares_our_root_)) continue;
    Opened opened = Open(*root, path);
    if (opened.elf && BuildIdOf(*opened.elf) == build_id) {
      return DebugFile{std::move(opened.elf), path, root == &our_root_};
    }
  }
  return std::nullopt;
}

std::optional<DebugFile> DebugFiles::FindByLink(const ElfFile& file, const std::string& path,
                                                const std::string& build_id) const {
  const auto link = ReadDebugLink(file);
  if (!link || !path.starts_with('/')) return std::nullopt;
  const std::string folder(FolderOf(path));
  const std::array<std::string, 3> places = {folder + "/" + link->name,
                                             folder + "/.debug/" + link->name,
                                             "/usr/lib/debug" + folder + "/" + link->name};
  for (const UniqueFd* root : {&root_, &our_root_}) {
    const bool ours = root == &our_root_;
    if (!root->valid() || (ours && (shares_our_root_ || build_id.empty()))) continue;
    for (const std::string& place : places) {
      if (place == path) continue;
      Opened opened = Open(*root, place);
      if (!opened.elf) continue;
      const std::string found_id = BuildIdOf(*opened.elf);
      const bool right = !build_id.empty() && !found_id.empty()
                             ? found_id == build_id
                             : !ours && FileCrc(opened.file) == link->crc;
      if (right) return DebugFile{std::move(opened.elf), place, ours};
    }
  }
  return std::nullopt;
}

std::optional<DebugFile> DebugFiles::Find(const ElfFile& file, const std::string& path) const {
  const std::string build_id = BuildIdOf(file);
  if (auto found = FindByBuildId(build_id)) return found;
  return FindByLink(file, path, build_id);
}

std::shared_ptr<const ElfFile> DebugFiles::FindAlt(const std::string& link,
                                                   const std::string& build_id,
                                                   const DebugFile& of) const {
  const UniqueFd& root = of.from_our_root ? our_root_ : root_;
  if (root.valid()) {
    const std::string path =
        link.starts_with('/') ? link : std::string(FolderOf(of.path)) + "/" + link;
    Opened opened = Open(root, path);
    if (opened.elf && BuildIdOf(*opened.elf) == build_id) return std::move(opened.elf);
  }
  auto found = FindByBuildId(build_id);
  return found ? std::move(found->elf) : nullptr;
}

}  // namespace agent
