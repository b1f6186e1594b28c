// SPDX-License-Identifier: Apache-2.0
// A profile of any tool: what is read can be written again in every form.
#include "agent/format/folded_encoder.h"
#include "agent/format/loaded_profile.h"
#include "agent/format/pprof_encoder.h"
#include "agent/format/timeline_encoders.h"
#include "agent/report/diff_report.h"
#include "agent/report/facts_json.h"
#include "agent/report/page_encoder.h"
#include "agent/report/svg_encoder.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(profile_file) {
  const auto loaded = ParseProfile(fuzz::TextOf(input));
  if (!loaded) return;
  RunFacts facts;
  Profile& profile = (*loaded)->profile;
  (void)ReadFactsJson((*loaded)->facts, facts, profile.losses());
  const auto again = ParseProfile(EncodePprof(profile, {.sample_labels = true}));
  if (!again) __builtin_trap();
  if ((*again)->profile.Total().count != profile.Total().count) __builtin_trap();
  AddProfile(**again, **loaded);
  (void)EncodeFolded(profile);
  (void)EncodeSpeedscope(profile);
  (void)EncodeSvg(profile);
  (void)EncodePage(profile, facts);
  (void)FormatDiff(profile, (*again)->profile, MainMeasure(profile.Total()));
}
