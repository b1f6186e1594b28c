// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/profile/dotnet_text.h"
#include "spies/dotnet/metadata_tables.h"

namespace agent::dotnet {

/// The names in one module's metadata (ECMA-335 II.24), copied from a process. Any bytes are safe.
/// Row numbers ("rid") count from 1. Texts are views into the copy: they live as long as it, also
/// when it is moved, and are the process's own bytes, which need not be UTF-8.
class Metadata {
 public:
  static constexpr std::size_t kHeadBytes = 4096;
  /// More than any module has (CoreLib: 4 MiB).
  static constexpr std::size_t kMaxBytes = std::size_t{256} << 20;

  /// How many bytes Parse needs, by the first ones (at most kHeadBytes are looked at) from the
  /// signature on: up to the end of the streams that it reads. kMalformed; kLimit past kMaxBytes;
  /// kUnsupported for a delta of Edit and Continue.
  static Result<std::size_t> SizeOf(std::span<const std::byte> head);

  /// `bytes` from the signature "BSJB" on; what follows the metadata is let go. Errors as SizeOf.
  static Result<Metadata> Parse(std::vector<std::byte> bytes);

  Metadata(Metadata&&) = default;
  Metadata& operator=(Metadata&&) = default;
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;
  ~Metadata() = default;

  struct Type {
    std::string_view name_space;  ///< Of a nested type: empty.
    std::string_view name;
    /// The rid of the type around this one; less than this one's, so that chains end. 0: none.
    std::uint32_t enclosing = 0;
  };
  [[nodiscard]] std::optional<Type> TypeAt(std::uint32_t rid) const;
  [[nodiscard]] std::optional<std::string_view> MethodName(std::uint32_t rid) const;
  /// The rid of the type that has the method. 0: none.
  [[nodiscard]] std::uint32_t TypeOfMethod(std::uint32_t method_rid) const;
  /// The assembly's name; of a module without one the module's, less its extension.
  [[nodiscard]] std::string_view assembly_name() const { return assembly_name_; }
  /// What the interfaces of a type say that the compiler made it for. Types that people write may
  /// implement them as well: only with the compiler's name (`<Foo>d__5`) it means something.
  [[nodiscard]] StateMachine StateMachineOf(std::uint32_t type_rid) const;
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  /// Where a text of this one's lies, from the signature on.
  [[nodiscard]] std::size_t OffsetOf(std::string_view text) const {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(text.data()) -
                                    bytes_.data());
  }
  [[nodiscard]] std::uint32_t type_count() const { return tables_.rows(TableId::kTypeDef); }
  [[nodiscard]] std::uint32_t method_count() const { return tables_.rows(TableId::kMethodDef); }

 private:
  /// A part of the bytes.
  struct Stream {
    std::size_t offset = 0;
    std::size_t size = 0;
  };
  struct Streams {
    std::optional<Stream> tables;
    std::optional<Stream> strings;
  };
  static Result<Streams> FindStreams(std::span<const std::byte> head);
  static Result<std::size_t> EndOf(const Streams& streams);

  Metadata() = default;
  [[nodiscard]] std::uint32_t Cell(TableId table, std::uint32_t row, std::size_t column) const;
  [[nodiscard]] std::optional<std::string_view> TextAt(std::uint32_t offset) const;
  [[nodiscard]] bool IsInterface(std::uint32_t type_def_or_ref, std::string_view name_space,
                                 std::string_view name) const;
  [[nodiscard]] std::uint32_t FirstRow(TableId table, std::uint32_t key) const;
  [[nodiscard]] std::uint32_t EnclosingOf(std::uint32_t type_rid) const;
  void IndexMethodPointers();
  void FindAssemblyName();

  std::vector<std::byte> bytes_;
  Stream table_stream_;
  Stream strings_;
  MetadataTables tables_;
  /// With a MethodPtr table: by MethodDef's row, the row of MethodPtr.
  std::vector<std::uint32_t> method_pointers_;
  std::string_view assembly_name_;
};

}  // namespace agent::dotnet
