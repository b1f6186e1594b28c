// SPDX-License-Identifier: Apache-2.0
#include "agent/format/gzip.h"

#include <zlib.h>

#include <cstdlib>
#include <memory>

namespace agent {
namespace {

constexpr int kGzipWindow = 15 + 16;

Bytef* BytesOf(std::string_view text) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // NOLINT: zlib's API
}

}  // namespace

std::string Gzip(std::string_view data) {
  z_stream stream{};
  // Fails only without memory, as std::string would.
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    std::abort();
  }
  std::string result(::deflateBound(&stream, data.size()), '\0');
  stream.next_in = BytesOf(data);
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = BytesOf(result);
  stream.avail_out = static_cast<uInt>(result.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  result.resize(stream.total_out);
  ::deflateEnd(&stream);
  return result;
}

Result<std::string> Gunzip(std::string_view data, std::size_t most) {
  z_stream stream{};
  if (::inflateInit2(&stream, kGzipWindow) != Z_OK) std::abort();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, ::inflateEnd);
  stream.next_in = BytesOf(data);
  stream.avail_in = static_cast<uInt>(data.size());
  std::string result;
  for (;;) {
    constexpr std::size_t kPiece = 1u << 20;
    const std::size_t size = result.size();
    if (size > most) return Fail(Errc::kLimit, "too large when decompressed");
    result.resize(size + kPiece);
    stream.next_out = BytesOf(std::string_view(result).substr(size));
    stream.avail_out = static_cast<uInt>(kPiece);
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    result.resize(result.size() - stream.avail_out);
    if (status == Z_STREAM_END && stream.avail_in == 0) return result;
    if (status == Z_STREAM_END) {
      ::inflateReset(&stream);
    } else if (status == Z_BUF_ERROR) {
      return Fail(Errc::kMalformed, "the gzip data ends too early");
    } else if (status != Z_OK) {
      return Fail(Errc::kMalformed, "broken gzip data");
    }
  }
}

}  // namespace agent
