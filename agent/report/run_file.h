// SPDX-License-Identifier: Apache-2.0
// A run in a file, in the format that the file's name says.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/format/profile_file.h"
#include "agent/profile/profile.h"
#include "agent/report/run_facts.h"

namespace agent {

/// The whole content of the file.
[[nodiscard]] std::string EncodeRun(FileFormat format, const Profile& profile,
                                    const RunFacts& facts);

/// Encodes and writes (WriteProfileFile). kInvalid for a name that says no format; nothing is
/// written then.
[[nodiscard]] Result<void> WriteRunFile(const std::string& path, const Profile& profile,
                                        const RunFacts& facts);

}  // namespace agent
