// SPDX-License-Identifier: Apache-2.0
#include "agent/process/blocked_call.h"
#include "agent/process/kernel_stack.h"
#include "agent/process/mappings.h"
#include "agent/process/task_stat.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(process_texts) {
  const std::string_view text = fuzz::TextOf(input);
  for (const Mapping& mapping : ParseMappings(text)) (void)mapping.Contains(mapping.start);
  (void)ParseTaskStat(text);
  (void)ParseSchedStat(text);
  (void)ParseKernelStack(text);
  const auto call = ParseBlockedCall(text);
  if (call && *call) (void)SystemCallName((*call)->number);
}
