// SPDX-License-Identifier: Apache-2.0
#include "spies/python/pthread_ids.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace agent::python {
namespace {

constexpr std::size_t kSearched = 1024;   // bytes of struct pthread
constexpr std::int32_t kMaxId = 1 << 22;  // PID_MAX_LIMIT of 64-bit kernels (linux/threads.h)
// Tried first, for an old glibc keeps the process's id beside the thread's. glibc's
// nptl/descr.h: on x86-64 behind 704 bytes of tcbhead_t and a list node, on arm64 behind 192.
#if defined(__x86_64__)
constexpr std::uint32_t kGlibc = 720;
#else
constexpr std::uint32_t kGlibc = 208;
#endif

using Bytes = std::array<std::byte, kSearched>;

std::int32_t IdAt(const Bytes& bytes, std::size_t offset) {
  std::int32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

// Every thread has an id of its own there, and one has that which is looked for.
bool Holds(std::span<const Bytes> structures, std::size_t offset, std::int32_t id) {
  std::vector<std::int32_t> ids;
  for (const Bytes& bytes : structures) {
    const std::int32_t value = IdAt(bytes, offset);
    // 0, or -1: a thread that has ended.
    if (value < -1 || value > kMaxId) return false;
    if (value > 0) ids.push_back(value);
  }
  std::ranges::sort(ids);
  return std::ranges::adjacent_find(ids) == ids.end() && std::ranges::binary_search(ids, id);
}

}  // namespace

void PthreadIds::Learn(std::span<const RemoteAddress> pthreads, InnerTid id) {
  std::vector<Bytes> structures;
  for (const RemoteAddress pthread : pthreads) {
    Bytes bytes{};
    if (memory_.ReadSome(pthread, bytes)) structures.push_back(bytes);
  }
  const auto wanted = static_cast<std::int32_t>(id);
  if (Holds(structures, kGlibc, wanted)) {
    offset_ = kGlibc;
    return;
  }
  std::uint32_t found = 0;
  for (std::uint32_t offset = 4; offset < kSearched; offset += 4) {
    if (!Holds(structures, offset, wanted)) continue;
    if (found != 0) return;
    found = offset;
  }
  offset_ = found;
}

}  // namespace agent::python
