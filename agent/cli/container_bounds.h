// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace agent {

/// What the sampler's three large buffers may hold; past that detail is folded, or windows are
/// dropped, and counted.
struct MemoryBounds {
  std::size_t run = 64u << 20;     ///< The whole run, for a file and the summary.
  std::size_t window = 16u << 20;  ///< What is being sampled.
  std::size_t queue = 16u << 20;   ///< What waits to be sent.
};

/// An eighth of the cgroup's limit at most, so that the program keeps the rest: half of that for
/// the run, and a quarter for each of the others. 512 KiB each hold the hottest stacks in any case.
[[nodiscard]] constexpr MemoryBounds BoundsWithin(std::optional<std::uint64_t> limit) {
  MemoryBounds bounds;
  if (!limit) return bounds;
  constexpr std::size_t kLeast = 512u << 10;
  const auto part = [&](std::size_t most, std::uint64_t divisor) {
    return std::max(kLeast, std::min(most, static_cast<std::size_t>(*limit / divisor)));
  };
  return {part(bounds.run, 16), part(bounds.window, 32), part(bounds.queue, 32)};
}

/// Samples a second where the user asked for no rate, for a CPU quota in CPUs: below half a CPU
/// fewer, so that the agent stays at 2 % of what the container may use (100 take 1 % of a CPU), but
/// a profile of ten seconds still has some stacks.
[[nodiscard]] constexpr double RateWithin(std::optional<double> quota) {
  constexpr double kRate = 100;
  constexpr double kWholeRate = 0.5;  // CPUs
  constexpr double kLeast = 10;
  if (!quota) return kRate;
  return std::max(kLeast, kRate * std::min(1.0, *quota / kWholeRate));
}

}  // namespace agent
