// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/mini_debug_info.h"

#include <lzma.h>

#include <algorithm>
#include <utility>

namespace agent {
namespace {

constexpr std::size_t kMaxSize = 128u << 20;
constexpr std::uint64_t kMaxDecoderMemory = 80u << 20;  // xz -9 needs 65 MiB
constexpr std::size_t kFirstSize = 256u << 10;

struct Decoder {
  lzma_stream stream = LZMA_STREAM_INIT;
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { ::lzma_end(&stream); }
};

}  // namespace

std::optional<std::vector<std::byte>> DecompressXz(std::span<const std::byte> bytes,
                                                   std::size_t max_size) {
  Decoder decoder;
  lzma_stream& stream = decoder.stream;
  if (::lzma_stream_decoder(&stream, kMaxDecoderMemory, 0) != LZMA_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
  stream.avail_in = bytes.size();
  std::vector<std::byte> out;
  lzma_ret status = LZMA_OK;
  while (status == LZMA_OK) {
    const std::size_t done = out.size();
    if (done >= max_size) return std::nullopt;
    out.resize(std::min(max_size, std::max(kFirstSize, done * 2)));
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data()) + done;
    stream.avail_out = out.size() - done;
    status = ::lzma_code(&stream, LZMA_FINISH);
    out.resize(out.size() - stream.avail_out);
  }
  if (status != LZMA_STREAM_END) return std::nullopt;
  return out;
}

std::shared_ptr<const ElfFile> ReadMiniDebugInfo(const ElfFile& file) {
  const auto section = file.ReadSection(".gnu_debugdata");
  if (!section) return nullptr;
  auto bytes = DecompressXz(section->bytes, kMaxSize);
  if (!bytes) return nullptr;
  auto mini = ElfFile::OpenBytes(std::make_shared<const std::vector<std::byte>>(*std::move(bytes)));
  return mini ? std::make_shared<const ElfFile>(*std::move(mini)) : nullptr;
}

}  // namespace agent
