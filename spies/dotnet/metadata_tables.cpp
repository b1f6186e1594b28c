// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/metadata_tables.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "agent/base/byte_reader.h"

namespace agent::dotnet {
namespace {

// HeapSizes (II.24.2.6); the last is of CoreCLR (src/coreclr/md/inc/metamodel.h, EXTRA_DATA).
constexpr unsigned kWideStrings = 1;
constexpr unsigned kWideGuids = 2;
constexpr unsigned kWideBlobs = 4;
constexpr unsigned kExtraData = 0x40;

// A column: below 0x40 an index into that table, else one of these.
enum Column : std::uint8_t {
  kField = 0x04,
  kMethod = 0x06,
  kParam = 0x08,
  kTypeDef = 0x02,
  kEvent = 0x14,
  kProperty = 0x17,
  kModuleRef = 0x1a,
  kAssemblyRef = 0x23,
  kGenericParam = 0x2a,
  kFixed2 = 0x40,
  kFixed4,
  kString,
  kGuid,
  kBlob,
  // Indexes that carry a tag for the table (II.24.2.6), in the order of kCodedIndexes.
  kTypeDefOrRef,
  kHasConstant,
  kHasCustomAttribute,
  kHasFieldMarshal,
  kHasDeclSecurity,
  kMemberRefParent,
  kHasSemantics,
  kMethodDefOrRef,
  kMemberForwarded,
  kImplementation,
  kCustomAttributeType,
  kResolutionScope,
  kTypeOrMethodDef,
  kEnd = 0xff,
};

struct CodedIndex {
  unsigned tag_bits;
  std::initializer_list<std::uint8_t> tables;
};

constexpr CodedIndex kCodedIndexes[] = {
    {2, {0x02, 0x01, 0x1b}},                                                  // TypeDefOrRef
    {2, {0x04, 0x08, 0x17}},                                                  // HasConstant
    {5, {0x06, 0x04, 0x01, 0x02, 0x08, 0x09, 0x0a, 0x00, 0x0e, 0x17, 0x14,    //
         0x11, 0x1a, 0x1b, 0x20, 0x23, 0x26, 0x27, 0x28, 0x2a, 0x2c, 0x2b}},  // HasCustomAttribute
    {1, {0x04, 0x08}},                                                        // HasFieldMarshal
    {2, {0x02, 0x06, 0x20}},                                                  // HasDeclSecurity
    {3, {0x02, 0x01, 0x1a, 0x06, 0x1b}},                                      // MemberRefParent
    {1, {0x14, 0x17}},                                                        // HasSemantics
    {1, {0x06, 0x0a}},                                                        // MethodDefOrRef
    {1, {0x04, 0x06}},                                                        // MemberForwarded
    {2, {0x26, 0x23, 0x27}},                                                  // Implementation
    {3, {0x06, 0x0a}},                                                        // CustomAttributeType
    {2, {0x00, 0x1a, 0x23, 0x01}},                                            // ResolutionScope
    {1, {0x02, 0x06}},                                                        // TypeOrMethodDef
};
static_assert(std::size(kCodedIndexes) == kTypeOrMethodDef - kTypeDefOrRef + 1);

using Columns = std::array<std::uint8_t, 10>;

constexpr Columns Schema(std::initializer_list<std::uint8_t> columns) {
  Columns schema{};
  std::ranges::fill(schema, kEnd);
  std::ranges::copy(columns, schema.begin());
  return schema;
}

constexpr Columns kSchemas[] = {
    /* 00 Module */ Schema({kFixed2, kString, kGuid, kGuid, kGuid}),
    /* 01 TypeRef */ Schema({kResolutionScope, kString, kString}),
    /* 02 TypeDef */ Schema({kFixed4, kString, kString, kTypeDefOrRef, kField, kMethod}),
    /* 03 FieldPtr */ Schema({kField}),
    /* 04 Field */ Schema({kFixed2, kString, kBlob}),
    /* 05 MethodPtr */ Schema({kMethod}),
    /* 06 MethodDef */ Schema({kFixed4, kFixed2, kFixed2, kString, kBlob, kParam}),
    /* 07 ParamPtr */ Schema({kParam}),
    /* 08 Param */ Schema({kFixed2, kFixed2, kString}),
    /* 09 InterfaceImpl */ Schema({kTypeDef, kTypeDefOrRef}),
    /* 0a MemberRef */ Schema({kMemberRefParent, kString, kBlob}),
    /* 0b Constant */ Schema({kFixed2, kHasConstant, kBlob}),
    /* 0c CustomAttribute */ Schema({kHasCustomAttribute, kCustomAttributeType, kBlob}),
    /* 0d FieldMarshal */ Schema({kHasFieldMarshal, kBlob}),
    /* 0e DeclSecurity */ Schema({kFixed2, kHasDeclSecurity, kBlob}),
    /* 0f ClassLayout */ Schema({kFixed2, kFixed4, kTypeDef}),
    /* 10 FieldLayout */ Schema({kFixed4, kField}),
    /* 11 StandAloneSig */ Schema({kBlob}),
    /* 12 EventMap */ Schema({kTypeDef, kEvent}),
    /* 13 EventPtr */ Schema({kEvent}),
    /* 14 Event */ Schema({kFixed2, kString, kTypeDefOrRef}),
    /* 15 PropertyMap */ Schema({kTypeDef, kProperty}),
    /* 16 PropertyPtr */ Schema({kProperty}),
    /* 17 Property */ Schema({kFixed2, kString, kBlob}),
    /* 18 MethodSemantics */ Schema({kFixed2, kMethod, kHasSemantics}),
    /* 19 MethodImpl */ Schema({kTypeDef, kMethodDefOrRef, kMethodDefOrRef}),
    /* 1a ModuleRef */ Schema({kString}),
    /* 1b TypeSpec */ Schema({kBlob}),
    /* 1c ImplMap */ Schema({kFixed2, kMemberForwarded, kString, kModuleRef}),
    /* 1d FieldRVA */ Schema({kFixed4, kField}),
    /* 1e EncLog */ Schema({kFixed4, kFixed4}),
    /* 1f EncMap */ Schema({kFixed4}),
    /* 20 Assembly */
    Schema({kFixed4, kFixed2, kFixed2, kFixed2, kFixed2, kFixed4, kBlob, kString, kString}),
    /* 21 AssemblyProcessor */ Schema({kFixed4}),
    /* 22 AssemblyOS */ Schema({kFixed4, kFixed4, kFixed4}),
    /* 23 AssemblyRef */
    Schema({kFixed2, kFixed2, kFixed2, kFixed2, kFixed4, kBlob, kString, kString, kBlob}),
    /* 24 AssemblyRefProcessor */ Schema({kFixed4, kAssemblyRef}),
    /* 25 AssemblyRefOS */ Schema({kFixed4, kFixed4, kFixed4, kAssemblyRef}),
    /* 26 File */ Schema({kFixed4, kString, kBlob}),
    /* 27 ExportedType */ Schema({kFixed4, kFixed4, kString, kString, kImplementation}),
    /* 28 ManifestResource */ Schema({kFixed4, kFixed4, kString, kImplementation}),
    /* 29 NestedClass */ Schema({kTypeDef, kTypeDef}),
    /* 2a GenericParam */ Schema({kFixed2, kFixed2, kTypeOrMethodDef, kString}),
    /* 2b MethodSpec */ Schema({kMethodDefOrRef, kBlob}),
    /* 2c GenericParamConstraint */ Schema({kGenericParam, kTypeDefOrRef}),
};

class Widths {
 public:
  Widths(std::span<const std::uint32_t> rows, unsigned heap_sizes)
      : rows_(rows), heap_sizes_(heap_sizes) {}

