// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/diagnostics_socket.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(diagnostics_answer) {
  // More bytes never make a beginning of what was an answer.
  const auto some = dotnet::IsDiagnosticsSuccess(input.first(input.size() / 2));
  const auto all = dotnet::IsDiagnosticsSuccess(input);
  if (some && *some && (!all || !*all)) __builtin_trap();
  (void)dotnet::TemporaryFolderIn(fuzz::TextOf(input));
}
