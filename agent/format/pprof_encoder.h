// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/profile/profile.h"

namespace agent {

struct PprofOptions {
  /// Carry process, thread and time slice of each sample as its labels: "process", "thread"
  /// (names), "pid", "tid", and "time_ns" (Unix time at which the slice begins). A file takes them;
  /// a server would make a series of each thread.
  bool sample_labels = false;
  /// Carry the thread of each sample as labels "thread_name" and "thread_id": both texts, since
  /// Pyroscope makes series of texts only.
  bool thread_labels = false;
  /// What the writer knows of the run besides, in a field of our own that other readers skip; "":
  /// nothing.
  std::string facts = {};  // NOLINT(readability-redundant-member-init): else g++ warns
};

/// A pprof profile (github.com/google/pprof, proto/profile.proto), not compressed: sample types
/// cpu/nanoseconds and samples/count, period type cpu/nanoseconds. What was lost is told in
/// comments.
[[nodiscard]] std::string EncodePprof(const Profile& profile, const PprofOptions& options);

}  // namespace agent
