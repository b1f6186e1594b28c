// SPDX-License-Identifier: Apache-2.0
#include "spies/python/dicts.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

namespace agent::python {
namespace {

// sys.modules of a large program has some ten thousand.
constexpr std::uint64_t kMaxEntries = 1u << 16;
constexpr std::size_t kMaxKey = 32;
constexpr std::size_t kMaxObject = 128;  // what is read of a str that may be the one
// In one call.
constexpr std::size_t kBatch = 512;

// PyDictObject behind the PyObject: ma_used, ma_version_tag, ma_keys, ma_values.
constexpr std::uint32_t kUsed = 0;
constexpr std::uint32_t kKeys = 16;  // and ma_values
// PyTypeObject, behind its PyVarObject (PyObject and a size).
constexpr std::uint32_t kBasicSize = 8;
constexpr std::uint32_t kFlags = 144;
constexpr std::uint32_t kDictOffset = 264;
// Include/object.h
constexpr std::uint64_t kHasInlineValues = 1u << 2;  // Py_TPFLAGS_INLINE_VALUES
constexpr std::uint64_t kHasManagedDict = 1u << 4;   // Py_TPFLAGS_MANAGED_DICT
constexpr std::uint64_t kIsText = 1u << 28;          // Py_TPFLAGS_UNICODE_SUBCLASS
// Objects are small, but for what hangs on them.
constexpr std::uint64_t kMaxBasicSize = 1u << 16;

std::unexpected<Error> NotFound() { return Fail(Errc::kInvalid, "no such key"); }
std::unexpected<Error> NoDict() { return Fail(Errc::kMalformed, "not a dict"); }

}  // namespace

Result<RemoteAddress> Dicts::Pointer(RemoteAddress place) {
  AGENT_TRY(const auto value, memory_.ReadValue<std::uint64_t>(place));
  if (value == 0) return Fail(Errc::kMalformed, "a pointer that is null");
  return RemoteAddress(value);
}

Result<RemoteAddress> Dicts::TypeOf(RemoteAddress object) {
  return Pointer(object.Plus(layout_.object_size - 8));
}

Result<bool> Dicts::IsText(RemoteAddress object) {
  AGENT_TRY(const RemoteAddress type, TypeOf(object));
  AGENT_TRY(const auto flags,
            memory_.ReadValue<std::uint64_t>(type.Plus(layout_.object_size + 8 + kFlags)));
  return (flags & kIsText) != 0;
}

Result<std::uint64_t> Dicts::SizeOf(RemoteAddress dict) {
  return memory_.ReadValue<std::uint64_t>(dict.Plus(layout_.object_size + kUsed));
}

// Objects/dict-common.h, since 3.11 Include/internal/pycore_dict.h.
Result<Dicts::Table> Dicts::TableAt(RemoteAddress keys) {
  std::array<std::uint64_t, 5> header{};
  AGENT_CHECK_OK(memory_.Read(keys, std::as_writable_bytes(std::span(header))));
  Table table;
  std::uint64_t index_bytes = 0;
  if (layout_.names.objects == ObjectForm::kDictOnly) {
    // dk_refcnt, dk_size, dk_lookup, dk_usable, dk_nentries, dk_indices
    const std::uint64_t size = header[1];
    if (!std::has_single_bit(size) || size > 2 * kMaxEntries || header[4] > size) return NoDict();
    index_bytes = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : 4);
    table = {.entries = keys.Plus(40 + index_bytes), .count = header[4], .entry_size = 24};
  } else {
    // dk_refcnt; bytes dk_log2_size, dk_log2_index_bytes, dk_kind; dk_usable, dk_nentries,
    // dk_indices. Of kind 0 (DICT_KEYS_GENERAL) entries have the hash as well.
    const std::uint64_t log2_bytes = header[1] >> 8 & 0xff;
    const std::uint64_t kind = header[1] >> 16 & 0xff;
    if (log2_bytes > 20 || kind > 2) return NoDict();
    index_bytes = std::uint64_t{1} << log2_bytes;
    table = {.entries = keys.Plus(32 + index_bytes),
             .count = header[3],
             .entry_size = kind == 0 ? 24u : 16u};
  }
  if (table.count > kMaxEntries) return NoDict();
  return table;
}

Result<std::vector<std::uint64_t>> Dicts::Words(const Table& table) {
  std::vector<std::uint64_t> words(table.count * table.entry_size / sizeof(std::uint64_t));
  if (!words.empty()) {
    AGENT_CHECK_OK(memory_.Read(table.entries, std::as_writable_bytes(std::span(words))));
  }
  return words;
}

// Of the entry whose key it is: first the lengths of all, then those that have the right one.
Result<std::size_t> Dicts::IndexOf(const Table& table, std::string_view key) {
  const Layout::Unicode& text = layout_.unicode;
  const std::size_t bytes = text.ascii_data + key.size();
  if (key.size() > kMaxKey || bytes > kMaxObject) return NotFound();
  AGENT_TRY(const std::vector<std::uint64_t> words, Words(table));
  const std::size_t step = table.entry_size / sizeof(std::uint64_t);
  const std::size_t first = table.HasHashes() ? 1 : 0;
  std::array<std::uint64_t, kBatch> lengths{};
  std::array<std::size_t, kBatch> indices{};
  std::vector<ReadRange> ranges;
  for (std::size_t next = 0; next < table.count;) {
    ranges.clear();
    for (; next < table.count && ranges.size() < kBatch; ++next) {
      const RemoteAddress object(words[next * step + first]);
      if (object.IsNull()) continue;
      indices[ranges.size()] = next;
      ranges.push_back({object.Plus(text.length), BytesOf(lengths[ranges.size()])});
    }
    if (ranges.empty()) continue;
    AGENT_CHECK_OK(memory_.ReadRanges(ranges));
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      if (lengths[i] != key.size()) continue;
      std::array<std::byte, kMaxObject> object{};
      const RemoteAddress address(words[indices[i] * step + first]);
      AGENT_CHECK_OK(memory_.Read(address, std::span(object).first(bytes)));
      std::uint32_t state = 0;
      std::memcpy(&state, object.data() + text.state, sizeof(state));
      const bool is_ascii = (state >> text.kind_bit & 0x1f) == (1 | 1 << 3 | 1 << 4);
      if (is_ascii && std::memcmp(object.data() + text.ascii_data, key.data(), key.size()) == 0) {
        return indices[i];
      }
    }
  }
  return NotFound();
}

