// SPDX-License-Identifier: Apache-2.0
// Where CoreCLR's structures hold their fields, by major version.
#pragma once

#include <cstdint>

namespace agent::dotnet {

/// Byte offsets into CoreCLR's structures on a 64-bit machine.
struct Layout {
  struct CodeRanges {
    bool is_list;         ///< Of ListedSections (.NET 6 and 7), else a map.
    bool has_offset;      ///< In the DAC table, from where the runtime is loaded; else a pointer.
    std::uint64_t place;  ///< As the runtime tells; 0: by the DAC table.
    friend bool operator==(const CodeRanges&, const CodeRanges&) = default;
  } code_ranges;
  /// One dword of the nibble map may point to the code's start instead (.NET 10).
  bool nibble_map_has_pointers;
  struct MethodDesc {
    std::uint32_t size;  ///< What a MethodDesc's kinds add their own fields to.
    std::uint32_t remainder_bits;
    friend bool operator==(const MethodDesc&, const MethodDesc&) = default;
  } method_desc;
  struct MethodTable {
    bool has_type_id_in_flags2;  ///< Else a u16 at 10, 0xffff: it does not fit.
    bool has_loader_module;      ///< Where later ones have its module; generics may have both.
    friend bool operator==(const MethodTable&, const MethodTable&) = default;
  } method_table;
  std::uint32_t type_desc_argument;  ///< 0: not known.
  struct Module {
    std::uint32_t simple_name;   ///< char*, into the metadata's #Strings
    std::uint32_t ready_to_run;  ///< 0: to be searched for.
    friend bool operator==(const Module&, const Module&) = default;
  } module;
  struct ReadyToRun {  // ReadyToRunInfo
    std::uint32_t composite;
    std::uint32_t functions;  ///< Behind them how many there are.
    std::uint32_t method_buckets;
    /// READYTORUN_HEADER*: three pointers before.
    [[nodiscard]] std::uint32_t Header() const { return composite - 24; }
    friend bool operator==(const ReadyToRun&, const ReadyToRun&) = default;
  } ready_to_run;
  struct Collector {                      // 0: not told.
    std::uint64_t suspending_thread = 0;  ///< The address of a Thread*: who has stopped the others.
    std::uint32_t slot = 0;   ///< Of the DAC table, with that address; 0: it is told otherwise.
    std::uint32_t os_id = 0;  ///< In Thread: its tid.
    friend bool operator==(const Collector&, const Collector&) = default;
  } collector;
  struct DebugInfo {                      // How IlMap reads it; all 0: it is not read.
    std::uint32_t patchpoint_size = 0;    ///< PatchpointInfo, without its locals.
    std::uint32_t patchpoint_locals = 0;  ///< In it: how many there are.
    bool packed_bounds = false;           ///< Bits, not nibbles.
    friend bool operator==(const DebugInfo&, const DebugInfo&) = default;
  } debug_info;
  friend bool operator==(const Layout&, const Layout&) = default;
};

inline constexpr unsigned kNewestMajor = 10;
/// Nothing for versions whose structures are not known.
[[nodiscard]] const Layout* LayoutOf(unsigned major);

// The same in .NET 6 to 10: vm/codeman.h, vm/hash.h, vm/method.hpp and vm/methodtable.h, measured
// in 8.0.0, 8.0.31, 9.0.5, 9.0.20, 10.0.11 and 10.0.12.
namespace code_ranges {
inline constexpr unsigned kLevels = 5;
inline constexpr unsigned kBitsPerLevel = 8;
inline constexpr unsigned kAddressBits = 57;
}  // namespace code_ranges

/// RangeSectionFragment
struct RangeFragment {
  std::uint64_t next;
  std::uint64_t begin;
  std::uint64_t end;
  std::uint64_t section;
};

/// RangeSection, its beginning
struct RangeSection {
  static constexpr std::uint32_t kCollectible = 1;
  static constexpr std::uint32_t kCodeHeap = 2;
  static constexpr std::uint32_t kStubs = 4;
  std::uint64_t begin;
  std::uint64_t end;
  std::uint32_t flags;
  std::uint32_t unused;
  std::uint64_t jit_manager;
  std::uint64_t ready_to_run_module;
  std::uint64_t heap_list;
};

/// RangeSection of .NET 6 and 7, its beginning
struct ListedSection {
  std::uint64_t begin;
  std::uint64_t end;
  std::uint64_t jit_manager;
  std::uint64_t next;
  std::uint64_t last_used;
  std::uint32_t flags;  ///< RangeSection's, but kStubs means an image.
  std::uint32_t unused;
  std::uint64_t heap_list_or_module;
};

/// HeapList, its beginning
struct HeapList {
  std::uint64_t next;
  std::uint64_t unused;
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t map_base;
  std::uint64_t nibble_map;
};

/// RealCodeHeader, with its first RUNTIME_FUNCTION behind it.
struct CodeHeader {
  std::uint64_t debug_info;
  std::uint64_t eh_info;
  std::uint64_t gc_info;
  std::uint64_t method_desc;
  std::uint32_t function_count;
};
inline constexpr std::uint32_t kCodeHeaderFunctions = 36;
/// Smaller "pointers" to a CodeHeader are kinds of stubs.
inline constexpr std::uint64_t kLastStubKind = 0xf;

/// A bucket of HashMap; the first one's first key is how many there are.
struct HashBucket {
  static constexpr std::uint64_t kValueMask = ~std::uint64_t{0} >> 1;
  std::uint64_t keys[4];
  /// Halved pointers. The first one's highest bit: another bucket may hold the key.
  std::uint64_t values[4];
};

/// MethodDesc
struct MethodDescHead {
  static constexpr unsigned kClassMask = 7;
  static constexpr unsigned kInstantiated = 5;
  static constexpr unsigned kDynamic = 7;
  static constexpr std::uint64_t kUnit = 8;  ///< of chunk_index
  std::uint16_t token;                       ///< the lower bits
  std::uint8_t chunk_index;
  std::uint8_t unused;
  std::uint16_t slot;
  std::uint16_t flags;
};

/// MethodDescChunk
struct MethodDescChunk {
  std::uint64_t method_table;
  std::uint64_t next;
  std::uint8_t size;
  std::uint8_t count;
  std::uint16_t token_range;  ///< and a flag in the upper bits
};
inline constexpr std::uint64_t kMethodDescChunkSize = 24;

/// What kinds of a MethodDesc have behind it.
namespace after_method_desc {
inline constexpr std::uint32_t kArguments = 8;  // InstantiatedMethodDesc
inline constexpr std::uint32_t kArgumentCount = 18;
inline constexpr std::uint32_t kDynamicName = 16;  // DynamicMethodDesc
}  // namespace after_method_desc

/// MethodTable
struct MethodTable {
  std::uint32_t flags;
  std::uint32_t base_size;
  std::uint32_t flags2;
  std::uint16_t virtual_count;
  std::uint16_t interface_count;
  std::uint64_t parent;
  std::uint64_t module;
  std::uint64_t auxiliary;
  std::uint64_t canonical;
  /// Of generics; of arrays their element's type.
  std::uint64_t per_instance;
};

}  // namespace agent::dotnet
