// SPDX-License-Identifier: Apache-2.0
// Debug files by build id from debuginfod servers, and from the cache that elfutils keeps of them
// (debuginfod(8), debuginfod_find_debuginfo(3)).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "symbolizer/debug_fetcher.h"

namespace agent {

struct DebuginfodServer {
  std::string shown;  ///< Its address, for messages.
  /// Gets a path and gives its content to the sink, until that returns false. Returns HTTP's
  /// status, 0 when there was no whole answer. Never throws. On the client's own thread, which may
  /// outlive the client.
  std::function<int(const std::string& path, const std::function<bool(std::string_view)>& sink)>
      get;
};

struct DebuginfodOptions {
  std::vector<DebuginfodServer> servers;  ///< Asked in this order.
  std::string cache_folder;
  std::uint64_t max_bytes = 512u << 20;  ///< Of one file.
};

/// Downloads one file at a time, on a thread of its own that begins with the first; asks for each
/// build id once. A file is in the cache only when it is whole and has the right build id.
class DebuginfodClient final : public DebugFetcher {
 public:
  explicit DebuginfodClient(DebuginfodOptions options);
  /// Waits for nothing: a thread that is in a download is left behind. The process must end by
  /// _exit then.
  ~DebuginfodClient() override;
  DebuginfodClient(const DebuginfodClient&) = delete;
  DebuginfodClient& operator=(const DebuginfodClient&) = delete;

  std::shared_ptr<const ElfFile> Find(const std::string& build_id) override;
  std::vector<std::string> TakeArrived() override;

 private:
  struct Shared;
  void StartThread();
  static void Run(const std::shared_ptr<Shared>& shared);
  // Shared with the thread.
  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace agent
