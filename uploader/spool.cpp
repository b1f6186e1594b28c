// SPDX-License-Identifier: Apache-2.0
#include "uploader/spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <system_error>

#include "agent/base/log.h"
#include "agent/base/write_all.h"

namespace agent {
namespace {

namespace fs = std::filesystem;

// A file: the magic, the CRC-32 of the rest, eight hex digits, and a message of these fields.
constexpr std::string_view kMagic = "agentspool1 ";
constexpr std::size_t kHead = kMagic.size() + 8;
enum WindowField : protozero::pbf_tag_type {
  kStart = 1,
  kDuration = 2,
  kSamples = 3,
  kLabel = 4,
  kPprof = 5,
};
enum LabelField : protozero::pbf_tag_type { kName = 1, kValue = 2 };

constexpr std::string_view kSuffix = ".window";
constexpr std::string_view kRunPrefix = "run-";
// A window is far below; a larger file is none of ours.
constexpr std::uintmax_t kMaxFile = 64u << 20;

std::string Checksum(std::string_view data) {
  const auto* bytes = reinterpret_cast<const Bytef*>(data.data());
  return fmt::format("{:08x}", ::crc32(0, bytes, static_cast<uInt>(data.size())));
}

std::string Encode(const UploadWindow& window) {
  std::string data;
  protozero::pbf_writer writer(data);
  writer.add_int64(kStart, window.start.time_since_epoch().count());
  writer.add_int64(kDuration, window.duration.count());
  writer.add_int64(kSamples, window.samples);
  for (const auto& [name, value] : *window.labels) {
    protozero::pbf_writer label(writer, kLabel);
    label.add_string(kName, name);
    label.add_string(kValue, value);
  }
  writer.add_bytes(kPprof, *window.pprof);
  return fmt::format("{}{}{}", kMagic, Checksum(data), data);
}

std::pair<std::string, std::string> ReadLabel(protozero::pbf_reader reader) {
  std::pair<std::string, std::string> label;
  while (reader.next()) {
    if (reader.tag() == kName) {
      label.first = reader.get_string();
    } else if (reader.tag() == kValue) {
      label.second = reader.get_string();
    } else {
      reader.skip();
    }
  }
  return label;
}

std::optional<UploadWindow> Decode(std::string_view text) {
  if (!text.starts_with(kMagic) || text.size() < kHead) return std::nullopt;
  const std::string_view data = text.substr(kHead);
  if (text.substr(kMagic.size(), 8) != Checksum(data)) return std::nullopt;
  UploadWindow window;
  Labels labels;
  try {
    protozero::pbf_reader reader(data.data(), data.size());
    while (reader.next()) {
      switch (reader.tag()) {
        case kStart:
          window.start = WallTime(Nanoseconds(reader.get_int64()));
          break;
        case kDuration:
          window.duration = Nanoseconds(reader.get_int64());
          break;
        case kSamples:
          window.samples = reader.get_int64();
          break;
        case kLabel:
          labels.push_back(ReadLabel(reader.get_message()));
          break;
        case kPprof:
          window.pprof = std::make_shared<const std::string>(reader.get_string());
          break;
        default:
          reader.skip();
      }
    }
  } catch (const protozero::exception&) {
    return std::nullopt;
  }
  if (window.pprof == nullptr) return std::nullopt;
  window.labels = std::make_shared<const Labels>(std::move(labels));
  return window;
}

std::optional<UploadWindow> ReadFile(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error) || fs::file_size(path, error) > kMaxFile) {
    return std::nullopt;
  }
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return file ? Decode(text) : std::nullopt;
}

bool WriteFile(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".part";
  {
    const UniqueFd file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.valid() && WriteAll(file.get(), text)) {
      if (::rename(temporary.c_str(), path.c_str()) == 0) return true;
    }
  }
  const int number = errno;
  ::unlink(temporary.c_str());
  errno = number;
  return false;
}

// Locked, or not valid.
UniqueFd Lock(const std::string& folder) {
  UniqueFd file(
      ::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.valid() && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) file.Reset();
  return file;
}

