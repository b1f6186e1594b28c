// SPDX-License-Identifier: Apache-2.0
#include "uploader/upload_counters.h"

#include <fmt/format.h>

namespace agent {

std::string LossCauses(const UploadCounters& counters) {
  std::string text;
  for (std::size_t i = 0; i < counters.lost.size(); ++i) {
    if (counters.lost[i].windows == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", kLossCauseNames[i],
                        counters.lost[i].windows);
  }
  return text;
}

}  // namespace agent
