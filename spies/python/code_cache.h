// SPDX-License-Identifier: Apache-2.0
// Code objects by address: read once, checked at every use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "agent/profile/frame.h"
#include "spies/python/layout.h"
#include "spies/python/raw_frame.h"

namespace agent::python {

/// Between two frees of code objects of one interpreter, where it counts them (3.14 and later).
struct CodeEpoch {
  RemoteAddress interpreter;  ///< Anything by which it is known; null: not told.
  std::uint64_t generation = 0;
  friend bool operator==(const CodeEpoch&, const CodeEpoch&) = default;
};

/// Sampling thread only.
class CodeCache {
 public:
  /// `code_type`: PyCode_Type, or null when it is not known. `functions` outlives the cache.
  CodeCache(ProcessMemory& memory, const Layout& layout, RemoteAddress code_type,
            FunctionTable& functions);

  /// Names `frames` into `stack`, both leaf first. The fields by which a code object is known are
  /// read anew each time, all in one call: an address that holds another code object by now is read
  /// again. Not of those that were seen in the same epoch, which is that of the moment after the
  /// frames were read. kUnreadable when one of them is no code object.
  Result<void> Name(std::span<const RawFrame> frames, const CodeEpoch& epoch, Stack& stack);
  /// Reads the same fields again, of code objects that Name has seen: whether each of them is still
  /// what it was.
  bool AreUnchanged(std::span<const RemoteAddress> codes);
  /// The line that a frame is at, of a code object that Name has seen: reads nothing. Nothing where
  /// it cannot be told, as outside the code.
  std::optional<std::uint32_t> KnownLine(const RawFrame& frame);

 private:
  // The bytes of a code object from ob_type to co_linetable, zero where they change while it runs;
  // they hold every pointer that is followed.
  struct Code {
    std::vector<std::byte> identity;
    const Function* function = nullptr;
    std::uint32_t first_line = 0;
    std::vector<std::byte> line_table;
    std::unordered_map<std::int64_t, std::uint32_t> lines;  ///< by instruction
    CodeEpoch epoch;                                        ///< that it was last seen in
  };

  void BlankWhatChanges(std::span<std::byte> identity) const;
  [[nodiscard]] bool IsOf(const CodeEpoch& epoch, RemoteAddress address) const;
  Result<void> ReadIdentities();
  std::span<std::byte> IdentityOf(std::size_t i) {
    return std::span(identities_).subspan(places_[i], identity_size_);
  }
  Result<void> Load(RemoteAddress address, std::span<const std::byte> identity, Code& code);
  RemoteAddress BytecodeOf(const RawFrame& frame) const;
  std::uint32_t LineOf(Code& code, const RawFrame& frame) const;

  ProcessMemory& memory_;
  const Layout& layout_;
  RemoteAddress code_type_;
  FunctionTable& functions_;
  std::uint32_t identity_start_;
  std::size_t identity_size_;
  std::unordered_map<RemoteAddress, Code> codes_;
  std::size_t table_bytes_ = 0;  // of the line tables that were loaded into codes_
  // Of the call under way.
  struct Piece {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
  };
  std::vector<RemoteAddress> distinct_;  // by address
  std::vector<Piece> pieces_;            // of memory, with what is read of distinct_
  std::vector<std::byte> identities_;    // and what lies between them
  std::vector<std::size_t> places_;      // in it, of each of distinct_
  std::vector<ReadRange> ranges_;
};

}  // namespace agent::python
