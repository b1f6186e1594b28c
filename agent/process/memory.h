// SPDX-License-Identifier: Apache-2.0
// Reading another process's memory.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <type_traits>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/process/memory_task.h"

namespace agent {

/// One piece of a read: `destination.size()` bytes from `address`.
struct ReadRange {
  RemoteAddress address;
  std::span<std::byte> destination;
};

/// Where to read a value to.
template <typename T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::span<std::byte> BytesOf(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

/// The memory of one target. All or nothing: a short read is an error (kUnreadable) and the
/// destination's content is then unspecified. kGone when the process has ended, kNotPermitted when
/// the kernel refuses. What comes back is hostile: bound every length, count and chain taken from
/// it.
class ProcessMemory {
 public:
  virtual ~ProcessMemory() = default;

  /// Reads all ranges in the order given, where the system allows it in one system call. At most
  /// kMaxRanges.
  virtual Result<void> ReadRanges(std::span<const ReadRange> ranges) = 0;
  static constexpr std::size_t kMaxRanges = 1024;  // IOV_MAX

  /// Reads up to the first address that is not readable; the number of bytes, at least 1.
  virtual Result<std::size_t> ReadSome(RemoteAddress address, std::span<std::byte> destination) = 0;

  Result<void> Read(RemoteAddress address, std::span<std::byte> destination) {
    const ReadRange range{address, destination};
    return ReadRanges({&range, 1});
  }

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  Result<T> ReadValue(RemoteAddress address) {
    T value{};
    AGENT_CHECK_OK(Read(address, BytesOf(value)));
    return value;
  }
};

/// A live process: process_vm_readv; where that is refused (old container seccomp filters) pread of
/// /proc/PID/mem. One thread at a time.
class LiveMemory final : public ProcessMemory {
 public:
  explicit LiveMemory(Pid pid) : task_(pid) {}
  Result<void> ReadRanges(std::span<const ReadRange> ranges) override;
  Result<std::size_t> ReadSome(RemoteAddress address, std::span<std::byte> destination) override;

 private:
  ssize_t ReadVectors(std::span<const iovec> local, std::span<const iovec> remote);
  Result<void> OpenFile();
  Result<void> ReadThroughFile(std::span<const ReadRange> ranges);

  MemoryTask task_;
  bool use_file_ = false;
  UniqueFd file_;
};

}  // namespace agent
