// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/debuginfod_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/signals_blocked.h"
#include "agent/base/unique_fd.h"
#include "agent/base/write_all.h"
#include "symbolizer/debug_files.h"
#include "symbolizer/elf_sections.h"

namespace agent {
namespace {

constexpr int kOk = 200;
constexpr int kNotFound = 404;

// Null when it is not a whole ELF file with this build id. The section headers are at a file's end.
std::shared_ptr<const ElfFile> OpenChecked(UniqueFd file, const std::string& build_id) {
  struct stat info{};
  if (!file.valid() || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return nullptr;
  auto elf = ElfFile::Open(std::move(file));
  if (!elf || BuildIdOf(*elf) != build_id || ReadSectionHeaders(*elf).empty()) return nullptr;
  return std::make_shared<const ElfFile>(*std::move(elf));
}

}  // namespace

struct DebuginfodClient::Shared {
  explicit Shared(DebuginfodOptions the_options) : options(std::move(the_options)) {}

  [[nodiscard]] std::string FolderOf(const std::string& build_id) const {
    return options.cache_folder + "/" + build_id;
  }
  [[nodiscard]] std::string PathOf(const std::string& build_id) const {
    return FolderOf(build_id) + "/debuginfo";
  }

  void Fetch(const std::string& build_id);
  UniqueFd CreateTemporary(const std::string& build_id);
  bool Download(const DebuginfodServer& server, const std::string& build_id, int file);
  void Keep(const std::string& build_id);
  void DropTemporary();
  void GiveUp(int number);  // with the lock
  bool HasGivenUp() {
    const std::lock_guard lock(mutex);
    return given_up;
  }

  const DebuginfodOptions options;
  std::set<std::string> in_trouble;  // of the thread: servers that the user was told of

  std::mutex mutex;  // of all below
  std::condition_variable changed;
  std::set<std::string> asked;
  std::deque<std::string> queue;
  std::vector<std::string> arrived;
  std::string temporary;  // path of the file being written; "" : none
  bool given_up = false;  // nothing can be kept
  bool stopped = false;
};

void DebuginfodClient::Shared::Fetch(const std::string& build_id) {
  const UniqueFd file = CreateTemporary(build_id);
  if (!file.valid()) return;
  const bool has_come = std::ranges::any_of(options.servers, [&](const DebuginfodServer& server) {
    return Download(server, build_id, file.get());
  });
  if (has_come) Keep(build_id);
  DropTemporary();
  // Not where there is something else in it.
  ::rmdir(FolderOf(build_id).c_str());
}

UniqueFd DebuginfodClient::Shared::CreateTemporary(const std::string& build_id) {
  const std::lock_guard lock(mutex);
  if (stopped || given_up) return {};
  std::error_code error;
  std::filesystem::create_directories(FolderOf(build_id), error);
  std::string path = PathOf(build_id) + ".XXXXXX";
  UniqueFd file(::mkostemp(path.data(), O_CLOEXEC));
  if (file.valid()) {
    temporary = path;
  } else {
    GiveUp(error ? error.value() : errno);
  }
  return file;
}

// Whether `file`, which is the temporary one, now has what was asked for.
bool DebuginfodClient::Shared::Download(const DebuginfodServer& server, const std::string& build_id,
                                        int file) {
  if (HasGivenUp() || ::ftruncate(file, 0) != 0 || ::lseek(file, 0, SEEK_SET) != 0) return false;
  std::uint64_t size = 0;
  int write_error = 0;
  const int status = server.get("/buildid/" + build_id + "/debuginfo", [&](std::string_view bytes) {
    size += bytes.size();
    if (size > options.max_bytes) return false;
    if (!WriteAll(file, bytes)) write_error = errno;
    return write_error == 0;
  });
  if (write_error != 0) {
    const std::lock_guard lock(mutex);
    GiveUp(write_error);
  } else if (size > options.max_bytes) {
    LogWarn("debuginfod: the debug file of build id {} has more than {} MiB, it is not taken",
            build_id, options.max_bytes >> 20);
  } else if (status == kOk) {
    if (OpenChecked(UniqueFd(::fcntl(file, F_DUPFD_CLOEXEC, 0)), build_id) != nullptr) {
      LogInfo("debuginfod: {} sent the debug file of build id {}, {} bytes", server.shown, build_id,
              size);
      return true;
    }
    LogWarn("debuginfod: what {} sent is not the debug file of build id {}, it is not taken",
            server.shown, build_id);
  } else if (status == kNotFound) {
    LogDebug("debuginfod: {} does not have build id {}", server.shown, build_id);
  } else if (in_trouble.insert(server.shown).second) {
    LogWarn("debuginfod: {} {}", server.shown,
            status == 0 ? "gave no whole answer" : fmt::format("answers with status {}", status));
  }
  return false;
}

void DebuginfodClient::Shared::Keep(const std::string& build_id) {
  const std::lock_guard lock(mutex);
  if (stopped) return;
  if (::rename(temporary.c_str(), PathOf(build_id).c_str()) != 0) {
    GiveUp(errno);
    return;
  }
  temporary.clear();
  arrived.push_back(build_id);
}

void DebuginfodClient::Shared::DropTemporary() {
  const std::lock_guard lock(mutex);
  if (!temporary.empty()) ::unlink(temporary.c_str());
  temporary.clear();
}

void DebuginfodClient::Shared::GiveUp(int number) {
  given_up = true;
  queue.clear();
  LogWarn("debuginfod: nothing is downloaded, its cache \"{}\" cannot be written: {}",
          options.cache_folder, std::generic_category().message(number));
}

DebuginfodClient::DebuginfodClient(DebuginfodOptions options)
    : shared_(std::make_shared<Shared>(std::move(options))) {}

DebuginfodClient::~DebuginfodClient() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopped = true;
    if (!shared_->temporary.empty()) {
      ::unlink(shared_->temporary.c_str());
      ::rmdir(std::filesystem::path(shared_->temporary).parent_path().c_str());
    }
    shared_->temporary.clear();
  }
  shared_->changed.notify_all();
  if (thread_.joinable()) thread_.detach();
}

std::shared_ptr<const ElfFile> DebuginfodClient::Find(const std::string& build_id) {
  if (!IsBuildId(build_id)) return nullptr;
  UniqueFd cached(::open(shared_->PathOf(build_id).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (auto elf = OpenChecked(std::move(cached), build_id)) return elf;
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->given_up || !shared_->asked.insert(build_id).second) return nullptr;
    shared_->queue.push_back(build_id);
  }
  shared_->changed.notify_all();
  if (!thread_.joinable()) StartThread();
  return nullptr;
}

void DebuginfodClient::StartThread() {
  const SignalsBlocked blocked;
  try {
    thread_ = std::thread(Run, shared_);
  } catch (const std::system_error& error) {
    LogWarn("debuginfod: nothing is downloaded, there is no thread for it: {}", error.what());
    const std::lock_guard lock(shared_->mutex);
    shared_->given_up = true;
  }
}

std::vector<std::string> DebuginfodClient::TakeArrived() {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->arrived, {});
}

void DebuginfodClient::Run(const std::shared_ptr<Shared>& shared) {
  ::pthread_setname_np(::pthread_self(), "agent-debuginfo");
  while (true) {
    std::string build_id;
    {
      std::unique_lock lock(shared->mutex);
      shared->changed.wait(lock, [&] { return shared->stopped || !shared->queue.empty(); });
      if (shared->stopped) return;
      build_id = std::move(shared->queue.front());
      shared->queue.pop_front();
    }
    shared->Fetch(build_id);
  }
}

}  // namespace agent
