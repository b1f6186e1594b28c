// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/demangle.h"

#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(demangle) {
  const std::string_view name = fuzz::TextOf(input);
  for (const auto how : {Demangle::kFull, Demangle::kSimplified}) (void)DemangleName(name, how);
  (void)WithoutCloneSuffixes(name);
  (void)SimplifyCpp(name);
  (void)SimplifyRust(name);
}
