// SPDX-License-Identifier: Apache-2.0
// Windows on disk, so that they outlive the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/unique_fd.h"
#include "uploader/upload_window.h"

namespace agent {

enum class SpoolId : std::uint64_t {};

/// A folder of a server's own below the one that the user names, with a file for each window,
/// written beside and renamed: after a crash at any moment each is whole or not there. Each run has
/// a folder in it, which it holds locked; at the start it takes over those that nobody holds. Not
/// for two threads at a time.
class Spool {
 public:
  /// `server` is what tells the folders apart: the address without credentials. kInvalid with a
  /// text for the user when the folder cannot be made or written to.
  [[nodiscard]] static Result<std::unique_ptr<Spool>> Open(const std::string& folder,
                                                           const std::string& server);
  /// Folders of runs that are empty by now are removed.
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// What earlier runs left, oldest first, without the bytes. Once. Files that are broken are
  /// renamed to *.corrupt, with a line.
  struct Found {
    SpoolId id;
    UploadWindow window;
    std::size_t bytes = 0;
  };
  [[nodiscard]] std::vector<Found> TakeFound();

  /// Nothing, and a line the first time, when the disk does not take it.
  [[nodiscard]] std::optional<SpoolId> Put(const UploadWindow& window);
  /// With its bytes; nothing when it cannot be read.
  [[nodiscard]] std::optional<UploadWindow> Get(SpoolId id) const;
  void Remove(SpoolId id);

 private:
  struct Run {
    std::string folder;
    UniqueFd lock;
  };

  Spool() = default;
  void TakeOver(const std::string& folder);

  std::vector<Run> runs_;  // our own first
  std::map<SpoolId, std::string> files_;
  std::vector<Found> found_;
  std::uint64_t next_ = 1;
  bool said_full_ = false;
};

}  // namespace agent
