// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace agent {

/// Why a window is not at the server.
enum class LossCause : std::uint8_t {
  kRefused,     ///< The server will never take it.
  kTooOld,      ///< Servers take an hour at most.
  kQueueFull,   ///< It was the oldest, and could not be merged with another one.
  kTriesSpent,  ///< The server failed at each of its tries.
  kUnreadable,  ///< What was kept of it is broken.
  kEnd,         ///< There was no time left to send it.
};
inline constexpr std::array<std::string_view, 6> kLossCauseNames = {
    "refused", "too old", "queue full", "tries spent", "unreadable", "not sent before the end"};

/// A window that had to be sent in parts counts once for each part.
struct Tally {
  std::uint64_t windows = 0;
  std::uint64_t samples = 0;

  Tally& operator+=(const Tally& other) {
    windows += other.windows;
    samples += other.samples;
    return *this;
  }
  friend bool operator==(const Tally&, const Tally&) = default;
};

/// All that was written is in exactly one of `sent`, `lost`, `unknown` and `kept` in the end,
/// sample by sample.
struct UploadCounters {
  Tally sent;
  std::array<Tally, kLossCauseNames.size()> lost;  ///< By LossCause.
  Tally unknown;              ///< Sent, but never answered: the server may have it.
  Tally kept;                 ///< Left in the spool for the next start.
  Tally spooled;              ///< Waiting there now.
  std::uint64_t retried = 0;  ///< Tries after the first one.
  std::uint64_t merged = 0;   ///< Windows that became part of another one.
  std::uint64_t queued_bytes = 0;
  std::string last_error;  ///< Of the last failed try that had its time; "" if none failed.

  [[nodiscard]] Tally& Lost(LossCause cause) { return lost.at(static_cast<std::size_t>(cause)); }
  [[nodiscard]] Tally AllLost() const {
    Tally all;
    for (const Tally& tally : lost) all += tally;
    return all;
  }
};

/// "refused 3, too old 1": windows by cause, without those that lost none.
[[nodiscard]] std::string LossCauses(const UploadCounters& counters);

}  // namespace agent
