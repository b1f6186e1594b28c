// SPDX-License-Identifier: Apache-2.0
// The Python spy: CPython 3.7 and later.
#pragma once

#include <memory>
#include <string>

#include "agent/profile/frame.h"
#include "agent/profile/markers.h"
#include "spies/python/activity.h"
#include "spies/python/runtime.h"
#include "spies/spy.h"
#include "spies/unwind/code_files.h"

namespace agent::python {

class AsyncioTasks;
struct NativeSide;

class PythonSpyFactory final : public SpyFactory {
 public:
  struct Wishes {
    /// Threads that do not hold the GIL are kWithoutGil; not where there is none, or where its
    /// holder is not told (said once).
    bool gil_only = false;
    /// Stacks have asyncio's tasks (AsyncioTasks); not before 3.14 (said once).
    bool asyncio = false;
    /// Stacks of threads that hold the GIL have markers::kHoldsGil as their root.
    bool marks_gil = false;
    /// Native frames are read as well; null: they are not. Outlives the factory.
    unwind::CodeFiles* native_files = nullptr;
  };
  /// `functions` outlives the factory and its spies.
  explicit PythonSpyFactory(FunctionTable& functions) : PythonSpyFactory(functions, Wishes{}) {}
  PythonSpyFactory(FunctionTable& functions, const Wishes& wishes)
      : functions_(functions),
        wishes_(wishes),
        gil_mark_(wishes.marks_gil ? functions.Marker(markers::kHoldsGil) : nullptr) {}
  [[nodiscard]] std::string_view Name() const override { return "python"; }
  /// Whether who waits for the futex at `address` waits for a GIL: one that a spy of this factory
  /// has come across. Not of 3.7.0 to 3.7.3, and not with musl, whose condition variables wait on
  /// the stack.
  [[nodiscard]] bool IsGil(RemoteAddress address) const { return gils_.Has(address); }
  std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) override;

 private:
  bool UseGil(const Layout& layout, Version version);
  std::unique_ptr<AsyncioTasks> MakeTasks(TargetProcess& process, const RuntimeLocation& location,
                                          const Layout& layout, Version version);
  std::unique_ptr<NativeSide> MakeNativeSide(TargetProcess& process,
                                             const RuntimeLocation& location);

  FunctionTable& functions_;
  const Wishes wishes_;
  const Function* gil_mark_;  // null: none
  bool said_no_gil_ = false;
  bool said_no_tasks_ = false;
  KnownGils gils_;
  RuntimeLocator locator_;
};

}  // namespace agent::python
