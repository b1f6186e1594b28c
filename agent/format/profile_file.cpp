// SPDX-License-Identifier: Apache-2.0
#include "agent/format/profile_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "agent/base/unique_fd.h"
#include "agent/format/folded_encoder.h"
#include "agent/format/gzip.h"
#include "agent/format/pprof_encoder.h"

namespace agent {
namespace {

std::unexpected<Error> FailWrite(const std::string& path) {
  return FailErrno("cannot write the profile", path);
}

bool IsSpecial(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

std::string TemporaryBeside(const std::string& path) {
  return fmt::format("{}.{}.tmp", path, ::getpid());
}

Result<void> WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) return FailWrite(path);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

// O_EXCL: never through a link that somebody has put there.
UniqueFd Create(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
}

Result<void> WriteSpecial(const std::string& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.valid()) return FailWrite(path);
  return WriteAll(file.get(), text, path);
}

}  // namespace

Result<FileFormat> ProfileFileFormat(const std::string& path) {
  if (path.ends_with(".pb.gz") || path.ends_with(".pprof")) return FileFormat::kPprof;
  if (path.ends_with(".folded") || path.ends_with(".collapsed")) return FileFormat::kFolded;
  return Fail(Errc::kInvalid,
              "the file's name must end in .pb.gz or .pprof (pprof), .folded or .collapsed "
              "(collapsed stacks)");
}

Result<void> CheckProfileFile(const std::string& path) {
  if (IsSpecial(path)) {
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      return std::unexpected(
          Error{Errc::kInvalid, "cannot write the profile, it is a directory", 0, path});
    }
    return ::access(path.c_str(), W_OK) == 0 ? Result<void>() : FailWrite(path);
  }
  const std::string probe = TemporaryBeside(path);
  const UniqueFd file = Create(probe);
  if (!file.valid()) return FailWrite(path);
  ::unlink(probe.c_str());
  return {};
}

Result<void> WriteProfileFile(const std::string& path, const Profile& profile) {
  AGENT_TRY(const FileFormat format, ProfileFileFormat(path));
  const std::string text = format == FileFormat::kPprof
                               ? Gzip(EncodePprof(profile, {.sample_labels = true}))
                               : EncodeFolded(profile);
  if (IsSpecial(path)) return WriteSpecial(path, text);
  const std::string temporary = TemporaryBeside(path);
  const UniqueFd file = Create(temporary);
  if (!file.valid()) return FailWrite(temporary);
  Result<void> written = WriteAll(file.get(), text, path);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) written = FailWrite(path);
  if (!written) ::unlink(temporary.c_str());
  return written;
}

}  // namespace agent
