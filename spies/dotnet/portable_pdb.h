// SPDX-License-Identifier: Apache-2.0
// Source lines of methods, from a portable PDB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace agent::dotnet {

/// The lines of one method.
struct MethodLines {
  struct Point {
    std::uint32_t il = 0;
    std::uint32_t line = 0;
  };
  std::string file;           ///< As the compiler was given it.
  std::vector<Point> points;  ///< By IL offset; what the compiler hides has none.
  /// 0: none is told.
  [[nodiscard]] std::uint32_t At(std::uint32_t il) const;
};

/// What says that a PDB is of a module: a GUID and a time stamp.
using PdbId = std::array<std::byte, 20>;

/// dotnet/runtime, docs/design/specs/PortablePdb-Metadata.md. Any bytes are safe.
class PortablePdb {
 public:
  static constexpr std::size_t kMaxBytes = 16u << 20;

  /// A whole file.
  static Result<PortablePdb> Parse(std::vector<std::byte> bytes);
  /// One that lies compressed in its module ("MPDB").
  static Result<PortablePdb> ParseEmbedded(std::span<const std::byte> bytes);
  PortablePdb(PortablePdb&&) = default;
  PortablePdb& operator=(PortablePdb&&) = default;
  PortablePdb(const PortablePdb&) = delete;
  PortablePdb& operator=(const PortablePdb&) = delete;
  ~PortablePdb() = default;

  [[nodiscard]] const PdbId& id() const { return id_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  /// `rid`: of the MethodDef, from 1. Nothing for a method without lines.
  [[nodiscard]] std::optional<MethodLines> LinesOf(std::uint32_t rid) const;

 private:
  PortablePdb() = default;
  [[nodiscard]] std::span<const std::byte> Blob(std::uint32_t index) const;
  [[nodiscard]] std::string DocumentName(std::uint32_t row) const;

  std::vector<std::byte> bytes_;
  PdbId id_{};
  std::span<const std::byte> blobs_;      // in bytes_, as all of these
  std::span<const std::byte> documents_;  // rows
  std::span<const std::byte> methods_;    // rows
  std::size_t guid_width_ = 2;
  std::size_t blob_width_ = 2;
  std::size_t document_width_ = 2;
};

}  // namespace agent::dotnet
