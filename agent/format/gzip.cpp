// SPDX-License-Identifier: Apache-2.0
#include "agent/format/gzip.h"

#include <zlib.h>

#include <cstdio>
#include <cstdlib>

namespace agent {

std::string Gzip(std::string_view data) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;
  // Fails only without memory, as std::string would.
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    std::abort();
  }
  std::string result(::deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));  // NOLINT: zlib's API
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());  // NOLINT
  stream.avail_out = static_cast<uInt>(result.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  result.resize(stream.total_out);
  ::deflateEnd(&stream);
  return result;
}

}  // namespace agent
