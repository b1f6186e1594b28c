// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "symbolizer/code_map.h"
#include "symbolizer/jitdump.h"

namespace agent {

/// Names of one process's just-in-time compiled code, from the files that its compiler writes for
/// perf: /tmp/perf-<pid>.map, jitdump files. Read as they grow.
class JitNames {
 public:
  /// `root` (O_PATH) must live as long. Only files of `owner` or of root are read.
  /// `jitdump_paths`: seen from `root`; /tmp/jit-<pid>.dump is tried as well.
  JitNames(const UniqueFd& root, InnerTid inner_pid, uid_t owner,
           std::vector<std::string> jitdump_paths);

  /// Reads what the files have more than the last time.
  void Refresh();
  [[nodiscard]] CodeMap::Found Find(std::uint64_t address) const;
  /// Whether no file was there, or none had a name.
  [[nodiscard]] bool empty() const;

 private:
  struct Source {
    std::string path;
    bool is_dump = false;
    bool damaged = false;
    ino_t inode = 0;
    std::string beginning;     // of what was read: another process's file begins otherwise
    std::uint64_t offset = 0;  // read so far
    JitDump dump;
    CodeMap map;
  };
  void Refresh(Source& source) const;
  void ReadMore(Source& source, const UniqueFd& file, std::uint64_t size) const;

  const UniqueFd& root_;
  uid_t owner_;
  std::vector<Source> sources_;  // jitdump first: it has lines
};

}  // namespace agent
