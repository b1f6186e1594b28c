// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "symbolizer/code_map.h"

namespace agent {

/// Reads a jitdump file (Linux, tools/perf/Documentation/jitdump-specification.txt) as it grows:
/// JIT_CODE_LOAD, JIT_CODE_MOVE, JIT_CODE_DEBUG_INFO. Only of this machine's byte order.
class JitDump {
 public:
  /// Reads what has been added to the file; returns how many bytes were taken: a record that is not
  /// complete yet is left for the next time. Nothing when the file is damaged; the reader is then
  /// of no further use.
  std::optional<std::size_t> Add(std::span<const std::byte> bytes, CodeMap& map);

 private:
  struct Line {
    std::uint64_t address;
    std::uint32_t line;
  };
  struct DebugInfo {
    std::string file;
    std::vector<Line> lines;
  };
  void AddLoad(std::span<const std::byte> body, CodeMap& map);
  void AddDebugInfo(std::span<const std::byte> body);

  bool has_header_ = false;
  /// What came before the load of the code that it is about; by the code's address.
  std::unordered_map<std::uint64_t, DebugInfo> debug_infos_;
};

}  // namespace agent
