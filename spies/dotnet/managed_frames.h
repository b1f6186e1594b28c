// SPDX-License-Identifier: Apache-2.0
// Steps through the frames of methods that CoreCLR has compiled.
#pragma once

#include "agent/process/target_process.h"
#include "spies/dotnet/code_map.h"
#include "spies/dotnet/method_names.h"
#include "spies/unwind/managed_code.h"

namespace agent::dotnet {

class ManagedFrames final : public unwind::ManagedCode {
 public:
  /// As CodeMap and MethodNames have it.
  ManagedFrames(TargetProcess& process, const Layout& layout, RemoteAddress code_ranges,
                FunctionTable& functions, bool raw_names)
      : memory_(process.memory()),
        layout_(layout),
        code_(process.memory(), layout_, code_ranges),
        names_(process, layout_, functions, raw_names),
        unknown_(functions.Marker("[unknown method]")) {}

  /// Whether methods that are there already can be read: 0 of 0 before there are any.
  struct Check {
    std::size_t methods = 0;
    std::size_t readable = 0;
  };
  Check CheckLayout();

  unwind::ManagedStep Step(const ThreadSnapshot& snapshot, bool is_exact, Registers& registers,
                           std::uint32_t& known, Stack& frames) override;

 private:
  ProcessMemory& memory_;
  const Layout layout_;
  CodeMap code_;
  MethodNames names_;
  const Function* unknown_;  // a method that cannot be read
};

}  // namespace agent::dotnet
