// SPDX-License-Identifier: Apache-2.0
#include "agent/report/run_file.h"

#include "agent/format/folded_encoder.h"
#include "agent/format/gzip.h"
#include "agent/format/pprof_encoder.h"
#include "agent/format/timeline_encoders.h"
#include "agent/report/facts_json.h"
#include "agent/report/page_encoder.h"
#include "agent/report/summary_json.h"
#include "agent/report/svg_encoder.h"

namespace agent {

std::string EncodeRun(FileFormat format, const Profile& profile, const RunFacts& facts) {
  switch (format) {
    case FileFormat::kHtml:
      return EncodePage(profile, facts);
    case FileFormat::kPprof:
      return Gzip(
          EncodePprof(profile, {.sample_labels = true, .facts = FactsJson(profile, facts)}));
    case FileFormat::kFolded:
      return EncodeFolded(profile);
    case FileFormat::kSpeedscope:
      return EncodeSpeedscope(profile);
    case FileFormat::kGecko:
      return EncodeGecko(profile);
    case FileFormat::kSvg:
      return EncodeSvg(profile);
    case FileFormat::kJson:
      return SummaryJson(profile, facts);
  }
  return "";
}

Result<void> WriteRunFile(const RunFile& file, const Profile& profile, const RunFacts& facts) {
  return WriteProfileFile(file.path, EncodeRun(file.format, profile, facts));
}

}  // namespace agent
