// SPDX-License-Identifier: Apache-2.0
#include "uploader/http_download.h"

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>

#include "uploader/http_client.h"

namespace agent {
namespace {

// debuginfod may have to unpack a package first; elfutils waits for as long.
constexpr Nanoseconds kMaxSilence = std::chrono::seconds(90);
constexpr int kOk = 200;

}  // namespace

DownloadReply HttpDownload(const ServerAddress& address, const std::string& path,
                           const std::function<bool(std::string_view)>& sink, Nanoseconds limit) {
  DownloadReply reply;
  try {
    const HttpClient made = MakeHttpClient(address);
    if (made.client == nullptr) {
      reply.trouble = made.trouble;
      return reply;
    }
    httplib::ClientImpl* const client = made.client.get();
    const MonotonicTime deadline = std::chrono::steady_clock::now() + limit;
    client->set_read_timeout(std::min(limit, kMaxSilence));
    client->set_write_timeout(std::min(limit, kMaxSilence));
    client->set_follow_location(address.user.empty());
    bool is_file = false;
    httplib::Request request;
    request.method = "GET";
    request.path = address.prefix + path;
    request.headers = {{"User-Agent", "agent/" AGENT_VERSION}};
    request.response_handler = [&is_file](const httplib::Response& response) {
      is_file = response.status == kOk;
      return true;
    };
    request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t,
                                   std::uint64_t) {
      return std::chrono::steady_clock::now() < deadline && (!is_file || sink({data, size}));
    };
    const httplib::Result result = client->send(request);
    if (result) {
      reply.status = result->status;
    } else {
      reply.trouble = httplib::to_string(result.error());
    }
  } catch (const std::exception& error) {
    reply.trouble = error.what();
  }
  return reply;
}

}  // namespace agent
