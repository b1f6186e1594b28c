// SPDX-License-Identifier: Apache-2.0
#include "agent/format/profile_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "agent/base/unique_fd.h"

namespace agent {
namespace {

std::unexpected<Error> FailWrite(const std::string& path) {
  return FailErrno("cannot write the profile", path);
}

bool IsSpecial(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

// A reader of a pipe that takes nothing for this long gets half a profile.
constexpr int kPipeMilliseconds = 2000;

Result<void> WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
      continue;
    }
    if (errno == EINTR) continue;
    pollfd ready{fd, POLLOUT, 0};
    if (errno != EAGAIN || ::poll(&ready, 1, kPipeMilliseconds) == 0) return FailWrite(path);
  }
  return {};
}

struct Temporary {
  UniqueFd fd;
  std::string path;
};

// A new file beside `path`. O_EXCL: never through a link that somebody has put there. What an
// earlier run, which was killed, has left may have our name: in a container we always get the same
// process id.
Result<Temporary> CreateBeside(const std::string& path) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    std::string name = fmt::format("{}.{}-{}.tmp", path, ::getpid(), i);
    UniqueFd fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (fd.valid()) return Temporary{std::move(fd), std::move(name)};
    if (errno != EEXIST) return FailWrite(path);
  }
  return Fail(Errc::kLimit, "cannot write the profile, too many temporary files beside it", path);
}

// Here nothing can be renamed over it: `docker -v /host/file:/file` makes such files. False on
// kernels before 5.8, which do not tell (statx(2)); then it is found out at the rename.
bool IsMountPoint(const std::string& path) {
  struct statx info{};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Never through a link, as with a rename.
Result<UniqueFd> OpenExisting(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.valid()) return FailWrite(path);
  return file;
}

Result<void> Overwrite(const std::string& path, std::string_view text) {
  AGENT_TRY(const UniqueFd file, OpenExisting(path));
  AGENT_CHECK_OK(WriteAll(file.get(), text, path));
  if (::ftruncate(file.get(), static_cast<off_t>(text.size())) != 0) return FailWrite(path);
  return {};
}

Result<void> WriteSpecial(const std::string& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.valid()) return FailWrite(path);
  return WriteAll(file.get(), text, path);
}

}  // namespace

Result<FileFormat> ProfileFileFormat(const std::string& path) {
  // The longest ending first.
  constexpr std::array<std::pair<std::string_view, FileFormat>, 9> kEndings = {
      {{".html", FileFormat::kHtml},
       {".pb.gz", FileFormat::kPprof},
       {".pprof", FileFormat::kPprof},
       {".folded", FileFormat::kFolded},
       {".collapsed", FileFormat::kFolded},
       {".speedscope.json", FileFormat::kSpeedscope},
       {".gecko.json", FileFormat::kGecko},
       {".svg", FileFormat::kSvg},
       {".json", FileFormat::kJson}}};
  for (const auto& [ending, format] : kEndings) {
    if (path.ends_with(ending)) return format;
  }
  return Fail(Errc::kInvalid,
              "the file's name must end in .html (a page for the browser), .pb.gz or .pprof "
              "(pprof), .folded or .collapsed (collapsed stacks), .speedscope.json, .gecko.json "
              "(Firefox Profiler), .svg or .json (summary)");
}

Result<FileFormat> ParseFileFormat(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, FileFormat>, 8> kNames = {
      {{"html", FileFormat::kHtml},
       {"pprof", FileFormat::kPprof},
       {"collapsed", FileFormat::kFolded},
       {"folded", FileFormat::kFolded},
       {"speedscope", FileFormat::kSpeedscope},
       {"gecko", FileFormat::kGecko},
       {"svg", FileFormat::kSvg},
       {"json", FileFormat::kJson}}};
  const auto found = std::ranges::find(kNames, name, &decltype(kNames)::value_type::first);
  if (found != kNames.end()) return found->second;
  return Fail(Errc::kInvalid,
              "must be html, pprof, collapsed, speedscope, gecko (Firefox Profiler), svg or json");
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
  if (!IsMountPoint(path)) {
    const Result<Temporary> probe = CreateBeside(path);
    if (probe) {
      ::unlink(probe->path.c_str());
      return {};
    }
    if (::access(path.c_str(), F_OK) != 0) return std::unexpected(probe.error());
  }
  AGENT_CHECK_OK(OpenExisting(path));
  return {};
}

Result<void> WriteProfileFile(const std::string& path, std::string_view content) {
  if (IsSpecial(path)) return WriteSpecial(path, content);
  Result<Temporary> file = CreateBeside(path);
  if (!file) {
    if (::access(path.c_str(), F_OK) != 0) return std::unexpected(file.error());
    return Overwrite(path, content);
  }
  Result<void> written = WriteAll(file->fd.get(), content, path);
  // Some file systems say only here that there is no room.
  if (::close(file->fd.Release()) != 0 && written) written = FailWrite(path);
  if (written && ::rename(file->path.c_str(), path.c_str()) == 0) return {};
  if (written) written = errno == EBUSY ? Overwrite(path, content) : FailWrite(path);
  ::unlink(file->path.c_str());
  return written;
}

}  // namespace agent
