// SPDX-License-Identifier: Apache-2.0
#include "agent/process/live_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "agent/process/proc_file.h"
#include "agent/process/root_open.h"

namespace agent {
namespace {

std::string MapFilesPath(int task, const Mapping& mapping) {
  return fmt::format("/proc/{}/map_files/{:x}-{:x}", task, mapping.start.value(),
                     mapping.end.value());
}

std::string RootPath(int task) { return fmt::format("/proc/{}/root", task); }

Result<UniqueFd> OpenFolder(const std::string& path) {
  UniqueFd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return FailErrno("open", path);
  return folder;
}

}  // namespace

Result<std::vector<Mapping>> LiveProcess::ReadMappings() {
  const auto read = [this] { return ReadProcFile(fmt::format("/proc/{}/maps", task_.id())); };
  Result<std::string> text = read();
  if ((!text || text->empty()) && task_.FindAnother()) text = read();
  if (!text) return std::unexpected(std::move(text).error());
  // A process that has ended but is not reaped yet has an empty file.
  if (text->empty()) return Fail(Errc::kGone, "the process has no memory any more");
  return ParseMappings(*text);
}

Result<UniqueFd> LiveProcess::OpenMappedFile(const Mapping& mapping) {
  // map_files names the very file, deleted or hidden or not, but wants CAP_SYS_ADMIN or
  // CAP_CHECKPOINT_RESTORE.
  const std::string exact = MapFilesPath(task_.id(), mapping);
  if (const UniqueFd file(::open(exact.c_str(), O_PATH | O_CLOEXEC)); file.valid()) {
    return ReopenRegular(file);
  }
  if (mapping.deleted) return Fail(Errc::kUnreadable, "the mapped file was deleted", mapping.path);
  // maps gives paths as we see them: below the target's root when it lives in another mount
  // namespace, below ours when it is only chrooted. The inode tells whether it is the file; the
  // device does not on overlayfs and btrfs.
  for (const std::string& path : {RootPath(task_.id()), std::string("/")}) {
    const Result<UniqueFd> root = OpenFolder(path);
    if (!root) continue;
    Result<UniqueFd> file = OpenInRoot(*root, mapping.path);
    struct stat info{};
    if (file && ::fstat(file->get(), &info) == 0 && info.st_ino == mapping.inode) return file;
  }
  return Fail(Errc::kUnreadable, "the mapped file was replaced or cannot be opened", mapping.path);
}

bool LiveProcess::IsStillMapped(const Mapping& mapping) {
  // Reading the link needs no more rights than maps does; only opening the file behind it does.
  std::array<char, 4096> path;  // NOLINT: readlink fills it
  const ssize_t size =
      ::readlink(MapFilesPath(task_.id(), mapping).c_str(), path.data(), path.size());
  if (size <= 0) return false;
  return std::string_view(path.data(), static_cast<std::size_t>(size)) ==
         mapping.path + (mapping.deleted ? " (deleted)" : "");
}

Result<UniqueFd> LiveProcess::OpenRoot() { return OpenFolder(RootPath(task_.id())); }

}  // namespace agent
