// SPDX-License-Identifier: Apache-2.0
// What a CoreCLR tells of its own structures, from .NET 9 on.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/dotnet/layout.h"

namespace agent::dotnet {

/// DotNetRuntimeContractDescriptor: a header, a JSON text (dotnet/runtime's
/// docs/design/datacontracts/data_descriptor.md) and pointers that the text has the indexes of. As
/// the runtimes 9.0 to 10.0 have it and 11 is to have it.
class ContractDescriptor {
 public:
  static constexpr const char* kSymbol = "DotNetRuntimeContractDescriptor";

  /// kMalformed when it is no such text. `pointers`: what "indirect" globals stand for.
  static Result<ContractDescriptor> Parse(std::string_view json,
                                          std::span<const std::uint64_t> pointers);
  /// Of a live runtime; `place`: the symbol's.
  static Result<ContractDescriptor> Read(ProcessMemory& memory, RemoteAddress place);

  /// A field's offset in a type, or a type's size by the name "!".
  [[nodiscard]] std::optional<std::uint64_t> Field(std::string_view type,
                                                   std::string_view field) const;
  [[nodiscard]] std::optional<std::uint64_t> Global(std::string_view name) const;
  /// 0: the runtime does not have it.
  [[nodiscard]] std::uint64_t Contract(std::string_view name) const;

 private:
  std::map<std::string, std::uint64_t, std::less<>> fields_;  // "Type.Field"
  std::map<std::string, std::uint64_t, std::less<>> globals_;
  std::map<std::string, std::uint64_t, std::less<>> contracts_;
};

/// `known`, a version's layout, with what the runtime itself says. kMalformed, with the first
/// difference, where it says that a structure is not what this agent takes it for.
[[nodiscard]] Result<Layout> Overlay(const Layout& known, const ContractDescriptor& descriptor);

/// Of a version that is not known: by what the runtime says alone. kMalformed where it does not say
/// enough.
[[nodiscard]] Result<Layout> LayoutFrom(const ContractDescriptor& descriptor);

}  // namespace agent::dotnet
