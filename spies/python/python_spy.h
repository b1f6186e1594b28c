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
  /// `functions` outlives the factory and its spies.
  explicit PythonSpyFactory(FunctionTable& functions) : functions_(functions) {}
  [[nodiscard]] std::string_view Name() const override { return "python"; }
  std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) override;

 private:
  FunctionTable& functions_;
  RuntimeLocator locator_;
};

}  // namespace agent::python
