// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/image_debug_info.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

#include "spies/dotnet/il_map.h"

namespace agent::dotnet {
namespace {

constexpr std::uint16_t kFirstMajor = 6;
constexpr std::uint16_t kFirstPackedMajor = 16;
constexpr std::uint16_t kLastMajor = 16;
constexpr std::uint32_t kRuntimeFunctions = 102;
constexpr std::uint32_t kDebugInfo = 105;
constexpr std::uint32_t kMaxSections = 64;  // 24 kinds are known

// READYTORUN_HEADER
struct Header {
  std::uint32_t signature;
  std::uint16_t major;
  std::uint16_t minor;
  std::uint32_t flags;
  std::uint32_t section_count;
};

// READYTORUN_SECTION
struct Section {
  std::uint32_t type;
  std::uint32_t address;  // from the image's begin
  std::uint32_t size;
};

// NativeArray (vm/nativeformatreader.h): a tree for each 16 elements.
constexpr std::uint32_t kBlock = 16;
constexpr std::uint32_t kHasLeft = 1;
constexpr std::uint32_t kHasRight = 2;

struct Number {
  std::uint32_t value = 0;
  std::uint64_t end = 0;  // what follows it
};

Result<void> ReadAt(ProcessMemory& memory, const ImageDebugInfo& info, std::uint64_t at,
                    std::span<std::byte> bytes) {
  if (at > info.size || bytes.size() > info.size - at) {
    return Fail(Errc::kMalformed, "an image's debug info is cut off");
  }
  return memory.Read(info.begin.Plus(at), bytes);
}

// The lowest bits say by ones how many bytes follow the first; with four the value is in these
// only.
Result<Number> ReadNumber(ProcessMemory& memory, const ImageDebugInfo& info, std::uint64_t at) {
  std::array<std::byte, sizeof(std::uint64_t)> bytes{};
  const std::uint64_t left = info.size - std::min<std::uint64_t>(at, info.size);
  const auto size = static_cast<std::size_t>(std::clamp<std::uint64_t>(left, 1, 5));
  AGENT_CHECK_OK(ReadAt(memory, info, at, std::span(bytes).first(size)));
  const auto more = static_cast<unsigned>(std::countr_one(std::to_integer<std::uint8_t>(bytes[0])));
  if (more > 4 || more >= size) return Fail(Errc::kMalformed, "a number of an image's debug info");
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data(), sizeof(word));
  word &= (std::uint64_t{1} << (8 * (more + 1))) - 1;
  return Number{.value = static_cast<std::uint32_t>(word >> (more == 4 ? 8 : more + 1)),
                .end = at + more + 1};
}

// Where the element begins.
Result<std::uint64_t> PlaceOf(ProcessMemory& memory, const ImageDebugInfo& info,
                              std::uint32_t index) {
  AGENT_TRY(const Number head, ReadNumber(memory, info, 0));
  if (index >= head.value >> 2) return Fail(Errc::kUnsupported, "no debug info of a method");
  const std::size_t width = std::size_t{1} << std::min(head.value & 3, 2u);
  std::uint32_t start = 0;
  AGENT_CHECK_OK(ReadAt(memory, info, head.end + std::uint64_t{index / kBlock} * width,
                        BytesOf(start).first(width)));
  std::uint64_t place = head.end + start;
  for (std::uint32_t bit = kBlock / 2; bit > 0; bit /= 2) {
    AGENT_TRY(const Number node, ReadNumber(memory, info, place));
    if ((index & bit) != 0 && (node.value & kHasRight) != 0) {
      place += node.value >> 2;
      continue;
    }
    if ((index & bit) == 0 && (node.value & kHasLeft) != 0) {
      place = node.end;
      continue;
    }
    // A tree of one element: its number in the block.
    if (node.value != (index % kBlock) << 2) {
      return Fail(Errc::kUnsupported, "no debug info of a method");
    }
    return node.end;
  }
  return place;
}

}  // namespace

Result<ImageDebugInfo> FindDebugInfo(ProcessMemory& memory, const LoadedImage& image) {
  AGENT_TRY(const auto header, memory.ReadValue<Header>(image.header));
  if (header.signature != kImageSignature) return Fail(Errc::kMalformed, "no ReadyToRun header");
  if (header.major < kFirstMajor || header.major > kLastMajor) {
    return Fail(Errc::kUnsupported, "version of an image");
  }
  if (header.section_count > kMaxSections) return Fail(Errc::kMalformed, "sections of an image");
  std::vector<Section> sections(header.section_count);
  AGENT_CHECK_OK(
      memory.Read(image.header.Plus(sizeof(Header)), std::as_writable_bytes(std::span(sections))));
  const auto functions = std::ranges::find(sections, kRuntimeFunctions, &Section::type);
  if (functions == sections.end() || image.begin.Plus(functions->address) != image.functions) {
    return Fail(Errc::kMalformed, "the header of another image");
  }
  const auto info = std::ranges::find(sections, kDebugInfo, &Section::type);
  if (info == sections.end()) return ImageDebugInfo();
  if (info->address > image.size || info->size > image.size - info->address) {
    return Fail(Errc::kMalformed, "debug info outside of its image");
  }
  return ImageDebugInfo{.begin = image.begin.Plus(info->address),
                        .size = info->size,
                        .packed_bounds = header.major >= kFirstPackedMajor};
}

Result<std::vector<std::byte>> ReadDebugInfo(ProcessMemory& memory, const ImageDebugInfo& info,
                                             std::uint32_t function) {
  AGENT_TRY(const std::uint64_t place, PlaceOf(memory, info, function));
  // Equal ones are written once: the others say how far before them that is.
  AGENT_TRY(const Number back, ReadNumber(memory, info, place));
  if (back.value > place) return Fail(Errc::kMalformed, "an image's debug info");
  const std::uint64_t begin = back.value == 0 ? back.end : place - back.value;
  std::vector<std::byte> bytes(std::min<std::uint64_t>(info.size - begin, IlMap::kMaxBytes));
  AGENT_CHECK_OK(ReadAt(memory, info, begin, bytes));
  return bytes;
}

}  // namespace agent::dotnet
