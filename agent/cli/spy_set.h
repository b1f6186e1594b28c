// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "agent/base/types.h"
#include "agent/cli/settings.h"
#include "agent/profile/frame.h"
#include "spies/spy.h"
#include "symbolizer/symbolizer.h"

namespace agent {

/// All that makes stacks and their names: every runtime's spy, the tables that they share, and the
/// symbolizer. Outlives the sampler and the writer of a run. Threads as each part says.
class SpySet {
 public:
  /// What no flag of the user's asks for.
  struct Wishes {
    bool marks_gil = false;  ///< See PythonSpyFactory.
  };
  explicit SpySet(const Settings& settings) : SpySet(settings, Wishes{}) {}
  SpySet(const Settings& settings, const Wishes& wishes);
  ~SpySet();
  SpySet(const SpySet&) = delete;
  SpySet& operator=(const SpySet&) = delete;

  [[nodiscard]] FunctionTable& functions();
  [[nodiscard]] Symbolizer& symbolizer();
  /// In the order in which processes are offered to them.
  [[nodiscard]] std::vector<SpyFactory*> factories();
  /// See PythonSpyFactory. When the sampler has ended.
  [[nodiscard]] bool IsGil(RemoteAddress futex) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace agent
