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

struct NativeSide;

class PythonSpyFactory final : public SpyFactory {
 public:
  /// `functions` outlives the factory and its spies. `gil_only`: threads that do not hold the GIL
  /// are kWithoutGil; not where there is none, or where its holder is not told (said once).
  /// `native_files`: native frames are read as well (null: they are not); outlives it too.
  /// `marks_gil`: stacks of threads that hold the GIL have markers::kHoldsGil as their root.
  explicit PythonSpyFactory(FunctionTable& functions, bool gil_only = false,
                            unwind::CodeFiles* native_files = nullptr, bool marks_gil = false)
      : functions_(functions),
        gil_only_(gil_only),
        native_files_(native_files),
        gil_mark_(marks_gil ? functions.Marker(markers::kHoldsGil) : nullptr) {}
  [[nodiscard]] std::string_view Name() const override { return "python"; }
  /// Whether who waits for the futex at `address` waits for a GIL: one that a spy of this factory
  /// has come across. Not of 3.7.0 to 3.7.3, and not with musl, whose condition variables wait on
  /// the stack.
  [[nodiscard]] bool IsGil(RemoteAddress address) const { return gils_.Has(address); }
  std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) override;

 private:
  bool UseGil(const Layout& layout, Version version);
  std::unique_ptr<NativeSide> MakeNativeSide(TargetProcess& process,
                                             const RuntimeLocation& location);

  FunctionTable& functions_;
  bool gil_only_;
  unwind::CodeFiles* native_files_;
  const Function* gil_mark_;  // null: none
  bool said_no_gil_ = false;
  KnownGils gils_;
  RuntimeLocator locator_;
};

}  // namespace agent::python
