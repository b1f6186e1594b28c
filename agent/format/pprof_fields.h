// SPDX-License-Identifier: Apache-2.0
// Field numbers of pprof's profile.proto (github.com/google/pprof).
#pragma once

#include <protozero/types.hpp>

namespace agent::pprof {

enum ProfileField : protozero::pbf_tag_type {
  kSampleType = 1,
  kSample = 2,
  kMapping = 3,
  kLocation = 4,
  kFunction = 5,
  kStringTable = 6,
  kTimeNanos = 9,
  kDurationNanos = 10,
  kPeriodType = 11,
  kPeriod = 12,
  kComment = 13,
  kDefaultSampleType = 14,
  kAgentFacts = 10001,  // ours (string): other readers skip it
};
enum ValueTypeField : protozero::pbf_tag_type { kType = 1, kUnit = 2 };
enum SampleField : protozero::pbf_tag_type { kLocationId = 1, kValue = 2, kLabel = 3 };
enum LabelField : protozero::pbf_tag_type { kKey = 1, kStr = 2, kNum = 3, kNumUnit = 4 };
enum LocationField : protozero::pbf_tag_type {
  kLocationIdField = 1,
  kLocationMapping = 2,
  kLocationAddress = 3,
  kLine = 4,
};
enum MappingField : protozero::pbf_tag_type {
  kMappingIdField = 1,
  kMemoryStart = 2,
  kMemoryLimit = 3,
  kFileOffset = 4,
  kMappingFilename = 5,
  kBuildId = 6,
};
enum LineField : protozero::pbf_tag_type { kFunctionId = 1, kLineNumber = 2 };
enum FunctionField : protozero::pbf_tag_type {
  kFunctionIdField = 1,
  kName = 2,
  kSystemName = 3,
  kFilename = 4,
  kStartLine = 5,
};

}  // namespace agent::pprof
