// SPDX-License-Identifier: Apache-2.0
// The Python spy: CPython 3.7 and later.
#pragma once

#include <memory>
#include <string>

#include "agent/profile/frame.h"
#include "spies/python/runtime.h"
#include "spies/spy.h"

namespace agent::python {

class PythonSpyFactory final : public SpyFactory {
 public:
  /// `functions` outlives the factory and its spies. `gil_only`: threads that do not hold the GIL
  /// are kWithoutGil; not where there is none, or where its holder is not told (said once).
  explicit PythonSpyFactory(FunctionTable& functions, bool gil_only = false)
      : functions_(functions), gil_only_(gil_only) {}
  [[nodiscard]] std::string_view Name() const override { return "python"; }
  std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) override;

 private:
  bool UseGil(const Layout& layout, Version version);

  FunctionTable& functions_;
  bool gil_only_;
  bool said_no_gil_ = false;
  RuntimeLocator locator_;
};

}  // namespace agent::python
