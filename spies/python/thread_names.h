// SPDX-License-Identifier: Apache-2.0
// What the `threading` module calls a thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/dicts.h"
#include "spies/python/layout.h"
#include "spies/python/thread_states.h"

namespace agent::python {

/// Of one process; sampling thread only. sys.modules -> threading -> _active {ident: Thread} ->
/// _name, which have been there in all of 3.7 to 3.15 (Lib/threading.py). A name takes some 20 us,
/// the first one of an interpreter more by a microsecond for each three modules.
class ThreadNames {
 public:
  /// That many at once, as for the threads of a process that has just been found; and a second.
  static constexpr double kMostNames = 2000;
  static constexpr double kMostNamesEachSecond = 100;

  ThreadNames(ProcessMemory& memory, const Layout& layout)
      : memory_(memory), layout_(layout), dicts_(memory_, layout_) {}

  /// UTF-8, at most kMostCharacters. Nothing where Python has none, it cannot be read, or there
  /// were too many: it may be there the next time.
  std::optional<std::string> Of(const ThreadState& state, MonotonicTime now);
  static constexpr std::uint64_t kMostCharacters = 200;

 private:
  struct Threading {
    RemoteAddress active;  // null: not found so far
    RemoteAddress dict_type;
    std::uint64_t modules = 0;  // how many there were when it was looked for in vain
    MonotonicTime looked;
    MonotonicTime next_look;
  };
  bool MayRead(MonotonicTime now);
  Result<std::string> Read(const ThreadState& state, MonotonicTime now);
  Result<RemoteAddress> ActiveOf(RemoteAddress interpreter, MonotonicTime now);
  Result<void> FindActive(RemoteAddress modules, Threading& threading);

  ProcessMemory& memory_;
  const Layout& layout_;
  Dicts dicts_;
  std::map<RemoteAddress, Threading> interpreters_;
  double names_left_ = kMostNames;  // that may be read, then
  MonotonicTime counted_;
};

}  // namespace agent::python
