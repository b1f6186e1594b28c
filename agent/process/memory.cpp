// SPDX-License-Identifier: Apache-2.0
#include "agent/process/memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <vector>

namespace agent {
namespace {

// Large enough for every read of the sampling path without touching the heap.
constexpr std::size_t kInlineRanges = 128;

}  // namespace

// As process_vm_readv, errno included.
ssize_t LiveMemory::ReadVectors(std::span<const iovec> local, std::span<const iovec> remote) {
  const auto read = [&] {
    return ::process_vm_readv(task_.id(), local.data(), local.size(), remote.data(), remote.size(),
                              0);
  };
  const ssize_t got = read();
  if (got >= 0 || errno != ESRCH) return got;
  if (task_.FindAnother()) return read();
  errno = ESRCH;
  return -1;
}

Result<void> LiveMemory::ReadRanges(std::span<const ReadRange> ranges) {
  if (use_file_) return ReadThroughFile(ranges);
  std::array<iovec, 2 * kInlineRanges> inline_vectors;  // NOLINT: filled below as far as it is used
  std::vector<iovec> heap_vectors;
  iovec* local = inline_vectors.data();
  if (ranges.size() > kInlineRanges) {
    if (ranges.size() > kMaxRanges) return Fail(Errc::kLimit, "too many ranges in one read");
    heap_vectors.resize(2 * ranges.size());
    local = heap_vectors.data();
  }
  iovec* remote = local + ranges.size();
  std::size_t wanted = 0;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const std::span<std::byte> destination = ranges[i].destination;
    local[i] = {destination.data(), destination.size()};
    // The kernel takes the target's address as a pointer; it is never one of ours.
    remote[i] = {
        reinterpret_cast<void*>(ranges[i].address.value()),  // NOLINT(performance-no-int-to-ptr)
        destination.size()};
    wanted += destination.size();
  }
  const ssize_t got = ReadVectors({local, ranges.size()}, {remote, ranges.size()});
  if (got >= 0 && static_cast<std::size_t>(got) == wanted) return {};
  if (got >= 0) return Fail(Errc::kUnreadable, "process_vm_readv: short read");
  // Seccomp profiles of old container runtimes refuse the call without CAP_SYS_PTRACE (EPERM),
  // gVisor and kernels without CROSS_MEMORY_ATTACH do not have it (ENOSYS). The file needs the same
  // rights as the call does.
  if (errno == EPERM || errno == ENOSYS) {
    const Error refused = ErrnoError("process_vm_readv");
    if (Result<void> result = ReadThroughFile(ranges)) {
      use_file_ = true;
      return result;
    }
    return std::unexpected(refused);
  }
  return FailErrno("process_vm_readv");
}

Result<std::size_t> LiveMemory::ReadSome(RemoteAddress address, std::span<std::byte> destination) {
  ssize_t got = 0;
  if (!use_file_) {
    const iovec local{destination.data(), destination.size()};
    const iovec remote{
        reinterpret_cast<void*>(address.value()),  // NOLINT(performance-no-int-to-ptr)
        destination.size()};
    got = ReadVectors({&local, 1}, {&remote, 1});
    if (got > 0) return static_cast<std::size_t>(got);
    if (errno != EPERM && errno != ENOSYS) return FailErrno("process_vm_readv");
    const Error refused = ErrnoError("process_vm_readv");
    if (!OpenFile()) return std::unexpected(refused);
  }
  got = ::pread(file_.get(), destination.data(), destination.size(),
                static_cast<off_t>(address.value()));
  if (got < 0) return FailErrno("pread /proc/PID/mem");
  if (got == 0) return Fail(Errc::kGone, "address space has ended");
  use_file_ = true;
  return static_cast<std::size_t>(got);
}

Result<void> LiveMemory::OpenFile() {
  if (file_.valid()) return {};
  const std::string path = fmt::format("/proc/{}/mem", task_.id());
  file_.Reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_.valid()) return FailErrno("open", path);
  return {};
}

Result<void> LiveMemory::ReadThroughFile(std::span<const ReadRange> ranges) {
  AGENT_CHECK_OK(OpenFile());
  for (const ReadRange& range : ranges) {
    const ssize_t got = ::pread(file_.get(), range.destination.data(), range.destination.size(),
                                static_cast<off_t>(range.address.value()));
    if (got < 0) return FailErrno("pread /proc/PID/mem");
    // The file keeps the address space that it was opened with: 0 bytes mean that this one has
    // ended.
    if (got == 0 && !range.destination.empty()) return Fail(Errc::kGone, "address space has ended");
    if (static_cast<std::size_t>(got) != range.destination.size()) {
      return Fail(Errc::kUnreadable, "pread /proc/PID/mem: short read");
    }
  }
  return {};
}

}  // namespace agent
