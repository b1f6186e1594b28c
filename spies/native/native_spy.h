// SPDX-License-Identifier: Apache-2.0
// Machine code: C, C++, Rust, Go, and whatever no other spy claims.
#pragma once

#include "agent/profile/frame.h"
#include "spies/spy.h"
#include "spies/unwind/snapshot_spy.h"

namespace agent::native {

class NativeSpyFactory final : public SpyFactory {
 public:
  /// Both outlive it.
  NativeSpyFactory(unwind::CodeFiles& files, FunctionTable& functions)
      : files_(files), markers_(functions) {}

  [[nodiscard]] std::string_view Name() const override { return "native"; }
  [[nodiscard]] bool IsFallback() const override { return true; }
  std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) override;

 private:
  unwind::CodeFiles& files_;
  unwind::Markers markers_;
};

}  // namespace agent::native
