// SPDX-License-Identifier: Apache-2.0
#include "agent/process/job_control.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "tests/support/catch.h"

using namespace agent;

TEST_CASE("Job control: who is in the foreground of its terminal") {
  const dev_t terminal = ::makedev(136, 300);
  // tty_nr: the minor number's low byte, the major number, the rest of the minor (proc(5)).
  const auto stat = [](int group, int foreground) {
    return fmt::format(
        "7 (a) b) S 1 {} 5 {} {} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 "
        "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        group, (300 & 0xff) | (136 << 8) | (1 << 20), foreground);
  };
  CHECK(IsForeground(stat(20, 20), terminal));
  CHECK_FALSE(IsForeground(stat(20, 21), terminal));
  // Another terminal than its own, none of its own, and what is no stat at all.
  CHECK(IsForeground(stat(20, 21), ::makedev(136, 1)));
  CHECK(IsForeground("7 (a) S 1 20 5 0 -1 0", terminal));
  CHECK(IsForeground("", terminal));
  CHECK(IsForeground("7 (a", terminal));
}
