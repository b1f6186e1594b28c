// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/debuginfod.h"

#include <utility>

#include "agent/base/log.h"
#include "symbolizer/debuginfod_client.h"
#include "uploader/http_client.h"
#include "uploader/http_download.h"
#include "uploader/server_address.h"

namespace agent {
namespace {

constexpr Nanoseconds kDownloadLimit = std::chrono::minutes(10);

std::string ValueOf(const GetEnvironment& get_environment, const char* name) {
  const char* value = get_environment(name);
  return value != nullptr ? value : "";
}

DebuginfodServer MakeServer(const ServerAddress& address) {
  const std::string shown = address.Shown();
  return {.shown = shown,
          .get = [address, shown](const std::string& path,
                                  const std::function<bool(std::string_view)>& sink) {
            const DownloadReply reply = HttpDownload(address, path, sink, kDownloadLimit);
            if (reply.status == 0) LogDebug("debuginfod: {}: {}", shown, reply.trouble);
            return reply.status;
          }};
}

}  // namespace

std::vector<std::string> DebuginfodUrls(std::string_view urls) {
  constexpr std::string_view kSpace = " \t\n\r\v\f";
  std::vector<std::string> found;
  while (true) {
    const std::size_t begin = urls.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return found;
    urls.remove_prefix(begin);
    const std::string_view url = urls.substr(0, urls.find_first_of(kSpace));
    if (!url.starts_with("ima:")) found.emplace_back(url);
    urls.remove_prefix(url.size());
  }
}

std::string DebuginfodCache(const GetEnvironment& get_environment) {
  std::string path = ValueOf(get_environment, "DEBUGINFOD_CACHE_PATH");
  if (!path.empty()) return path;
  path = ValueOf(get_environment, "XDG_CACHE_HOME");
  if (!path.empty()) return path + "/debuginfod_client";
  path = ValueOf(get_environment, "HOME");
  return path.empty() ? "" : path + "/.cache/debuginfod_client";
}

std::unique_ptr<DebugFetcher> StartDebuginfod(const GetEnvironment& get_environment) {
  DebuginfodOptions options;
  for (const std::string& url : DebuginfodUrls(ValueOf(get_environment, "DEBUGINFOD_URLS"))) {
    if (const Result<ServerAddress> address = ParseServerAddress(url)) {
      options.servers.push_back(MakeServer(*address));
    } else {
      // It may hold a password.
      LogWarn("an address in DEBUGINFOD_URLS is passed over: {}", address.error().Message());
    }
  }
  if (options.servers.empty()) {
    LogWarn(
        "--debuginfod does nothing: DEBUGINFOD_URLS names no server (one is "
        "https://debuginfod.elfutils.org)");
    return nullptr;
  }
  options.cache_folder = DebuginfodCache(get_environment);
  if (options.cache_folder.empty()) {
    LogWarn(
        "--debuginfod does nothing: neither DEBUGINFOD_CACHE_PATH nor HOME says where to keep "
        "files");
    return nullptr;
  }
  PrepareHttp();
  return std::make_unique<DebuginfodClient>(std::move(options));
}

}  // namespace agent
