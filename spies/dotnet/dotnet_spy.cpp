// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/dotnet_spy.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "agent/base/log.h"
#include "spies/dotnet/contract_descriptor.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/managed_frames.h"

namespace agent::dotnet {
namespace {

// From its first sight to its first method, on a busy machine.
constexpr std::chrono::seconds kLongestStart{10};
constexpr std::size_t kMostWaiting = 1024;

std::unexpected<Refusal> Refuse(Refusal::Kind kind, std::string reason) {
  if (!reason.empty()) LogDebug("dotnet: {}", reason);
  return std::unexpected(Refusal{kind, std::move(reason)});
}

std::unexpected<Refusal> Refuse(const Error& error, std::string_view of = "") {
  Refusal::Kind kind = Refusal::Kind::kNotYet;
  if (error.code == Errc::kGone) kind = Refusal::Kind::kGone;
  if (error.code == Errc::kNotPermitted) kind = Refusal::Kind::kNotPermitted;
  return Refuse(kind, of.empty() ? error.Message() : fmt::format("{}: {}", of, error.Message()));
}

// By the version alone.
Layout WithCollector(const Layout& known, ProcessMemory& memory, const RuntimeLocation& runtime) {
  Layout layout = known;
  if (layout.collector.slot != 0) {
    const RemoteAddress slot =
        runtime.dac_table.Plus(std::uint64_t{layout.collector.slot} * sizeof(std::uint64_t));
    layout.collector.suspending_thread = memory.ReadValue<std::uint64_t>(slot).value_or(0);
  }
  return layout;
}

// By the version, and by what the runtime itself says of its structures.
Result<Layout> LayoutIn(ProcessMemory& memory, const RuntimeLocation& runtime) {
  const Layout* const known = LayoutOf(runtime.Major());
  if (runtime.descriptor.IsNull()) {
    if (known != nullptr) return WithCollector(*known, memory, runtime);
    return Fail(Errc::kUnsupported, "it reads 6 to 10");
  }
  const auto descriptor = ContractDescriptor::Read(memory, runtime.descriptor);
  if (!descriptor && known != nullptr) return WithCollector(*known, memory, runtime);
  if (!descriptor) return std::unexpected(descriptor.error());
  return known != nullptr ? Overlay(*known, *descriptor) : LayoutFrom(*descriptor);
}

}  // namespace

std::expected<std::unique_ptr<Spy>, Refusal> DotnetSpyFactory::Attach(TargetProcess& process) {
  std::string_view unasked = WhyUnasked(RuntimeLocation());  // until it is found
  auto spy = TryAttach(process, unasked);
  if (spy || spy.error().kind != Refusal::Kind::kNotYet) {
    waiting_.erase(process.pid());
    if (spy || spy.error().kind != Refusal::Kind::kUnsupported) return spy;
    return StepDown(process, std::move(spy.error().reason), unasked);
  }
  if (waiting_.size() > kMostWaiting) waiting_.clear();
  const MonotonicTime now = SystemClock().Now();
  const MonotonicTime since = waiting_.try_emplace(process.pid(), now).first->second;
  if (now - since > kLongestStart) {
    return StepDown(process, fmt::format("its .NET cannot be read: {}", spy.error().reason),
                    unasked);
  }
  return spy;
}

std::unexpected<Refusal> DotnetSpyFactory::StepDown(const TargetProcess& process, std::string why,
                                                    std::string_view unasked) {
  Refusal refusal{Refusal::Kind::kUnsupported, std::move(why)};
  if (perf_maps_ != nullptr) {
    perf_maps_->Add(process.pid(), std::exchange(refusal.reason, {}), unasked);
  }
  return std::unexpected(std::move(refusal));
}

std::expected<std::unique_ptr<Spy>, Refusal> DotnetSpyFactory::TryAttach(
    TargetProcess& process, std::string_view& unasked) {
  const auto location = locator_.Locate(process);
  if (!location) return Refuse(location.error());
  if (!*location) return Refuse(Refusal::Kind::kNotMine, "");
  const RuntimeLocation& runtime = **location;
  unasked = WhyUnasked(runtime);
  const std::string name =
      fmt::format(".NET {}", runtime.version.empty() ? "of an unknown version" : runtime.version);
  const Result<Layout> layout = LayoutIn(process.memory(), runtime);
  if (!layout && layout.error().code != Errc::kUnsupported &&
      layout.error().code != Errc::kMalformed) {
    return Refuse(layout.error());
  }
  if (!layout) {
    return Refuse(Refusal::Kind::kUnsupported,
                  fmt::format("this agent cannot read {} ({})", name, layout.error().Message()));
  }
  const auto ranges = CodeRangesOf(process.memory(), runtime, *layout);
  if (!ranges) return Refuse(ranges.error());
  if (ranges->IsNull()) return Refuse(Refusal::Kind::kNotYet, "the runtime has not started");
  auto frames = std::make_unique<ManagedFrames>(process, *layout, *ranges, functions_, raw_names_);
  const auto check = frames->CheckLayout();
  if (!check) return Refuse(check.error(), name);
  if (check->methods == 0) return Refuse(Refusal::Kind::kNotYet, "no method has been compiled yet");
  const std::string found =
      fmt::format("{} of {} methods of {} can be read", check->readable, check->methods, name);
  if (!check->IsGood()) return Refuse(Refusal::Kind::kNotYet, found);
  LogDebug("dotnet: {}", found);
  return std::make_unique<unwind::SnapshotSpy>(name, process, files_, markers_, false,
                                               std::move(frames));
}

}  // namespace agent::dotnet
