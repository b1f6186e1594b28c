// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace agent {

/// What a thread that sleeps waits for.
struct ThreadWait {
  enum class Kind : std::uint8_t {
    kNothing,     ///< It runs, or it cannot be told.
    kSystemCall,  ///< `call`, on `file` where that is known.
    kLock,        ///< A lock, a condition, the end of a thread: all of them are futexes.
    kGil,         ///< Python's global lock.
  };
  Kind kind = Kind::kNothing;
  std::string call;  ///< "read"
  std::string file;  ///< "socket:[4711]", "/dev/pts/1"; "": the call has none.
};

}  // namespace agent
