// SPDX-License-Identifier: Apache-2.0
// Steps through the frames of methods that CoreCLR has compiled.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "agent/process/target_process.h"
#include "agent/profile/markers.h"
#include "spies/dotnet/code_map.h"
#include "spies/dotnet/il_map.h"
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
        unknown_(functions.Marker("[unknown method]")),
        collector_(functions.Marker(markers::kDotnetCollector)),
        compiler_(functions.Marker(markers::kDotnetCompiler)) {}

  /// Whether methods that are there already can be read: 0 of 0 before there are any. Of what the
  /// JIT has compiled; of what was compiled before if less than half of that can be read.
  struct Check {
    std::size_t methods = 0;
    std::size_t readable = 0;
    [[nodiscard]] bool IsGood() const { return readable * 2 >= methods; }
  };
  Result<Check> CheckLayout();

  unwind::ManagedStep Step(const ThreadSnapshot& snapshot, bool is_exact, Registers& registers,
                           std::uint32_t& known, Stack& frames) override;
  /// Whether this is the thread that has stopped all others: to collect garbage, or now and then
  /// for something else.
  std::shared_ptr<SnapshotPart> Look(InnerTid tid) override;
  /// markers::kDotnetCollector above a method that is collecting, and as the root of the
  /// collector's own threads; markers::kDotnetCompiler below the compiler's code.
  void Mark(const ThreadSnapshot& snapshot, Stack& stack) override;

 private:
  Check CheckMethods(const std::vector<std::uint64_t>& methods);
  Result<IlMap> ReadIlMap(const MethodCode& code);
  std::uint32_t LineAt(const MethodCode& code, bool stays, const MethodLines& lines,
                       std::uint64_t address);
  bool IsWriteBarrier(bool is_exact, const Registers& registers, std::uint32_t known);

  ProcessMemory& memory_;
  const Layout layout_;
  CodeMap code_;
  MethodNames names_;
  std::unordered_map<std::uint64_t, IlMap> il_maps_;  // by MethodCode::start; of code that stays
  const Function* unknown_;                           // a method that cannot be read
  const Function* collector_;
  const Function* compiler_;
};

}  // namespace agent::dotnet
