// SPDX-License-Identifier: Apache-2.0
// What is known of a run besides its profile: what was profiled, and how far the figures can be
// trusted. The page, the closing summary and --json tell the same facts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/profile/unnamed.h"

namespace agent {

/// How long threads were held stopped.
struct PauseFacts {
  std::uint64_t count = 0;
  Nanoseconds p50{0};
  Nanoseconds p99{0};
  Nanoseconds max{0};
  Nanoseconds total{0};
};

/// A runtime that was sampled.
struct RuntimeFacts {
  std::string name;            ///< With its version: "CPython 3.12.1".
  std::int64_t processes = 0;  ///< That ran it.
};

/// What the sampler process itself used.
struct OwnCost {
  Nanoseconds cpu{0};
  std::uint64_t peak_bytes = 0;  ///< Resident set.
};

/// How often the kernel kept the program's cgroup off its CPUs during the run, for its quota was
/// used up.
struct ThrottleFacts {
  std::uint64_t periods = 0;
  std::uint64_t throttled_periods = 0;
  Nanoseconds throttled{0};  ///< Summed over CPUs.
};

/// Start, duration, asked rate (period), samples and losses are in the Profile. What is empty or
/// nothing is not known; of a profile that another tool made, nearly all of it.
struct RunFacts {
  std::string name;                  ///< The application's.
  std::vector<std::string> command;  ///< The program and its arguments.
  Pid pid{};                         ///< The program, or the process connected to; 0: not known.
  std::string host;
  std::string system;      ///< "Linux 6.1.0-18-amd64 x86_64"
  std::uint32_t cpus = 0;  ///< That the program could run on; 0: not known.
  std::vector<RuntimeFacts> runtimes;
  /// The program's CPU time as the kernel counted it, all processes that were sampled.
  std::optional<Nanoseconds> kernel_cpu;
  double achieved_rate = 0;  ///< Ticks a second; 0: not known.
  PauseFacts pauses;
  std::vector<UnnamedCode> unnamed;  ///< Its modules outlive the facts.
  std::optional<OwnCost> own;
  std::optional<ThrottleFacts> throttling;
};

}  // namespace agent
