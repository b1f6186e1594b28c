// SPDX-License-Identifier: Apache-2.0
// One stack of native and Python frames.
#pragma once

#include <span>

#include "agent/profile/frame.h"
#include "spies/python/interpreter_code.h"

namespace agent::python {

/// A Python frame, named, and whether C has called the interpreter for it.
struct PythonFrame {
  Frame frame;
  bool is_entry = false;
  bool is_hidden = false;  ///< Not to be shown.
};

struct MixedStack {
  Stack stack;
  /// As many calls of the interpreter in the native stack as in the Python stack (or one more: it
  /// has no frame yet, or no more). Else the Python frames stand whole above the native callers of
  /// the leaf, with `unmatched` between.
  bool is_matched = true;
};

/// Puts Python frames in the place of the native frames of the interpreter that run them, and
/// leaves out its plumbing. All leaf first. `kinds` tells of each native frame what it
/// is.
[[nodiscard]] MixedStack MixStacks(std::span<const Frame> native, std::span<const NativeKind> kinds,
                                   std::span<const PythonFrame> python, const Function* unmatched);

}  // namespace agent::python
