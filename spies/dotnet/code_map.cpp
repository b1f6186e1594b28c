// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/code_map.h"

#include <algorithm>
#include <array>
#include <unordered_set>

namespace agent::dotnet {
namespace {

constexpr std::size_t kMaxSections = 1u << 12;
constexpr std::size_t kMaxListed = 1u << 10;
constexpr std::size_t kMaxTables = 1u << 9;   // of one level
constexpr std::size_t kMaxChunks = 1u << 16;  // of 128 KiB: what the last level tells of
constexpr std::size_t kMaxFragments = 64;     // of one chunk of addresses
constexpr std::size_t kMaxFunctions = 256;    // of one method
constexpr std::size_t kMaxFunclets = 128;
constexpr std::size_t kMaxImageFunctions = 1u << 22;  // of all images
constexpr std::size_t kMaxImages = 1u << 14;
constexpr std::uint64_t kMaxBuckets = 1u << 24;
constexpr int kMaxProbes = 16;
constexpr std::size_t kMaxCodes = 1u << 18;
constexpr std::size_t kModuleBytes = 2048;
// A nibble for each 32 bytes of code.
constexpr std::uint64_t kBytesPerNibble = 32;
constexpr std::uint64_t kNibblesPerWord = 8;
constexpr std::uint64_t kNibbleUnit = 4;
constexpr std::uint64_t kBytesPerWord = kBytesPerNibble * kNibblesPerWord;
// Of the map; a longest method of 4 MiB.
constexpr std::size_t kWordsAtOnce = 64;
constexpr std::uint64_t kMaxWords = 1u << 14;

RemoteAddress Pointer(std::uint64_t value) { return RemoteAddress(value & ~std::uint64_t{1}); }

// Where the last method begins that `word` tells of, in its nibbles up to number `last` (from 0,
// the highest bits); nothing: none begins there. `offset` bounds the value of the last one.
std::optional<std::uint64_t> LastIn(std::uint32_t word, std::uint64_t last, std::uint64_t offset) {
  for (std::uint64_t nibble = last + 1; nibble-- > 0;) {
    const std::uint32_t value = word >> (28 - 4 * nibble) & 15;
    if (value != 0 && (nibble != last || value - 1 <= offset)) {
      return nibble * kBytesPerNibble + (value - 1) * kNibbleUnit;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<RangeSection> CodeMap::SectionOf(std::uint64_t address) {
  for (const RangeSection& section : sections_) {
    if (address >= section.begin && address < section.end) return section;
  }
  RangeSection section{};
  if (layout_.code_ranges.is_list) {
    AGENT_TRY(const std::vector<RangeSection> all, SectionsInList());
    const auto holds = [&](const RangeSection& one) {
      return address >= one.begin && address < one.end;
    };
    const auto found = std::ranges::find_if(all, holds);
    if (found != all.end()) section = *found;
  } else {
    AGENT_TRY(section, SectionInMap(address));
  }
  if (address < section.begin || address >= section.end) return RangeSection{};
  const bool stays = (section.flags & RangeSection::kCollectible) == 0;
  if (stays && sections_.size() < kMaxSections) sections_.push_back(section);
  return section;
}

Result<RangeSection> CodeMap::SectionInMap(std::uint64_t address) {
  RemoteAddress table = code_ranges_;
  for (unsigned level = 1; level <= code_ranges::kLevels; ++level) {
    const unsigned shift = code_ranges::kAddressBits - level * code_ranges::kBitsPerLevel;
    const std::uint64_t index = address >> shift & ((1u << code_ranges::kBitsPerLevel) - 1);
    AGENT_TRY(const auto next, memory_.ReadValue<std::uint64_t>(table.Plus(index * 8)));
    table = Pointer(next);
    if (table.IsNull()) return RangeSection{};
  }
  for (std::size_t i = 0; i < kMaxFragments && !table.IsNull(); ++i) {
    AGENT_TRY(const auto fragment, memory_.ReadValue<RangeFragment>(table));
    if (address >= fragment.begin && address < fragment.end) {
      return memory_.ReadValue<RangeSection>(Pointer(fragment.section));
    }
    table = Pointer(fragment.next);
  }
  return RangeSection{};
}

CodeMap::Found CodeMap::Find(std::uint64_t address) {
  const auto known = codes_.upper_bound(address);
  if (known != codes_.end() && address >= known->second.begin) {
    return {.kind = Kind::kMethod, .code = &known->second};
  }
  const Result<RangeSection> section = SectionOf(address);
  if (!section) return {.kind = Kind::kUnknown};
  if (section->end == 0) return {.kind = Kind::kNone};
  if ((section->flags & RangeSection::kStubs) != 0) return {.kind = Kind::kStub};
  const Result<Found> found = (section->flags & RangeSection::kCodeHeap) != 0
                                  ? FindJitted(*section, address)
                                  : FindPrecompiled(*section, address);
  return found.value_or(Found{.kind = Kind::kUnknown});
}

// Where the code begins that `address` lies in.
Result<std::uint64_t> CodeMap::StartOf(const HeapList& heap, std::uint64_t address) {
  if (address < heap.map_base) return Fail(Errc::kMalformed, "code before its heap");
  const std::uint64_t distance = address - heap.map_base;
  std::uint64_t word = distance / kBytesPerWord;
  std::uint64_t last = distance / kBytesPerNibble % kNibblesPerWord;
  std::uint64_t offset = distance % kBytesPerNibble / kNibbleUnit;
  const std::uint64_t lowest = word - std::min(word, kMaxWords);
  std::array<std::uint32_t, kWordsAtOnce> words;  // NOLINT: read before it is used
  for (;;) {
    const std::uint64_t first = word + 1 - std::min(word + 1 - lowest, kWordsAtOnce);
    const std::size_t count = word + 1 - first;
    AGENT_CHECK_OK(memory_.Read(RemoteAddress(heap.nibble_map).Plus(first * sizeof(words[0])),
                                std::as_writable_bytes(std::span(words).first(count))));
    for (;; --word) {
      const std::uint32_t value = words[word - first];
      if (layout_.nibble_map_has_pointers && (value & 15) > 8) {
        return heap.map_base + (value & ~15u) + ((value & 15) - 9) * kNibbleUnit;
      }
      if (const auto start = LastIn(value, last, offset)) {
        return heap.map_base + word * kBytesPerWord + *start;
      }
      last = kNibblesPerWord - 1;
      offset = kBytesPerNibble;
      if (word == lowest) return Fail(Errc::kUnreadable, "no code begins before the address");
      if (word == first) break;
    }
    --word;
  }
}

Result<CodeMap::Found> CodeMap::FindJitted(const RangeSection& section, std::uint64_t address) {
  AGENT_TRY(const auto heap, memory_.ReadValue<HeapList>(RemoteAddress(section.heap_list)));
  AGENT_TRY(const std::uint64_t start, StartOf(heap, address));
  AGENT_TRY(const auto place, memory_.ReadValue<std::uint64_t>(RemoteAddress(start - 8)));
  if (place <= kLastStubKind) return Found{.kind = Kind::kStub};
  AGENT_TRY(const auto header, memory_.ReadValue<CodeHeader>(RemoteAddress(place)));
  if (header.function_count == 0 || header.function_count > kMaxFunctions) {
    return Fail(Errc::kMalformed, "number of a method's functions");
  }
  std::vector<RuntimeFunction> functions(header.function_count);
  AGENT_CHECK_OK(memory_.Read(RemoteAddress(place).Plus(kCodeHeaderFunctions),
                              std::as_writable_bytes(std::span(functions))));
  const RuntimeFunction* own = nullptr;
  for (const RuntimeFunction& one : functions) {
    const bool is_before = section.begin + one.begin <= address;
    if (is_before && (own == nullptr || one.begin > own->begin)) own = &one;
  }
  if (own == nullptr) return Fail(Errc::kMalformed, "code of no method");
  AGENT_TRY(MethodCode code, ReadCode(section, *own));
  if (address >= code.end) return Fail(Errc::kMalformed, "code of no method");
  code.method_desc = header.method_desc;
  code.start = start;
  code.debug_info = header.debug_info;
  return Keep(section, std::move(code));
}

Result<const CodeMap::Image*> CodeMap::ImageOf(const RangeSection& section) {
  AGENT_TRY(const std::uint64_t own, ReadyToRunInfoOf(RemoteAddress(section.ready_to_run_module)));
  // A component's code is the composite image's.
  AGENT_TRY(const auto info, memory_.ReadValue<std::uint64_t>(
                                 RemoteAddress(own).Plus(layout_.ready_to_run.composite)));
  if (const auto known = images_.find(info); known != images_.end()) return &known->second;
  if (images_.size() >= kMaxImages) return Fail(Errc::kLimit, "number of images");
  // One that cannot be read stays as it is: without functions.
  Image& image = images_[info];
  image.method_buckets = RemoteAddress(info).Plus(layout_.ready_to_run.method_buckets);
  AGENT_TRY(const auto header, memory_.ReadValue<std::uint64_t>(
                                   RemoteAddress(info).Plus(layout_.ready_to_run.Header())));
  AGENT_TRY(const auto functions, memory_.ReadValue<std::uint64_t>(
                                      RemoteAddress(info).Plus(layout_.ready_to_run.functions)));
  AGENT_TRY(image.functions, ReadFunctions(RemoteAddress(functions), RemoteAddress(info)));
  image_functions_ += image.functions.size();
  const LoadedImage loaded{.begin = RemoteAddress(section.begin),
                           .size = section.end - section.begin,
                           .header = RemoteAddress(header),
                           .functions = RemoteAddress(functions)};
  // Without it the image's code has no lines.
  image.debug_info = FindDebugInfo(memory_, loaded).value_or(ImageDebugInfo());
  return &image;
}

// It points back to its module, and to an image.
Result<std::uint64_t> CodeMap::ReadyToRunInfoOf(RemoteAddress module) {
  const std::uint32_t told = std::max(layout_.module.ready_to_run, found_ready_to_run_);
  if (told != 0) return memory_.ReadValue<std::uint64_t>(module.Plus(told));
  if (searches_left_-- <= 0) return Fail(Errc::kLimit, "searches for an image");
  std::array<std::uint64_t, kModuleBytes / 8> fields{};
  AGENT_TRY(const std::size_t size,
            memory_.ReadSome(module, std::as_writable_bytes(std::span(fields))));
  for (std::size_t i = 0; i < size / 8; ++i) {
    if (fields[i] == 0 || fields[i] % 8 != 0) continue;
    const RemoteAddress info(fields[i]);
    const auto owner = memory_.ReadValue<std::uint64_t>(info);
    if (!owner || *owner != module.value()) continue;
    const auto header = memory_.ReadValue<std::uint64_t>(info.Plus(layout_.ready_to_run.Header()));
    if (!header) continue;
    const auto signature = memory_.ReadValue<std::uint32_t>(RemoteAddress(*header));
    if (!signature || *signature != kImageSignature) continue;
    found_ready_to_run_ = static_cast<std::uint32_t>(i * 8);
    return info.value();
  }
  return Fail(Errc::kMalformed, "module without an image");
}

Result<std::vector<RuntimeFunction>> CodeMap::ReadFunctions(RemoteAddress place,
                                                            RemoteAddress info) {
  AGENT_TRY(const auto count,
            memory_.ReadValue<std::uint32_t>(info.Plus(layout_.ready_to_run.functions + 8)));
  if (count > kMaxImageFunctions - std::min(image_functions_, kMaxImageFunctions)) {
    return Fail(Errc::kLimit, "functions of images");
  }
  std::vector<RuntimeFunction> functions(count);
  AGENT_CHECK_OK(memory_.Read(place, std::as_writable_bytes(std::span(functions))));
  // The last one may be a mark.
  while (!functions.empty() && functions.back().begin == ~0u) functions.pop_back();
  if (!std::ranges::is_sorted(functions, {}, &RuntimeFunction::begin)) {
    return Fail(Errc::kMalformed, "functions of an image are not in order");
  }
  return functions;
}

// The MethodDesc of a method that has been prepared to run; 0: no method's code begins there.
Result<std::uint64_t> CodeMap::MethodAt(const Image& image, std::uint64_t entry_point) {
  AGENT_TRY(const auto table, memory_.ReadValue<std::uint64_t>(image.method_buckets));
  const RemoteAddress buckets(table);
  AGENT_TRY(const auto count, memory_.ReadValue<std::uint64_t>(buckets));
  if (count < 2 || count > kMaxBuckets) return Fail(Errc::kMalformed, "size of a hash table");
  const auto size = static_cast<std::uint32_t>(count);
  auto seed = static_cast<std::uint32_t>(entry_point >> 2);
  const std::uint32_t step = 1 + (static_cast<std::uint32_t>(entry_point >> 5) + 1) % (size - 1);
  for (int probe = 0; probe < kMaxProbes; ++probe) {
    AGENT_TRY(const auto bucket,
              memory_.ReadValue<HashBucket>(buckets.Plus((seed % size + 1) * sizeof(HashBucket))));
    for (std::size_t i = 0; i < std::size(bucket.keys); ++i) {
      if (bucket.keys[i] == entry_point) return (bucket.values[i] & HashBucket::kValueMask) << 1;
    }
    if ((bucket.values[0] & ~HashBucket::kValueMask) == 0) break;
    seed += step;
  }
  return std::uint64_t{0};
}

Result<CodeMap::Found> CodeMap::FindPrecompiled(const RangeSection& section,
                                                std::uint64_t address) {
  AGENT_TRY(const Image* const image, ImageOf(section));
  const auto after = std::ranges::upper_bound(image->functions, address - section.begin, {},
                                              &RuntimeFunction::begin);
  // Stubs of the image's own lie behind its functions.
  if (after == image->functions.begin()) return Found{.kind = Kind::kStub};
  auto function = std::prev(after);
  AGENT_TRY(MethodCode code, ReadCode(section, *function));
  if (address >= code.end) return Found{.kind = Kind::kStub};
  const auto own = function;
  const auto keep = [&](auto first, std::uint64_t method) {
    code.method_desc = method;
    code.start = section.begin + first->begin;
    code.image = &image->debug_info;
    code.function = static_cast<std::uint32_t>(first - image->functions.begin());
    return Keep(section, std::move(code));
  };
  for (std::size_t i = 0; i < kMaxFunclets; ++i) {
    AGENT_TRY(const std::uint64_t method, MethodAt(*image, section.begin + function->begin));
    if (method != 0 && i > 0) {
      // While the hash table grows, a method may look like a funclet of the one before.
      AGENT_TRY(const std::uint64_t itself, MethodAt(*image, code.begin));
      if (itself != 0) return keep(own, itself);
    }
    if (method != 0) return keep(function, method);
    if (function == image->functions.begin()) break;
    --function;  // a funclet stands behind its method
  }
  return Found{.kind = Kind::kUnknown};
}

// What its entry and its unwind information tell of a function.
Result<MethodCode> CodeMap::ReadCode(const RangeSection& section, const RuntimeFunction& function) {
  // Elsewhere than at a whole word would be another form of it, which nobody writes.
  if (function.unwind_info % sizeof(std::uint32_t) != 0) {
    return Fail(Errc::kUnsupported, "form of unwind information");
  }
  const RemoteAddress place = RemoteAddress(section.begin).Plus(function.unwind_info);
  std::array<std::byte, UnwindInfo::kHeadSize> head;  // NOLINT: read before it is used
  AGENT_CHECK_OK(memory_.Read(place, head));
  AGENT_TRY(const std::size_t size, UnwindInfo::SizeOf(head));
  std::vector<std::byte> bytes(size);
  AGENT_CHECK_OK(memory_.Read(place, bytes));
  MethodCode code{.unwind = {}};
  AGENT_TRY(code.unwind, UnwindInfo::Parse(bytes));
  const std::uint64_t end = std::uint64_t{function.begin} + code.unwind.CodeSize(function);
  if (end == function.begin || end > section.end - section.begin) {
    return Fail(Errc::kMalformed, "code outside of its section");
  }
  code.begin = section.begin + function.begin;
  code.end = section.begin + end;
  return code;
}

Result<CodeMap::Found> CodeMap::Keep(const RangeSection& section, MethodCode code) {
  AGENT_TRY(const auto head_of_method,
            memory_.ReadValue<MethodDescHead>(RemoteAddress(code.method_desc)));
  const bool is_dynamic =
      (head_of_method.flags & MethodDescHead::kClassMask) == MethodDescHead::kDynamic;
  // Other code may lie there later.
  if (is_dynamic || (section.flags & RangeSection::kCollectible) != 0 ||
      codes_.size() >= kMaxCodes) {
    passing_ = std::move(code);
    return Found{.kind = Kind::kMethod, .code = &passing_, .stays = false};
  }
  const auto kept = codes_.insert_or_assign(code.end, std::move(code)).first;
  return Found{.kind = Kind::kMethod, .code = &kept->second};
}

Result<std::vector<RangeSection>> CodeMap::AllSections() {
  return layout_.code_ranges.is_list ? SectionsInList() : SectionsInMap();
}

Result<std::vector<RangeSection>> CodeMap::SectionsInList() {
  std::vector<RangeSection> sections;
  AGENT_TRY(auto place, memory_.ReadValue<std::uint64_t>(code_ranges_));
  while (place != 0) {
    if (sections.size() >= kMaxListed) return Fail(Errc::kLimit, "code ranges");
    AGENT_TRY(const auto listed, memory_.ReadValue<ListedSection>(RemoteAddress(place)));
    sections.push_back({.begin = listed.begin,
                        .end = listed.end,
                        .flags = listed.flags & ~RangeSection::kStubs,
                        .unused = 0,
                        .jit_manager = listed.jit_manager,
                        .ready_to_run_module = listed.heap_list_or_module,
                        .heap_list = listed.heap_list_or_module});
    place = listed.next;
  }
  return sections;
}

// Every section once, by walking through the whole of the map.
Result<std::vector<RangeSection>> CodeMap::SectionsInMap() {
  constexpr std::size_t kFanOut = std::size_t{1} << code_ranges::kBitsPerLevel;
  std::vector<RemoteAddress> tables = {code_ranges_};
  for (unsigned level = 1; level <= code_ranges::kLevels; ++level) {
    std::vector<RemoteAddress> below;
    for (const RemoteAddress table : tables) {
      std::array<std::uint64_t, kFanOut> entries;  // NOLINT: read before it is used
      AGENT_CHECK_OK(memory_.Read(table, std::as_writable_bytes(std::span(entries))));
      for (const std::uint64_t entry : entries) {
        const RemoteAddress next = Pointer(entry);
        if (!next.IsNull() && (below.empty() || below.back() != next)) below.push_back(next);
      }
      const std::size_t most = level < code_ranges::kLevels ? kMaxTables : kMaxChunks;
      if (below.size() > most) return Fail(Errc::kLimit, "code ranges");
    }
    tables = std::move(below);
  }
  std::unordered_set<std::uint64_t> seen;
  std::size_t fragments = 0;
  std::vector<RangeSection> sections;
  for (RemoteAddress fragment_place : tables) {
    for (std::size_t i = 0; i < kMaxFragments && !fragment_place.IsNull(); ++i) {
      if (++fragments > kMaxChunks) return Fail(Errc::kLimit, "code ranges");
      AGENT_TRY(const auto fragment, memory_.ReadValue<RangeFragment>(fragment_place));
      fragment_place = Pointer(fragment.next);
      const RemoteAddress place = Pointer(fragment.section);
      if (seen.size() > kMaxSections) return Fail(Errc::kLimit, "code ranges");
      if (!seen.insert(place.value()).second) continue;
      AGENT_TRY(const auto section, memory_.ReadValue<RangeSection>(place));
      sections.push_back(section);
    }
  }
  return sections;
}

}  // namespace agent::dotnet
