// SPDX-License-Identifier: Apache-2.0
#include "spies/python/objects.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace agent::python {
namespace {

// A table of 64 KiB has been seen in generated code; this bounds what a hostile target makes us
// read.
constexpr std::uint64_t kMaxBytes = 1u << 20;

void AppendUtf8(std::uint32_t character, std::string& text) {
  if (character >= 0xd800 && character <= 0xdfff) character = 0xfffd;
  if (character > 0x10ffff) character = 0xfffd;
  const auto put = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (character < 0x80) {
    put(character);
  } else if (character < 0x800) {
    put(0xc0 | character >> 6);
    put(0x80 | (character & 0x3f));
  } else if (character < 0x10000) {
    put(0xe0 | character >> 12);
    put(0x80 | (character >> 6 & 0x3f));
    put(0x80 | (character & 0x3f));
  } else {
    put(0xf0 | character >> 18);
    put(0x80 | (character >> 12 & 0x3f));
    put(0x80 | (character >> 6 & 0x3f));
    put(0x80 | (character & 0x3f));
  }
}

template <typename T>
T LoadAt(std::span<const std::byte> bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

}  // namespace

Result<std::string> ReadString(ProcessMemory& memory, const Layout& layout, RemoteAddress object,
                               std::uint64_t most) {
  std::array<std::byte, 64> header{};
  const std::size_t state_end = layout.unicode.state + sizeof(std::uint32_t);
  if (state_end > header.size() || layout.unicode.length + 8 > header.size()) {
    return Fail(Errc::kMalformed, "str layout");
  }
  AGENT_CHECK_OK(memory.Read(object, std::span(header).first(state_end)));
  const auto length = LoadAt<std::uint64_t>(header, layout.unicode.length);
  // kind:3 compact:1 ascii:1
  const std::uint32_t state =
      LoadAt<std::uint32_t>(header, layout.unicode.state) >> layout.unicode.kind_bit;
  const std::size_t width = state & 7;
  const bool compact = (state >> 3 & 1) != 0;
  const bool ascii = (state >> 4 & 1) != 0;
  if (!compact || (width != 1 && width != 2 && width != 4) || (ascii && width != 1)) {
    return Fail(Errc::kMalformed, "not a compact str");
  }
  const std::uint64_t shown = std::min(length, most);
  std::vector<std::byte> data(shown * width);
  AGENT_CHECK_OK(memory.Read(
      object.Plus(ascii ? layout.unicode.ascii_data : layout.unicode.compact_data), data));
  std::string text;
  text.reserve(data.size());
  for (std::size_t i = 0; i < shown; ++i) {
    std::uint32_t character = 0;
    std::memcpy(&character, data.data() + i * width, width);  // little-endian
    AppendUtf8(character, text);
  }
  if (shown < length) text += "…";
  return text;
}

Result<std::vector<std::byte>> ReadBytes(ProcessMemory& memory, const Layout& layout,
                                         RemoteAddress object) {
  AGENT_TRY(const auto size, memory.ReadValue<std::uint64_t>(object.Plus(layout.bytes.size)));
  if (size > kMaxBytes) return Fail(Errc::kLimit, "bytes object too long");
  std::vector<std::byte> data(size);
  AGENT_CHECK_OK(memory.Read(object.Plus(layout.bytes.data), data));
  return data;
}

}  // namespace agent::python
