// SPDX-License-Identifier: Apache-2.0
// Names for machine code, from files.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/elf/elf_file.h"
#include "agent/profile/frame.h"
#include "agent/profile/profile.h"
#include "agent/profile/unnamed.h"
#include "symbolizer/debug_fetcher.h"
#include "symbolizer/demangle.h"

namespace agent {

/// Where a module's names are to be looked for.
struct ModuleSource {
  std::shared_ptr<const ElfSource> elf;  ///< Null for code without a file.
  /// The target's root directory, O_PATH; debug files and perf maps are searched below it. Links
  /// are never followed out of it.
  UniqueFd root;
  Pid pid{};             ///< A process that has it mapped.
  InnerTid inner_pid{};  ///< Its id in its own namespace, which names its perf map.
  uid_t owner = 0;       ///< Of the process: a perf map must belong to it (or to root).
  /// Files that the process has mapped as its jitdump, as `root` sees them. For code without a
  /// file.
  std::vector<std::string> jitdump_paths;
};

/// Name is for one thread (the window writer's); AddModule may be called from another one.
class Symbolizer {
 public:
  /// `fetcher` may be null; else it outlives the Symbolizer.
  explicit Symbolizer(Demangle demangle, DebugFetcher* fetcher = nullptr);
  ~Symbolizer();
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  /// To be called before a frame of `module` can reach Name. A second call for one module changes
  /// nothing. Code without a file is a module of its own in each process.
  void AddModule(const Module* module, ModuleSource source);
  /// A copy of `window` in which every frame has a function. Each address is looked up once in a
  /// run (again when a debug file has come, see UseArrived); in code without a file once in a
  /// window, since compilers use memory again. Inlined calls become frames of their own. An address
  /// without a name becomes "libfoo.so+0x1234" and keeps module and address; one with a name loses
  /// them, so that stacks add up. Frames that have a function pass unchanged. Functions live as
  /// long as the Symbolizer.
  std::unique_ptr<Profile> Name(const Profile& window);
  /// Looks up what Name would have to for `window`, which is still growing, and keeps that only.
  void LookUpAhead(const Profile& window);
  /// Looks up again what the fetcher has brought debug files for since. LookUpAhead begins with it;
  /// Name does not, since a program's end may wait for that.
  void UseArrived();
  /// What had no name in all windows so far, the most samples first. For the thread that calls
  /// Name.
  [[nodiscard]] std::vector<UnnamedCode> unnamed() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace agent
