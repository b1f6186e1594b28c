// SPDX-License-Identifier: Apache-2.0
// What a ReadyToRun image tells debuggers of its methods (inc/readytorun.h, section DebugInfo).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"

namespace agent::dotnet {

/// What a READYTORUN_HEADER begins with, "RTR".
inline constexpr std::uint32_t kImageSignature = 0x00525452;

/// Where that lies, and in which form.
struct ImageDebugInfo {
  RemoteAddress begin;
  std::uint32_t size = 0;      ///< 0: there is none.
  bool packed_bounds = false;  ///< As Layout::DebugInfo has it.
};

/// A loaded image.
struct LoadedImage {
  RemoteAddress begin;
  std::uint64_t size = 0;
  RemoteAddress header;     ///< READYTORUN_HEADER
  RemoteAddress functions;  ///< The first RUNTIME_FUNCTION.
};

/// Of images of the versions 6 to 16, which .NET 8 to 10 run: 9.1 is 8.0.31's own, 10.1 9.0.20's,
/// 16.0 10.0.12's. kUnsupported: another version. kMalformed: a header that is not this image's.
[[nodiscard]] Result<ImageDebugInfo> FindDebugInfo(ProcessMemory& memory, const LoadedImage& image);

/// What IlMap::DecodePrecompiled takes, and some of what follows. `function`: the number of the
/// method's first RUNTIME_FUNCTION. Eight reads at most. kUnsupported: nothing is told of it.
[[nodiscard]] Result<std::vector<std::byte>> ReadDebugInfo(ProcessMemory& memory,
                                                           const ImageDebugInfo& info,
                                                           std::uint32_t function);

}  // namespace agent::dotnet
