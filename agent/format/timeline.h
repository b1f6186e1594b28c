// SPDX-License-Identifier: Apache-2.0
// A profile's samples as each thread had them, for formats that show time.
#pragma once

#include <string>
#include <vector>

#include "agent/profile/profile.h"

namespace agent {

/// What one thread did. Process and thread names, and their ids, tell it from others.
struct ThreadTimeline {
  ThreadIndex thread{};
  std::string
      name;  ///< "worker (tid 12)", in a process of another name "python3: worker (tid 12)".
  struct Sample {
    std::uint32_t slice = 0;
    StackId stack{};
    SampleValue value;
  };
  std::vector<Sample> samples;  ///< By slice, then stack.
};

/// All threads, the one with the most CPU and wall time first.
[[nodiscard]] std::vector<ThreadTimeline> Timelines(const Profile& profile);

}  // namespace agent
