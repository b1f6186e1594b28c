// SPDX-License-Identifier: Apache-2.0
// CoreCLR's map of its code for unit tests: one section of it, with methods as a test puts them.
#pragma once

#include <cstdint>

#include "spies/dotnet/layout.h"
#include "spies/dotnet/unwind_info.h"
#include "tests/support/fake_memory.h"

namespace agent::testing {

class DotnetCode {
 public:
  static constexpr std::uint64_t kRanges = 0x10'0000;        // the RangeSectionMap
  static constexpr std::uint64_t kBegin = 0x7f12'3456'0000;  // not at a chunk's start
  static constexpr std::uint64_t kEnd = kBegin + 0x8000;
  static constexpr std::uint64_t kNibbles = 0x40'0000;

  explicit DotnetCode(FakeMemory& memory) : memory_(memory) {
    PutSection(dotnet::RangeSection::kCodeHeap);
    memory_.Put(kHeap, dotnet::HeapList{.next = 0,
                                        .unused = 0,
                                        .start = kBegin,
                                        .end = kEnd,
                                        .map_base = kBegin,
                                        .nibble_map = kNibbles});
    for (std::uint64_t i = 0; i < 0x200; ++i) memory_.Put(kNibbles + i * 4, std::uint32_t{0});
  }

  void PutSection(std::uint32_t flags, std::uint64_t module = 0) {
    memory_.Put(kSection, dotnet::RangeSection{.begin = kBegin,
                                               .end = kEnd,
                                               .flags = flags,
                                               .unused = 0,
                                               .jit_manager = 0,
                                               .ready_to_run_module = module,
                                               .heap_list = kHeap});
    std::uint64_t table = kRanges;
    for (unsigned level = 1; level <= 5; ++level) {
      for (std::uint64_t i = 0; i < 256; ++i) memory_.Put(table + i * 8, std::uint64_t{0});
      const std::uint64_t entry = table + (kBegin >> (57 - 8 * level) & 255) * 8;
      table = level < 5 ? (next_table_ += 0x1000) : 0x2f'0000;
      memory_.Put(entry, table | 1);  // the lowest bit is no part of the address
    }
    memory_.Put(
        table, dotnet::RangeFragment{.next = 0, .begin = kBegin, .end = kEnd, .section = kSection});
  }

  /// Of a function between two offsets of the code. Its first instruction (a byte, on x64) saves
  /// the frame pointer and, where the call has not, the return address behind it.
  dotnet::RuntimeFunction Entry(std::uint32_t begin, std::uint32_t end) {
    const std::uint32_t unwind = next_unwind_;
    next_unwind_ += 8;
#if defined(__x86_64__)
    memory_.Put(kBegin + unwind, std::uint32_t{0x00010101});
    memory_.Put(kBegin + unwind + 4, std::uint32_t{0x5001});
    return {.begin = begin, .end = end, .unwind_info = unwind};
#elif defined(__aarch64__)
    memory_.Put(kBegin + unwind, (end - begin) / 4 | 1u << 27);
    memory_.Put(kBegin + unwind + 4, std::uint32_t{0xe4e4e481});
    return {.begin = begin, .unwind_info = unwind};
#endif
  }

  /// Where PutMethod puts the CodeHeader of the method whose code begins at the offset.
  static std::uint64_t HeaderOf(std::uint64_t offset) { return 0x60'0000 + offset * 16; }

  /// The code begins at kBegin + offset, in the nibble map too.
  void PutMethod(std::uint64_t offset, std::uint32_t size, std::uint64_t method_desc) {
    const std::uint64_t header = HeaderOf(offset);
    memory_.Put(kBegin + offset - 8, header);
    memory_.Put(header, dotnet::CodeHeader{.debug_info = 0,
                                           .eh_info = 0,
                                           .gc_info = 0,
                                           .method_desc = method_desc,
                                           .function_count = 1});
    const auto begin = static_cast<std::uint32_t>(offset);
    memory_.Put(header + dotnet::kCodeHeaderFunctions, Entry(begin, begin + size));
    memory_.Put(method_desc, dotnet::MethodDescHead{});
    const std::uint64_t place = kNibbles + offset / 256 * 4;
    const auto old = memory_.ReadValue<std::uint32_t>(RemoteAddress(place));
    const auto value = static_cast<std::uint32_t>(offset % 32 / 4 + 1);
    memory_.Put(place, *old | value << (28 - 4 * (offset / 32 % 8)));
  }

  void PutPointer(std::uint64_t word, std::uint64_t start) {
    memory_.Put(kNibbles + word * 4,
                static_cast<std::uint32_t>((start & ~15u) + (start & 15) / 4 + 9));
  }

 private:
  static constexpr std::uint64_t kSection = 0x30'0000;
  static constexpr std::uint64_t kHeap = 0x31'0000;

  FakeMemory& memory_;
  std::uint64_t next_table_ = 0x20'0000;
  std::uint32_t next_unwind_ = 0x7000;
};

}  // namespace agent::testing
