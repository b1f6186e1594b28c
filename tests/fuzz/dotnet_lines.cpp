// SPDX-License-Identifier: Apache-2.0
// Source lines of .NET: the first byte says what the rest is.
#include <algorithm>
#include <cstring>
#include <vector>

#include "spies/dotnet/il_map.h"
#include "spies/dotnet/image_debug_info.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/pdb_link.h"
#include "spies/dotnet/portable_pdb.h"
#include "tests/fuzz/target.h"

using namespace agent;

namespace {

// A process whose memory is the bytes, from 0 on.
class BytesMemory final : public ProcessMemory {
 public:
  explicit BytesMemory(fuzz::Input bytes) : bytes_(bytes) {}
  Result<void> ReadRanges(std::span<const ReadRange> ranges) override {
    for (const ReadRange& range : ranges) {
      const auto size = ReadSome(range.address, range.destination);
      if (!size || *size != range.destination.size()) return Fail(Errc::kUnreadable, "no memory");
    }
    return {};
  }
  Result<std::size_t> ReadSome(RemoteAddress address, std::span<std::byte> destination) override {
    if (address.value() >= bytes_.size()) return Fail(Errc::kUnreadable, "no memory");
    const auto from = bytes_.subspan(address.value());
    const std::size_t size = std::min(from.size(), destination.size());
    if (size > 0) std::memcpy(destination.data(), from.data(), size);
    return size;
  }

 private:
  fuzz::Input bytes_;
};

void Ask(const Result<dotnet::IlMap>& map) {
  for (std::uint64_t offset = 0; map && offset < 4096; ++offset) (void)map->At(offset);
}

void Ask(const Result<dotnet::PortablePdb>& pdb) {
  for (std::uint32_t rid = 0; pdb && rid < 64; ++rid) {
    if (const auto lines = pdb->LinesOf(rid)) (void)lines->At(rid);
  }
}

// A ReadyToRun header at 0; the first function where the first of its sections says.
void AskImage(fuzz::Input input) {
  BytesMemory memory(input);
  std::uint32_t functions = 0;
  if (input.size() >= 24) std::memcpy(&functions, input.data() + 20, sizeof(functions));
  const auto info = dotnet::FindDebugInfo(memory, {.begin = RemoteAddress(0),
                                                   .size = input.size(),
                                                   .header = RemoteAddress(0),
                                                   .functions = RemoteAddress(functions)});
  for (std::uint32_t function = 0; info && function < 64; ++function) {
    const auto bytes = dotnet::ReadDebugInfo(memory, *info, function);
    if (bytes) Ask(dotnet::IlMap::DecodePrecompiled(*bytes, info->packed_bounds));
  }
}

// A module's file, and behind it where its metadata is.
void AskModule(fuzz::Input input) {
  std::uint32_t metadata = 0;
  if (input.size() < sizeof(metadata)) return;
  std::memcpy(&metadata, input.data() + input.size() - sizeof(metadata), sizeof(metadata));
  BytesMemory memory(input);
  const Mapping mapping{.start = RemoteAddress(0), .end = RemoteAddress(input.size()), .path = {}};
  (void)dotnet::ReadPdbLink(memory, mapping, RemoteAddress(metadata));
}

}  // namespace

AGENT_FUZZ_TARGET(dotnet_lines) {
  if (input.empty()) return;
  const auto rest = input.subspan(1);
  switch (const auto kind = std::to_integer<unsigned>(input.front()) % 8) {
    case 3:
      return Ask(dotnet::PortablePdb::Parse({rest.begin(), rest.end()}));
    case 4:
      return Ask(dotnet::PortablePdb::ParseEmbedded(rest));
    case 5:
      return AskImage(rest);
    case 6:
      return AskModule(rest);
    case 7:
      Ask(dotnet::IlMap::DecodePrecompiled(rest, false));
      return Ask(dotnet::IlMap::DecodePrecompiled(rest, true));
    default:
      return Ask(dotnet::IlMap::Decode(rest, dotnet::LayoutOf(8 + kind)->debug_info));
  }
}
