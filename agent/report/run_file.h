// SPDX-License-Identifier: Apache-2.0
// A run in a file.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/format/profile_file.h"
#include "agent/profile/profile.h"
#include "agent/report/run_facts.h"

namespace agent {

struct RunFile {
  std::string path;
  FileFormat format = FileFormat::kPprof;
};

/// The whole content of the file.
[[nodiscard]] std::string EncodeRun(FileFormat format, const Profile& profile,
                                    const RunFacts& facts);

/// Encodes and writes (WriteProfileFile).
[[nodiscard]] Result<void> WriteRunFile(const RunFile& file, const Profile& profile,
                                        const RunFacts& facts);

}  // namespace agent
