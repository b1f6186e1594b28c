// SPDX-License-Identifier: Apache-2.0
// Source lines of .NET: the first byte says what the rest is.
#include <algorithm>
#include <vector>

#include "spies/dotnet/il_map.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/portable_pdb.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(dotnet_lines) {
  if (input.empty()) return;
  const auto rest = input.subspan(1);
  const auto kind = std::to_integer<unsigned>(input.front()) % 4;
  if (kind < 3) {
    const auto map = dotnet::IlMap::Decode(rest, dotnet::LayoutOf(8 + kind)->debug_info);
    for (std::uint64_t offset = 0; map && offset < 4096; ++offset) (void)map->At(offset);
    return;
  }
  const auto pdb = dotnet::PortablePdb::Parse({rest.begin(), rest.end()});
  for (std::uint32_t rid = 0; pdb && rid < 64; ++rid) {
    if (const auto lines = pdb->LinesOf(rid)) (void)lines->At(rid);
  }
}
