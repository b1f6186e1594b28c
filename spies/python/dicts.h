// SPDX-License-Identifier: Apache-2.0
// Looking things up in Python's dicts and instances, from outside and while they may change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// A place in memory, and the object whose address it held.
struct ObjectSlot {
  RemoteAddress place;
  RemoteAddress object;
};

/// Lookups that read a key table whole: a few calls each, 30 us for a thousand keys. Fails with
/// kMalformed for what has not the form of a dict, kInvalid where it has no such key. What is found
/// in a dict that changes meanwhile may be wrong: read its slot anew when all that hangs on it has
/// been read.
class Dicts {
 public:
  Dicts(ProcessMemory& memory, const Layout& layout) : memory_(memory), layout_(layout) {}

  /// By a str of ASCII.
  Result<ObjectSlot> Find(RemoteAddress dict, std::string_view key);
  /// By a small int, which is its own hash, in a dict with no key but such.
  Result<ObjectSlot> Find(RemoteAddress dict, std::uint64_t key);
  /// What an instance of a class written in Python has in its __dict__, whether there is one yet or
  /// not.
  Result<ObjectSlot> FindAttribute(RemoteAddress object, std::string_view name);

  /// Whether it is a str, or of a class made from it.
  Result<bool> IsText(RemoteAddress object);
  /// PyObject.ob_type
  Result<RemoteAddress> TypeOf(RemoteAddress object);
  /// Its number of entries.
  Result<std::uint64_t> SizeOf(RemoteAddress dict);

 private:
  struct Table {  // PyDictKeysObject, as far as it is used
    RemoteAddress entries;
    std::size_t count = 0;
    std::size_t entry_size = 0;
    [[nodiscard]] bool HasHashes() const { return entry_size == 24; }
  };
  Result<RemoteAddress> Pointer(RemoteAddress place);
  Result<Table> TableAt(RemoteAddress keys);
  Result<std::vector<std::uint64_t>> Words(const Table& table);
  Result<std::size_t> IndexOf(const Table& table, std::string_view key);
  Result<ObjectSlot> SlotIn(RemoteAddress values, std::size_t index);

  ProcessMemory& memory_;
  const Layout& layout_;
};

}  // namespace agent::python
