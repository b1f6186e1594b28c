// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/contract_descriptor.h"

#include <array>
#include <string_view>

#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(contract_descriptor) {
  const std::array<std::uint64_t, 4> pointers = {0, 1, 2, 3};
  const auto descriptor = dotnet::ContractDescriptor::Parse(
      {reinterpret_cast<const char*>(input.data()), input.size()}, pointers);
  if (!descriptor) return;
  (void)dotnet::LayoutFrom(*descriptor);
  for (unsigned major = 6; major <= dotnet::kNewestMajor; ++major) {
    (void)dotnet::Overlay(*dotnet::LayoutOf(major), *descriptor);
  }
}
