// SPDX-License-Identifier: Apache-2.0
// CodeMap's methods for a look at whether the layout is right.
#include <algorithm>

#include "spies/dotnet/code_map.h"

namespace agent::dotnet {
namespace {

constexpr std::size_t kMethodsAtOnce = 32;  // of one heap or image
constexpr std::size_t kMaxLooks = 1024;     // for methods, stubs included
constexpr std::uint64_t kMaxBuckets = 64;

}  // namespace

Result<std::vector<std::uint64_t>> CodeMap::SomeMethods(std::size_t count) {
  AGENT_TRY(const std::vector<RangeSection> sections, AllSections());
  std::vector<std::uint64_t> methods;
  for (const RangeSection& section : sections) {
    if ((section.flags & (RangeSection::kCodeHeap | RangeSection::kCollectible)) !=
        RangeSection::kCodeHeap) {
      continue;
    }
    AGENT_TRY(const auto heap, memory_.ReadValue<HeapList>(RemoteAddress(section.heap_list)));
    std::uint64_t before = std::min(heap.end, section.end);
    const std::size_t most = std::min(count, methods.size() + kMethodsAtOnce);
    for (std::size_t i = 0; i < kMaxLooks && methods.size() < most; ++i) {
      if (before <= heap.start + sizeof(std::uint64_t)) break;
      const Result<std::uint64_t> start = StartOf(heap, before - 1);
      if (!start || *start <= heap.start || *start >= before) break;
      before = *start;
      AGENT_TRY(const auto header, memory_.ReadValue<std::uint64_t>(RemoteAddress(*start - 8)));
      if (header <= kLastStubKind) continue;
      AGENT_TRY(const auto code, memory_.ReadValue<CodeHeader>(RemoteAddress(header)));
      methods.push_back(code.method_desc);
    }
  }
  return methods;
}

Result<std::vector<std::uint64_t>> CodeMap::SomePrecompiledMethods(std::size_t count) {
  AGENT_TRY(const std::vector<RangeSection> sections, AllSections());
  std::vector<std::uint64_t> methods;
  for (const RangeSection& section : sections) {
    if (methods.size() >= count) break;
    if ((section.flags & (RangeSection::kCodeHeap | RangeSection::kStubs)) != 0) continue;
    const std::size_t most = std::min(count, methods.size() + kMethodsAtOnce);
    if (!AddMethods(section, most, methods)) methods.push_back(0);
  }
  return methods;
}

Result<void> CodeMap::AddMethods(const RangeSection& section, std::size_t most,
                                 std::vector<std::uint64_t>& methods) {
  AGENT_TRY(const Image* const image, ImageOf(section));
  AGENT_TRY(const auto table, memory_.ReadValue<std::uint64_t>(image->method_buckets));
  AGENT_TRY(const auto buckets, memory_.ReadValue<std::uint64_t>(RemoteAddress(table)));
  for (std::uint64_t i = 1; i <= std::min(buckets, kMaxBuckets) && methods.size() < most; ++i) {
    AGENT_TRY(const auto bucket,
              memory_.ReadValue<HashBucket>(RemoteAddress(table).Plus(i * sizeof(HashBucket))));
    for (std::size_t j = 0; j < std::size(bucket.keys); ++j) {
      if (bucket.keys[j] <= 1) continue;  // none, or none any more
      if (bucket.keys[j] < section.begin || bucket.keys[j] >= section.end) {
        return Fail(Errc::kMalformed, "method outside of its image");
      }
      methods.push_back((bucket.values[j] & HashBucket::kValueMask) << 1);
    }
  }
  return {};
}

}  // namespace agent::dotnet
