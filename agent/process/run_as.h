// SPDX-License-Identifier: Apache-2.0
// Another user for the program, as `-user-name` and `-group-name` say.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace agent {

struct RunAs {
  std::optional<uid_t> uid;  ///< None: stays as it is.
  gid_t gid = 0;
  std::vector<gid_t> groups;  ///< The supplementary ones, in place of all that there were.
};

/// Names are looked up in files of the form of passwd(5) and group(5), and nowhere else: a static
/// binary must not load the image's nss modules. Numbers need no entry; but a user without one has
/// no group of his own, so `group` must be given then. Groups that list the user are his as well.
/// kInvalid with a text that names what is unknown; one of `user` and `group` may be "".
[[nodiscard]] Result<RunAs> FindRunAs(const std::string& user, const std::string& group,
                                      const std::string& passwd_file = "/etc/passwd",
                                      const std::string& group_file = "/etc/group");
/// kNotPermitted when this process may not become that.
[[nodiscard]] Result<void> CheckRunAs(const RunAs& run_as);

/// Makes this process that user, for good: real, effective and saved ids. 0 or errno.
[[nodiscard]] int Become(const RunAs& run_as);

}  // namespace agent
