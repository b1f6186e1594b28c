// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "agent/profile/dotnet_text.h"
#include "spies/dotnet/metadata.h"
#include "tests/fuzz/target.h"

using namespace agent;

namespace {

void AskMethod(const dotnet::Metadata& metadata, std::uint32_t rid) {
  dotnet::MethodParts parts;
  parts.method = metadata.MethodName(rid).value_or("");
  const std::uint32_t owner = metadata.TypeOfMethod(rid);
  parts.state_machine = metadata.StateMachineOf(owner);
  for (std::uint32_t type = owner; type != 0;) {
    const auto read = metadata.TypeAt(type);
    if (!read) break;
    if (read->enclosing >= type) __builtin_trap();  // The chain would not end.
    parts.types.emplace(parts.types.begin(), read->name);
    parts.type_arguments.emplace_back(read->name);
    type = parts.types.size() < 16 ? read->enclosing : 0;
  }
  (void)dotnet::RawMethodName(parts);
  (void)dotnet::SourceMethodName(parts);
  (void)dotnet::SourceTypeName(parts.types, parts.type_arguments);
}

}  // namespace

AGENT_FUZZ_TARGET(dotnet_metadata) {
  const auto size = dotnet::Metadata::SizeOf(input);
  const auto metadata = dotnet::Metadata::Parse({input.begin(), input.end()});
  if (!metadata) return;
  if (!size || *size > input.size()) __builtin_trap();
  (void)metadata->assembly_name();
  constexpr std::uint32_t kMost = 64;
  for (std::uint32_t rid = 0; rid <= std::min(metadata->method_count(), kMost); ++rid) {
    AskMethod(*metadata, rid);
  }
  AskMethod(*metadata, metadata->method_count());
  AskMethod(*metadata, ~std::uint32_t{0});
  (void)metadata->TypeAt(metadata->type_count());
  (void)metadata->TypeAt(~std::uint32_t{0});
}
