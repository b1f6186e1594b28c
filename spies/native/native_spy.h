// SPDX-License-Identifier: Apache-2.0
// Machine code: C, C++, Rust, Go, and whatever no other spy claims.
#pragma once

#include "agent/profile/frame.h"
#include "spies/spy.h"
#include "spies/unwind/code_files.h"

namespace agent::native {

class NativeSpyFactory final : public SpyFactory {
 public:
  /// Both outlive it.
  NativeSpyFactory(unwind::CodeFiles& files, FunctionTable& functions);

  [[nodiscard]] std::string_view Name() const override { return "native"; }
  [[nodiscard]] bool IsFallback() const override { return true; }
  std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) override;

 private:
  unwind::CodeFiles& files_;
  const Function* cut_;
  const Function* incomplete_;
};

}  // namespace agent::native
