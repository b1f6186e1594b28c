// SPDX-License-Identifier: Apache-2.0
#include "spies/python/mixed_stack.h"

#include <algorithm>

namespace agent::python {

MixedStack MixStacks(std::span<const Frame> native, std::span<const NativeKind> kinds,
                     std::span<const PythonFrame> python, const Function* unmatched) {
  MixedStack mixed;
  Stack& stack = mixed.stack;
  const auto evals = std::ranges::count(kinds, NativeKind::kEval);
  const auto groups = std::ranges::count_if(python, &PythonFrame::is_entry);
  const auto add_native = [&](std::size_t i) {
    if (kinds[i] == NativeKind::kOther) stack.push_back(native[i]);
  };
  const auto add_python = [&](const PythonFrame& frame) {
    if (!frame.is_hidden) stack.push_back(frame.frame);
  };
  if (evals != groups && evals != groups + 1) {
    mixed.is_matched = false;
    // Without any call of the interpreter it cannot be told which of them are the leaf's.
    std::size_t i = evals == 0 && !python.empty() ? native.size() : 0;
    for (; i < native.size() && kinds[i] != NativeKind::kEval; ++i) add_native(i);
    if (!stack.empty() && !python.empty()) stack.push_back({.function = unmatched});
    std::ranges::for_each(python, add_python);
    return mixed;
  }
  auto next = python.begin();
  bool has_frames = evals == groups;  // the first call of the interpreter
  for (std::size_t i = 0; i < native.size(); ++i) {
    if (kinds[i] != NativeKind::kEval) {
      add_native(i);
      continue;
    }
    while (has_frames && next != python.end()) {
      add_python(*next);
      if (next++->is_entry) break;
    }
    has_frames = true;
  }
  return mixed;
}

}  // namespace agent::python
