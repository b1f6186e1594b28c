// SPDX-License-Identifier: Apache-2.0
#include "agent/report/run_file.h"

#include "agent/format/folded_encoder.h"
#include "agent/format/gzip.h"
#include "agent/format/pprof_encoder.h"
#include "agent/report/page_encoder.h"

namespace agent {

std::string EncodeRun(FileFormat format, const Profile& profile, const RunFacts& facts) {
  switch (format) {
    case FileFormat::kPprof:
      return Gzip(EncodePprof(profile, {.sample_labels = true}));
    case FileFormat::kFolded:
      return EncodeFolded(profile);
    case FileFormat::kHtml:
      return EncodePage(profile, facts);
  }
  return "";
}

Result<void> WriteRunFile(const std::string& path, const Profile& profile, const RunFacts& facts) {
  AGENT_TRY(const FileFormat format, ProfileFileFormat(path));
  return WriteProfileFile(path, EncodeRun(format, profile, facts));
}

}  // namespace agent
