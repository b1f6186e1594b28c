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

/// The fields by which the code objects of a stack are known, as they were at one moment.
struct CodeIdentities {
  std::vector<RemoteAddress> codes;  ///< By address; without those that are known by their epoch.
  std::vector<std::size_t> places;   ///< Of each in `bytes`.
  std::vector<std::byte> bytes;      ///< And what lies between them.
  bool are_taken = false;            ///< While the thread whose frames hold them stood still.
};

/// Sampling thread only.
class CodeCache {
 public:
  /// `code_type`: PyCode_Type, or null when it is not known. `functions` outlives the cache.
  CodeCache(ProcessMemory& memory, const Layout& layout, RemoteAddress code_type,
            FunctionTable& functions);

  /// While the thread of `frames` still stands where they were read: what their code objects are,
  /// most by one call, without those that were seen in the same epoch.
  Result<void> Identify(std::span<const RawFrame> frames, const CodeEpoch& epoch,
                        CodeIdentities& seen);
  /// Names `frames` into `stack`, both leaf first: by `seen`, or where that was not taken by what
  /// their code objects are now. An address that holds another code object than before is read
  /// again. kUnreadable when one of them is no code object, or has been freed since; and when one
  /// that was not `seen` is new: it may have come after the frames were read. The next time it is
  /// known.
  Result<void> Name(std::span<const RawFrame> frames, const CodeEpoch& epoch, CodeIdentities& seen,
                    Stack& stack);
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
  Result<void> ReadIdentities(CodeIdentities& seen);
  std::span<std::byte> IdentityOf(CodeIdentities& seen, std::size_t i) const {
    return std::span(seen.bytes).subspan(seen.places[i], identity_size_);
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
  std::vector<Piece> pieces_;  // of memory, with what is read
  std::vector<ReadRange> ranges_;
  CodeIdentities unchanged_;  // AreUnchanged's
};

}  // namespace agent::python
