// SPDX-License-Identifier: Apache-2.0
// Which instruction of a method's IL an address of its compiled code comes from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "spies/dotnet/layout.h"

namespace agent::dotnet {

/// What the compiler leaves behind for debuggers (vm/debuginfostore.cpp): the bounds of a method's
/// code, as the runtimes 8.0 to 10.0 have them, measured in 8.0.31, 9.0.20 and 10.0.12.
class IlMap {
 public:
  static constexpr std::size_t kMaxBytes = 64u << 10;

  /// `bytes`: the method's debug info, or its beginning. kMalformed; kLimit past kMaxBytes; any
  /// bytes are safe.
  static Result<IlMap> Decode(std::span<const std::byte> bytes, const Layout::DebugInfo& layout);
  /// The same of a ReadyToRun image's method. `packed_bounds`: bits, not nibbles.
  static Result<IlMap> DecodePrecompiled(std::span<const std::byte> bytes, bool packed_bounds);

  /// `offset` from the begin of the method's code. Nothing where no IL is told for it.
  [[nodiscard]] std::optional<std::uint32_t> At(std::uint64_t offset) const;

 private:
  struct Bound {
    std::uint32_t native = 0;
    std::uint32_t il = 0;
  };
  std::vector<Bound> bounds_;  // by native offset
};

}  // namespace agent::dotnet
