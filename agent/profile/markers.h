// SPDX-License-Identifier: Apache-2.0
// Names of frames that are no functions, where one folder makes them and another knows them.
#pragma once

#include <string_view>

namespace agent::markers {

/// Python's garbage collector; above it is what it interrupted.
inline constexpr std::string_view kCollector = "<gc>";
/// .NET: above them is the runtime's own code that collects garbage, or compiles.
inline constexpr std::string_view kDotnetCollector = "[GC]";
inline constexpr std::string_view kDotnetCompiler = "[JIT]";
/// With --wall: a thread that could run Python, but for the one that has the GIL.
inline constexpr std::string_view kWaitsForGil = "[waits for the GIL]";
/// Where it was asked for: the outermost frame of a thread that holds the GIL. It is no caller, and
/// shown nowhere as one.
inline constexpr std::string_view kHoldsGil = "[holds the GIL]";

}  // namespace agent::markers