// A folder that nobody else has put there, or can put things into.
bool IsOurs(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::Open(const std::string& folder, const std::string& server) {
  const std::string home = fmt::format("{}/server-{}", folder, Checksum(server));
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Fail(Errc::kInvalid, "cannot make the spool", folder + ": " + error.message());
  ::mkdir(home.c_str(), 0700);
  if (!IsOurs(home)) {
    return Fail(Errc::kInvalid,
                "the spool is no folder of this user's own, or others may write there", home);
  }
  // Under another name until it is locked: another run would take it over.
  const std::string name = fmt::format(
      "{:020}-{}", std::chrono::system_clock::now().time_since_epoch().count(), ::getpid());
  const std::string unlocked = fmt::format("{}/new-{}", home, name);
  const std::string own = fmt::format("{}/{}{}", home, kRunPrefix, name);
  if (::mkdir(unlocked.c_str(), 0700) != 0) return FailErrno("cannot write to the spool", home);
  std::unique_ptr<Spool> spool(new Spool());
  UniqueFd lock = Lock(unlocked);
  if (!lock.valid() || ::rename(unlocked.c_str(), own.c_str()) != 0) {
    return FailErrno("cannot write to the spool", unlocked);
  }
  spool->runs_.push_back({.folder = own, .lock = std::move(lock)});
  for (const std::string& other : NamesIn(home)) {
    const std::string run = fmt::format("{}/{}", home, other);
    if (other.starts_with(kRunPrefix) && run != own && IsOurs(run)) spool->TakeOver(run);
  }
  return spool;
}

void Spool::TakeOver(const std::string& folder) {
  UniqueFd lock = Lock(folder);
  if (!lock.valid()) return;  // another agent's, which runs
  for (const std::string& name : NamesIn(folder)) {
    const std::string path = fmt::format("{}/{}", folder, name);
    if (name.ends_with(".part")) ::unlink(path.c_str());
    if (!name.ends_with(kSuffix)) continue;
    std::optional<UploadWindow> window = ReadFile(path);
    if (!window) {
      LogWarn("{} in the spool is broken, and set aside as {}.corrupt", path, name);
      ::rename(path.c_str(), (path + ".corrupt").c_str());
      continue;
    }
    const SpoolId id{next_++};
    const std::size_t bytes = window->pprof->size();
    window->pprof.reset();
    found_.push_back({.id = id, .window = *std::move(window), .bytes = bytes});
    files_[id] = path;
  }
  runs_.push_back({.folder = folder, .lock = std::move(lock)});
}

Spool::~Spool() {
  for (const Run& run : runs_) {
    const std::vector<std::string> names = NamesIn(run.folder);
    if (names.size() > 1 || (names.size() == 1 && names[0] != "lock")) continue;
    ::unlink((run.folder + "/lock").c_str());
    ::rmdir(run.folder.c_str());
  }
}

std::vector<Spool::Found> Spool::TakeFound() {
  std::ranges::stable_sort(found_, {}, [](const Found& found) { return found.window.start; });
  return std::exchange(found_, {});
}

std::optional<SpoolId> Spool::Put(const UploadWindow& window) {
  const SpoolId id{next_++};
  const std::string path =
      fmt::format("{}/{:020}-{:06}{}", runs_.front().folder,
                  window.start.time_since_epoch().count(), static_cast<std::uint64_t>(id), kSuffix);
  if (!WriteFile(path, Encode(window))) {
    if (!std::exchange(said_full_, true)) {
      LogWarn("profiles are kept in memory only: {}",
              ErrnoError("cannot write to the spool", path).Message());
    }
    return std::nullopt;
  }
  files_[id] = path;
  return id;
}

std::optional<UploadWindow> Spool::Get(SpoolId id) const {
  const auto found = files_.find(id);
  return found == files_.end() ? std::nullopt : ReadFile(found->second);
}

void Spool::Remove(SpoolId id) {
  const auto found = files_.find(id);
  if (found == files_.end()) return;
  ::unlink(found->second.c_str());
  files_.erase(found);
}

}  // namespace agent
