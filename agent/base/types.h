// SPDX-License-Identifier: Apache-2.0
// Numbers that mean different things have different types.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>

namespace agent {

/// A process id as our own PID namespace sees it.
enum class Pid : pid_t {};
/// A thread id as our own PID namespace sees it.
enum class Tid : pid_t {};
/// A thread id as the target's own PID namespace sees it (what the target's memory holds).
enum class InnerTid : pid_t {};

/// An address in a target's memory. Hostile until read.
class RemoteAddress {
 public:
  constexpr RemoteAddress() = default;
  constexpr explicit RemoteAddress(std::uint64_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  [[nodiscard]] constexpr bool IsNull() const { return value_ == 0; }
  /// Saturates instead of wrapping: the result is then the last address, which is never readable.
  [[nodiscard]] constexpr RemoteAddress Plus(std::uint64_t bytes) const {
    const std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
    return RemoteAddress(bytes > max - value_ ? max : value_ + bytes);
  }
  friend constexpr auto operator<=>(RemoteAddress, RemoteAddress) = default;

 private:
  std::uint64_t value_ = 0;
};

/// An address as an ELF file's headers and symbols say it (before the load bias is added).
enum class ElfAddress : std::uint64_t {};
/// A position in a file, in bytes.
enum class FileOffset : std::uint64_t {};

}  // namespace agent

template <>
struct std::hash<agent::RemoteAddress> {
  std::size_t operator()(agent::RemoteAddress address) const noexcept {
    return std::hash<std::uint64_t>{}(address.value());
  }
};
