// SPDX-License-Identifier: Apache-2.0
#include "uploader/backoff.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace agent {

Backoff::Backoff(std::function<double()> random) : random_(std::move(random)) {}

Nanoseconds Backoff::Next() {
  const double wait = random_() * static_cast<double>(bound_.count());
  bound_ = std::min(2 * bound_, kCap);
  return std::max(kLeast, Nanoseconds(static_cast<std::int64_t>(wait)));
}

}  // namespace agent
