// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/metadata.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/base/byte_reader.h"

namespace agent::dotnet {
namespace {

constexpr std::uint32_t kSignature = 0x424a5342;  // "BSJB"
constexpr std::size_t kMaxStreamName = 32;        // with its NUL (II.24.2.2)
// The runtime's own bound is 1024 characters.
constexpr std::size_t kMaxNameBytes = 4096;
// Of one type; the compiler's state machines have six at most.
constexpr std::uint32_t kMaxInterfaces = 64;

// Columns, by their place in the format (II.22).
constexpr std::size_t kModuleName = 1;
constexpr std::size_t kTypeRefName = 1;
constexpr std::size_t kTypeRefNamespace = 2;
constexpr std::size_t kTypeDefFlags = 0;
constexpr std::size_t kTypeDefName = 1;
constexpr std::size_t kTypeDefNamespace = 2;
constexpr std::size_t kTypeDefMethodList = 5;
constexpr std::size_t kMethodDefName = 3;
constexpr std::size_t kInterfaceImplInterface = 1;
constexpr std::size_t kAssemblyName = 7;
constexpr std::size_t kNestedClassEnclosing = 1;
constexpr std::size_t kKey = 0;  // of InterfaceImpl and NestedClass: the type's rid

// TypeAttributes (II.23.1.15): from 2 on the visibility is that of a nested type.
constexpr std::uint32_t kVisibilityMask = 7;
constexpr std::uint32_t kFirstNested = 2;

}  // namespace

Result<Metadata::Streams> Metadata::FindStreams(std::span<const std::byte> head) {
  ByteReader reader(head.first(std::min(head.size(), kHeadBytes)));
  if (reader.Read<std::uint32_t>() != kSignature) {
    return Fail(Errc::kMalformed, "metadata without its signature");
  }
  reader.Skip(8);  // versions, reserved
  reader.Skip(reader.Read<std::uint32_t>());
  reader.Skip(2);  // flags
  const auto count = reader.Read<std::uint16_t>();
  Streams streams;
  for (unsigned i = 0; i < count && reader.ok(); ++i) {
    Stream stream;
    stream.offset = reader.Read<std::uint32_t>();
    stream.size = reader.Read<std::uint32_t>();
    const std::string_view name = reader.ReadString();
    reader.Skip(3 - name.size() % 4);
    if (!reader.ok() || name.size() >= kMaxStreamName) break;
    if (name == "#JTD") return Fail(Errc::kUnsupported, "metadata of an edit");
    if ((name == "#~" || name == "#-") && !streams.tables) streams.tables = stream;
    if (name == "#Strings" && !streams.strings) streams.strings = stream;
  }
  if (!reader.ok()) return Fail(Errc::kMalformed, "the list of metadata streams is cut off");
  if (!streams.tables) return Fail(Errc::kMalformed, "metadata without tables");
  return streams;
}

Result<std::size_t> Metadata::EndOf(const Streams& streams) {
  std::size_t end = 0;
  for (const auto& stream : {streams.tables, streams.strings}) {
    if (stream) end = std::max(end, stream->offset + stream->size);
  }
  if (end > kMaxBytes) return Fail(Errc::kLimit, "metadata is too large");
  return end;
}

Result<std::size_t> Metadata::SizeOf(std::span<const std::byte> head) {
  AGENT_TRY(const Streams streams, FindStreams(head));
  return EndOf(streams);
}

Result<Metadata> Metadata::Parse(std::vector<std::byte> bytes) {
  AGENT_TRY(const Streams streams, FindStreams(bytes));
  AGENT_TRY(const std::size_t end, EndOf(streams));
  if (end > bytes.size()) return Fail(Errc::kMalformed, "metadata is cut off");
  Metadata metadata;
  metadata.bytes_ = std::move(bytes);
  metadata.bytes_.resize(end);
  metadata.table_stream_ = *streams.tables;
  metadata.strings_ = streams.strings.value_or(Stream{});
  const auto table_bytes =
      std::span(metadata.bytes_).subspan(streams.tables->offset, streams.tables->size);
  AGENT_TRY(metadata.tables_, MetadataTables::Parse(table_bytes));
  metadata.IndexMethodPointers();
  metadata.FindAssemblyName();
  return metadata;
}

std::uint32_t Metadata::Cell(TableId table, std::uint32_t row, std::size_t column) const {
  return tables_.Cell(std::span(bytes_).subspan(table_stream_.offset, table_stream_.size), table,
                      row, column);
}

std::optional<std::string_view> Metadata::TextAt(std::uint32_t offset) const {
  if (offset >= strings_.size) return std::nullopt;
  const auto* text = reinterpret_cast<const char*>(bytes_.data() + strings_.offset + offset);
  const std::size_t most = std::min(strings_.size - offset, kMaxNameBytes);
  const void* end = std::memchr(text, 0, most);
  if (end == nullptr) return std::nullopt;
  return std::string_view(text, static_cast<const char*>(end));
}

// Where there is a MethodPtr table, MethodList counts its rows; ECMA-335 leaves it out, CoreCLR
// reads it.
void Metadata::IndexMethodPointers() {
  const std::uint32_t pointers = tables_.rows(TableId::kMethodPtr);
  if (pointers == 0) return;
  method_pointers_.resize(std::size_t{method_count()} + 1);
  for (std::uint32_t row = pointers; row > 0; --row) {
    const std::uint32_t method = Cell(TableId::kMethodPtr, row, 0);
    if (method < method_pointers_.size()) method_pointers_[method] = row;
  }
}

void Metadata::FindAssemblyName() {
  if (tables_.rows(TableId::kAssembly) > 0) {
    assembly_name_ = TextAt(Cell(TableId::kAssembly, 1, kAssemblyName)).value_or("");
  }
  if (!assembly_name_.empty()) return;
  const std::string_view module = TextAt(Cell(TableId::kModule, 1, kModuleName)).value_or("");
  assembly_name_ = module.substr(0, module.rfind('.'));
}

std::optional<Metadata::Type> Metadata::TypeAt(std::uint32_t rid) const {
  if (rid == 0 || rid > type_count()) return std::nullopt;
  const auto name = TextAt(Cell(TableId::kTypeDef, rid, kTypeDefName));
  const auto name_space = TextAt(Cell(TableId::kTypeDef, rid, kTypeDefNamespace));
  if (!name || !name_space) return std::nullopt;
  return Type{*name_space, *name, EnclosingOf(rid)};
}

std::uint32_t Metadata::EnclosingOf(std::uint32_t type_rid) const {
  const std::uint32_t flags = Cell(TableId::kTypeDef, type_rid, kTypeDefFlags);
  if ((flags & kVisibilityMask) < kFirstNested) return 0;
  const std::uint32_t row = FirstRow(TableId::kNestedClass, type_rid);
  const std::uint32_t enclosing = Cell(TableId::kNestedClass, row, kNestedClassEnclosing);
  // II.22: the type around another comes before it.
  return enclosing < type_rid ? enclosing : 0;
}

// The first row with this key; 0: none. The table's rows are walked if it is not sorted.
std::uint32_t Metadata::FirstRow(TableId table, std::uint32_t key) const {
  std::uint32_t first = 1;
  const std::uint32_t rows = tables_.rows(table);
  if (tables_.sorted(table)) {
    std::uint32_t past = rows + 1;
    while (first < past) {
      const std::uint32_t middle = first + (past - first) / 2;
      if (Cell(table, middle, kKey) < key) {
        first = middle + 1;
      } else {
        past = middle;
      }
    }
    return first <= rows && Cell(table, first, kKey) == key ? first : 0;
  }
  while (first <= rows && Cell(table, first, kKey) != key) ++first;
  return first <= rows ? first : 0;
}

std::optional<std::string_view> Metadata::MethodName(std::uint32_t rid) const {
  if (rid == 0 || rid > method_count()) return std::nullopt;
  return TextAt(Cell(TableId::kMethodDef, rid, kMethodDefName));
}

std::uint32_t Metadata::TypeOfMethod(std::uint32_t method_rid) const {
  if (method_rid == 0 || method_rid > method_count()) return 0;
  const std::uint32_t listed = method_pointers_.empty() ? method_rid : method_pointers_[method_rid];
  if (listed == 0) return 0;
  // A type's list goes up to that of the next one: of those that begin at the same row all but the
  // last are empty.
  std::uint32_t first = 1;
  std::uint32_t past = type_count() + 1;
  while (first < past) {
    const std::uint32_t middle = first + (past - first) / 2;
    if (Cell(TableId::kTypeDef, middle, kTypeDefMethodList) <= listed) {
      first = middle + 1;
    } else {
      past = middle;
    }
  }
  return first - 1;
}

bool Metadata::IsInterface(std::uint32_t type_def_or_ref, std::string_view name_space,
                           std::string_view name) const {
  // The tag is 0 for a TypeDef, 1 for a TypeRef; generic ones (TypeSpec, 2) are not asked for.
  const std::uint32_t row = type_def_or_ref >> 2;
  switch (type_def_or_ref & 3) {
    case 0:
      return TextAt(Cell(TableId::kTypeDef, row, kTypeDefName)) == name &&
             TextAt(Cell(TableId::kTypeDef, row, kTypeDefNamespace)) == name_space;
    case 1:
      return TextAt(Cell(TableId::kTypeRef, row, kTypeRefName)) == name &&
             TextAt(Cell(TableId::kTypeRef, row, kTypeRefNamespace)) == name_space;
    default:
      return false;
  }
}

StateMachine Metadata::StateMachineOf(std::uint32_t type_rid) const {
  bool async = false;
  bool async_disposable = false;
  bool enumerator = false;
  std::uint32_t row = FirstRow(TableId::kInterfaceImpl, type_rid);
  if (row == 0) return StateMachine::kNone;
  const bool sorted = tables_.sorted(TableId::kInterfaceImpl);
  const std::uint32_t rows = tables_.rows(TableId::kInterfaceImpl);
  for (std::uint32_t found = 0; row <= rows && found < kMaxInterfaces; ++row) {
    if (Cell(TableId::kInterfaceImpl, row, kKey) != type_rid) {
      if (sorted) break;
      continue;
    }
    ++found;
    const std::uint32_t interface = Cell(TableId::kInterfaceImpl, row, kInterfaceImplInterface);
    async |= IsInterface(interface, "System.Runtime.CompilerServices", "IAsyncStateMachine");
    async_disposable |= IsInterface(interface, "System", "IAsyncDisposable");
    enumerator |= IsInterface(interface, "System.Collections", "IEnumerator");
  }
  // IAsyncEnumerator<T> itself is a TypeSpec; each one is an IAsyncDisposable as well.
  if (async) return async_disposable ? StateMachine::kAsyncIterator : StateMachine::kAsync;
  return enumerator ? StateMachine::kIterator : StateMachine::kNone;
}

}  // namespace agent::dotnet
