// SPDX-License-Identifier: Apache-2.0
#include "agent/format/gzip.h"

#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace agent {
namespace {

constexpr int kGzipWindow = 15 + 16;

Bytef* InputOf(std::string_view data) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));  // NOLINT: zlib's API
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
  stream.next_in = InputOf(data);
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());  // NOLINT
  stream.avail_out = static_cast<uInt>(result.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  result.resize(stream.total_out);
  ::deflateEnd(&stream);
  return result;
}

Result<std::string> Gunzip(std::string_view data, std::size_t max_bytes) {
  z_stream stream{};
  if (::inflateInit2(&stream, kGzipWindow) != Z_OK) std::abort();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, &::inflateEnd);
  stream.next_in = InputOf(data);
  stream.avail_in = static_cast<uInt>(data.size());
  std::string result;
  std::string chunk(std::size_t{256} << 10, '\0');
  while (true) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());  // NOLINT
    stream.avail_out = static_cast<uInt>(chunk.size());
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END) {
      return Fail(Errc::kMalformed,
                  status == Z_BUF_ERROR ? "gzip data ends early" : "no gzip data");
    }
    result.append(chunk, 0, chunk.size() - stream.avail_out);
    if (result.size() > max_bytes) return Fail(Errc::kLimit, "gzip data holds too much");
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) return result;
      ::inflateReset(&stream);
    }
  }
}

}  // namespace agent
