// SPDX-License-Identifier: Apache-2.0
// The .NET spy: CoreCLR 6 to 10 on x86-64, and newer ones that tell of their structures.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/profile/frame.h"
#include "spies/dotnet/perf_map_requests.h"
#include "spies/dotnet/runtime.h"
#include "spies/spy.h"
#include "spies/unwind/snapshot_spy.h"

namespace agent::dotnet {

class DotnetSpyFactory final : public SpyFactory {
 public:
  /// All outlive it and its spies. `raw_names`: as the metadata has them. `perf_maps`, for what
  /// cannot be read, may be null.
  DotnetSpyFactory(unwind::CodeFiles& files, FunctionTable& functions, bool raw_names,
                   PerfMapRequests* perf_maps = nullptr)
      : files_(files),
        functions_(functions),
        markers_(functions),
        raw_names_(raw_names),
        perf_maps_(perf_maps) {}

  [[nodiscard]] std::string_view Name() const override { return "dotnet"; }
  std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) override;

 private:
  std::expected<std::unique_ptr<Spy>, Refusal> TryAttach(TargetProcess& process,
                                                         std::string_view& unasked);
  std::unexpected<Refusal> StepDown(const TargetProcess& process, std::string why,
                                    std::string_view unasked);

  unwind::CodeFiles& files_;
  FunctionTable& functions_;
  unwind::Markers markers_;
  const bool raw_names_;
  PerfMapRequests* const perf_maps_;
  RuntimeLocator locator_;
  std::map<Pid, MonotonicTime> waiting_;  // for a runtime that is not ready: since when
};

}  // namespace agent::dotnet