  [[nodiscard]] unsigned Of(std::uint8_t column) const {
    switch (column) {
      case kFixed2:
        return 2;
      case kFixed4:
        return 4;
      case kString:
        return (heap_sizes_ & kWideStrings) != 0 ? 4 : 2;
      case kGuid:
        return (heap_sizes_ & kWideGuids) != 0 ? 4 : 2;
      case kBlob:
        return (heap_sizes_ & kWideBlobs) != 0 ? 4 : 2;
      default:
        break;
    }
    if (column < kFixed2) return rows_[column] > 0xffff ? 4 : 2;
    const CodedIndex& coded = kCodedIndexes[column - kTypeDefOrRef];
    std::uint32_t most = 0;
    for (const std::uint8_t table : coded.tables) most = std::max(most, rows_[table]);
    return most > (0xffffu >> coded.tag_bits) ? 4 : 2;
  }

 private:
  std::span<const std::uint32_t> rows_;
  unsigned heap_sizes_;
};

}  // namespace

Result<MetadataTables> MetadataTables::Parse(std::span<const std::byte> stream) {
  static_assert(std::size(kSchemas) == kTables);
  ByteReader reader(stream);
  reader.Skip(6);  // reserved, versions
  const auto heap_sizes = reader.Read<std::uint8_t>();
  reader.Skip(1);
  const auto present = reader.Read<std::uint64_t>();
  MetadataTables tables;
  tables.sorted_ = reader.Read<std::uint64_t>();
  std::array<std::uint32_t, 64> rows{};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if ((present >> i & 1) != 0) rows[i] = reader.Read<std::uint32_t>();
  }
  if ((heap_sizes & kExtraData) != 0) reader.Skip(4);

  const Widths widths(rows, heap_sizes);
  for (std::size_t i = 0; i < kTables; ++i) {
    Table& table = tables.tables_[i];
    unsigned size = 0;
    for (std::size_t column = 0; column < kMaxColumns && kSchemas[i][column] != kEnd; ++column) {
      size += widths.Of(kSchemas[i][column]);
      table.columns[column + 1] = static_cast<std::uint8_t>(size);
    }
    table.row_size = static_cast<std::uint8_t>(size);
    table.rows = rows[i];
    table.start = reader.position();
    reader.Skip(std::uint64_t{rows[i]} * size);
  }
  if (!reader.ok()) return Fail(Errc::kMalformed, "the metadata tables are cut off");
  return tables;
}

std::uint32_t MetadataTables::Cell(std::span<const std::byte> stream, TableId id, std::uint32_t row,
                                   std::size_t column) const {
  const Table& table = At(id);
  if (row == 0 || row > table.rows || column >= kMaxColumns) return 0;
  const unsigned begin = table.columns[column];
  const unsigned end = table.columns[column + 1];
  if (end != begin + 2 && end != begin + 4) return 0;  // no such column
  const std::size_t at = table.start + std::size_t{row - 1} * table.row_size + begin;
  if (at + (end - begin) > stream.size()) return 0;
  std::uint32_t value = 0;
  std::memcpy(&value, stream.data() + at, end - begin);
  return value;
}

}  // namespace agent::dotnet
