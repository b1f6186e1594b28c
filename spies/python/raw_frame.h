// SPDX-License-Identifier: Apache-2.0
// A frame as the interpreter has it (_PyInterpreterFrame), from bytes that were read of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "agent/base/types.h"
#include "spies/python/layout.h"

namespace agent::python {

struct RawFrame {
  RemoteAddress code;
  RemoteAddress instruction;
  std::uint32_t bytecode = 0;  ///< Which copy of the bytecode (Layout::Frame::tlbc_index).
  /// C has called the interpreter for it: its callers in Python are another call's.
  bool is_entry = false;
  RemoteAddress address;  ///< Of the frame itself; where nobody asks for it, null.
};

inline std::uint64_t LoadWord(const std::byte* bytes, std::size_t offset) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes + offset, sizeof(value));
  return value;
}

/// CPython 3.11 and later. `bytes`: layout.size of them. Without is_entry.
inline RawFrame DecodeFrame(const std::byte* bytes, const Layout::Frame& layout) {
  RawFrame frame;
  frame.code = RemoteAddress(LoadWord(bytes, layout.executable) & ~std::uint64_t{layout.tag_bits});
  frame.instruction = RemoteAddress(LoadWord(bytes, layout.instruction));
  if (layout.tlbc_index != 0) {
    std::memcpy(&frame.bytecode, bytes + layout.tlbc_index, sizeof(frame.bytecode));
  }
  return frame;
}

}  // namespace agent::python