Result<ObjectSlot> Dicts::SlotIn(RemoteAddress values, std::size_t index) {
  const RemoteAddress place = values.Plus(index * sizeof(std::uint64_t));
  AGENT_TRY(const auto value, memory_.ReadValue<std::uint64_t>(place));
  if (value == 0) return NotFound();
  return ObjectSlot{.place = place, .object = RemoteAddress(value)};
}

Result<ObjectSlot> Dicts::Find(RemoteAddress dict, std::string_view key) {
  std::array<std::uint64_t, 2> pointers{};
  AGENT_CHECK_OK(memory_.Read(dict.Plus(layout_.object_size + kKeys),
                              std::as_writable_bytes(std::span(pointers))));
  AGENT_TRY(const Table table, TableAt(RemoteAddress(pointers[0])));
  AGENT_TRY(const std::size_t index, IndexOf(table, key));
  if (pointers[1] != 0) {  // its keys are shared with other instances
    return SlotIn(RemoteAddress(pointers[1]).Plus(layout_.names.ValuesHeader()), index);
  }
  return SlotIn(table.entries.Plus(index * table.entry_size + table.entry_size - 8), 0);
}

Result<ObjectSlot> Dicts::Find(RemoteAddress dict, std::uint64_t key) {
  AGENT_TRY(const RemoteAddress keys, Pointer(dict.Plus(layout_.object_size + kKeys)));
  AGENT_TRY(const Table table, TableAt(keys));
  if (!table.HasHashes()) return NotFound();
  AGENT_TRY(const std::vector<std::uint64_t> words, Words(table));
  for (std::size_t i = 0; i + 2 < words.size(); i += 3) {
    if (words[i] != key || words[i + 1] == 0 || words[i + 2] == 0) continue;
    return ObjectSlot{.place = table.entries.Plus((i + 2) * sizeof(std::uint64_t)),
                      .object = RemoteAddress(words[i + 2])};
  }
  return NotFound();
}

Result<ObjectSlot> Dicts::FindAttribute(RemoteAddress object, std::string_view name) {
  const Layout::Names& names = layout_.names;
  AGENT_TRY(const RemoteAddress type, TypeOf(object));
  const RemoteAddress fields = type.Plus(layout_.object_size + 8);
  std::uint64_t basic_size = 0;
  std::uint64_t flags = 0;
  std::uint64_t dict_offset = 0;
  const std::array<ReadRange, 3> ranges = {{{fields.Plus(kBasicSize), BytesOf(basic_size)},
                                            {fields.Plus(kFlags), BytesOf(flags)},
                                            {fields.Plus(kDictOffset), BytesOf(dict_offset)}}};
  AGENT_CHECK_OK(memory_.ReadRanges(ranges));
  if (basic_size > kMaxBasicSize) return Fail(Errc::kMalformed, "not a type");
  if (names.objects == ObjectForm::kDictOnly || (flags & kHasManagedDict) == 0) {
    if (dict_offset < layout_.object_size || dict_offset >= basic_size) return NotFound();
    AGENT_TRY(const RemoteAddress dict, Pointer(object.Plus(dict_offset)));
    return Find(dict, name);
  }
  // Include/internal/pycore_object.h: what stands before the object.
  const RemoteAddress dict_place(object.value() - names.dict_before);
  AGENT_TRY(auto dict, memory_.ReadValue<std::uint64_t>(dict_place));
  RemoteAddress values;
  if (names.objects == ObjectForm::kValuesBeside) {
    if (dict == 0) {
      AGENT_TRY(values, Pointer(RemoteAddress(dict_place.value() - sizeof(std::uint64_t))));
    }
  } else if (names.objects == ObjectForm::kTaggedValues) {
    if ((dict & 1) != 0) values = RemoteAddress(std::exchange(dict, 0) + 1);
  } else if (dict == 0 && (flags & kHasInlineValues) != 0) {
    // {uint8_t capacity, size, embedded, valid; PyObject* values[]}
    values = object.Plus(basic_size);
    AGENT_TRY(const auto header, memory_.ReadValue<std::uint32_t>(values));
    if (header >> 24 != 1) return NotFound();
  }
  if (dict != 0) return Find(RemoteAddress(dict), name);
  if (values.IsNull()) return NotFound();
  AGENT_TRY(const RemoteAddress keys, Pointer(type.Plus(names.cached_keys)));
  AGENT_TRY(const Table table, TableAt(keys));
  AGENT_TRY(const std::size_t index, IndexOf(table, name));
  return SlotIn(values.Plus(names.ValuesHeader()), index);
}

}  // namespace agent::python
