// SPDX-License-Identifier: Apache-2.0
// Which compiled code an address belongs to, by the runtime's own structures.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/dotnet/image_debug_info.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/unwind_info.h"

namespace agent::dotnet {

/// A method's compiled code, or one of its funclets (catch and finally blocks).
struct MethodCode {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t method_desc = 0;
  std::uint64_t start = 0;  ///< Where the method's code begins, funclets included.
  /// Of what the JIT compiled: what IlMap reads. 0: not known.
  std::uint64_t debug_info = 0;
  /// Of an image's code: its debug info, which stays, and the method's number in it. Else null.
  const ImageDebugInfo* image = nullptr;
  std::uint32_t function = 0;
  UnwindInfo unwind;
};

/// The code of one process. Sampling thread only.
class CodeMap {
 public:
  /// `code_ranges`: the RangeSectionMap; where the first of a list is told.
  CodeMap(ProcessMemory& memory, const Layout& layout, RemoteAddress code_ranges)
      : memory_(memory), layout_(layout), code_ranges_(code_ranges) {}

  enum class Kind : std::uint8_t {
    kMethod,
    kStub,     ///< Of the runtime's making: a few instructions on the way to a method.
    kNone,     ///< The runtime does not count the address as its own.
    kUnknown,  ///< It does, but which method it is could not be read.
  };
  struct Found {
    Kind kind = Kind::kNone;
    const MethodCode* code = nullptr;  ///< Of a method. Valid until the next Find.
    bool stays = true;                 ///< The code will not be freed.
  };
  Found Find(std::uint64_t address);

  /// For a look at whether the layout is right: MethodDescs of the last methods that the JIT has
  /// compiled into each of the heaps, at most `count`; empty before there is any.
  Result<std::vector<std::uint64_t>> SomeMethods(std::size_t count);
  /// The same of methods in ReadyToRun images; 0 for an image that cannot be read.
  Result<std::vector<std::uint64_t>> SomePrecompiledMethods(std::size_t count);

 private:
  // What a ReadyToRun image was asked for.
  struct Image {
    std::vector<RuntimeFunction> functions;
    RemoteAddress method_buckets;  // where the pointer to the hash table is: it grows
    ImageDebugInfo debug_info;
  };

  Result<RangeSection> SectionOf(std::uint64_t address);
  Result<RangeSection> SectionInMap(std::uint64_t address);
  Result<std::vector<RangeSection>> AllSections();
  Result<std::vector<RangeSection>> SectionsInMap();
  Result<std::vector<RangeSection>> SectionsInList();
  Result<std::uint64_t> StartOf(const HeapList& heap, std::uint64_t address);
  Result<Found> FindJitted(const RangeSection& section, std::uint64_t address);
  Result<Found> FindPrecompiled(const RangeSection& section, std::uint64_t address);
  Result<const Image*> ImageOf(const RangeSection& section);
  Result<std::uint64_t> ReadyToRunInfoOf(RemoteAddress module);
  Result<void> AddMethods(const RangeSection& section, std::size_t most,
                          std::vector<std::uint64_t>& methods);
  Result<std::vector<RuntimeFunction>> ReadFunctions(RemoteAddress place, RemoteAddress info);
  Result<std::uint64_t> MethodAt(const Image& image, std::uint64_t entry_point);
  Result<MethodCode> ReadCode(const RangeSection& section, const RuntimeFunction& function);
  Result<Found> Keep(const RangeSection& section, MethodCode code);

  ProcessMemory& memory_;
  const Layout& layout_;
  RemoteAddress code_ranges_;
  std::vector<RangeSection> sections_;               // that stay
  std::map<std::uint64_t, MethodCode> codes_;        // by end; those that stay
  MethodCode passing_;                               // the last one that may go
  std::unordered_map<std::uint64_t, Image> images_;  // by ReadyToRunInfo
  std::size_t image_functions_ = 0;                  // of all of them
  std::uint32_t found_ready_to_run_ = 0;             // where the layout does not tell
  int searches_left_ = 16;
};

}  // namespace agent::dotnet
