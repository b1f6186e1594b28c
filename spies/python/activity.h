// SPDX-License-Identifier: Apache-2.0
// What an interpreter does while one of its threads is read: who holds its GIL, and whether it
// collects garbage.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// Where it is told. Null: this version or build does not tell it.
struct ActivityPlaces {
  RemoteAddress switches;         ///< unsigned long: how often the GIL went to another thread
  RemoteAddress locked;           ///< int; null where `holder` is null while nobody holds the GIL
  RemoteAddress collecting;       ///< int
  RemoteAddress holder;           ///< PyThreadState*
  RemoteAddress callbacks;        ///< Py_ssize_t: how many functions gc.callbacks has
  RemoteAddress gc_frame;         ///< _PyInterpreterFrame*: where the collection began
  RemoteAddress code_generation;  ///< Layout::Interpreter::code_generation
  /// Memory that holds all of them but the last one and `callbacks`, where they are so near to each
  /// other (3.12 and later): a range of a read costs more than a hundred bytes. 0: they are not.
  RemoteAddress window;
  std::size_t window_size = 0;
  static constexpr std::size_t kMaxWindow = 256;

  /// `gil` and `callbacks`: what the interpreter has at Layout::Gil::interpreter_gil and at
  /// CallbacksPlace.
  static ActivityPlaces Of(const Layout& layout, RemoteAddress runtime, RemoteAddress interpreter,
                           RemoteAddress gil, RemoteAddress callbacks);
  /// Pointer to the list gc.callbacks; null where there is none.
  static RemoteAddress CallbacksPlace(const Layout& layout, RemoteAddress interpreter);

 private:
  void SetWindow();
};

/// As it was in the moment of the read.
struct Activity {
  std::uint64_t switches = 0;
  std::int32_t collecting = 0;
  std::uint64_t holder = 0;
  std::int32_t locked = 1;
  std::uint64_t gc_frame = 0;
  std::uint64_t code_generation = 0;
  bool code_was_freed = false;  // while the thread was read
  std::array<std::byte, ActivityPlaces::kMaxWindow> window;

  /// Makes this a part of a read: appends what is known to `ranges`, which refer to this object.
  void AddRanges(const ActivityPlaces& places, std::vector<ReadRange>& ranges);
  /// After the read.
  void Take(const ActivityPlaces& places);
  [[nodiscard]] bool HoldsGil(RemoteAddress thread) const {
    return holder == thread.value() && locked == 1;
  }
};

/// Whether the thread that holds the GIL is the one that collects. Another one may have it: the
/// collector lets it go in finalizers and callbacks. It is that one for certain when it has had the
/// GIL since before the collection began.
class CollectorWatch {
 public:
  /// For each read, as soon as it is known to be good.
  void See(const ActivityPlaces& places, const Activity& activity) {
    if (activity.collecting == 0) idle_ = {places.collecting, activity.switches};
  }
  [[nodiscard]] bool HolderCollects(const ActivityPlaces& places, const Activity& activity) const {
    return activity.collecting == 1 && !places.switches.IsNull() &&
           idle_.collecting == places.collecting && idle_.switches == activity.switches;
  }

 private:
  struct {
    RemoteAddress collecting;
    std::uint64_t switches = 0;
  } idle_;  // when nothing was collected
};

/// The GILs that were come across.
class KnownGils {
 public:
  void See(const ActivityPlaces& places) {
    if (places.switches.IsNull() || places.switches == last_) return;
    last_ = places.switches;
    if (std::ranges::find(switches_, last_) == switches_.end()) switches_.push_back(last_);
  }
  /// Whether `address` lies in what threads sleep on for one of them: struct _gil_runtime_state
  /// (CPython 3.7 to 3.15, ceval_gil.h) has a condition variable, a mutex, and both once more for
  /// forced switches, behind the number of switches.
  [[nodiscard]] bool Has(RemoteAddress address) const {
    constexpr std::uint64_t kSize = 2 * (sizeof(pthread_cond_t) + sizeof(pthread_mutex_t));
    return std::ranges::any_of(switches_, [&](RemoteAddress switches) {
      const RemoteAddress begin = switches.Plus(sizeof(std::uint64_t));
      return address >= begin && address < begin.Plus(kSize);
    });
  }

 private:
  RemoteAddress last_;
  std::vector<RemoteAddress> switches_;  // one for each interpreter, in any process
};

}  // namespace agent::python
