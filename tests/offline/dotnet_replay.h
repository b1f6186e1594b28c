// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "agent/profile/frame.h"
#include "spies/dotnet/dotnet_spy.h"
#include "spies/unwind/code_files.h"
#include "tests/offline/read_threads.h"

namespace agent::offline {

/// Unwind tables of a recording's files; may be shared by replays of the same files.
class TablesOfFiles final : public unwind::ModuleListener {
 public:
  void OnModule(const Module&, std::shared_ptr<const ElfSource>, TargetProcess&) override {}
  [[nodiscard]] unwind::CodeFiles& files() { return files_; }

 private:
  unwind::CodeFiles files_{*this};
};

/// The .NET spy over one process. All outlive it.
class DotnetReplay {
 public:
  DotnetReplay(TargetProcess& process, TablesOfFiles& tables)
      : factory_(tables.files(), functions_, /*raw_names=*/false), spy_(factory_.Attach(process)) {}

  /// Null when it does not take the process.
  [[nodiscard]] Spy* spy() const { return spy_ ? spy_->get() : nullptr; }
  [[nodiscard]] std::string reason() const { return spy_ ? "" : spy_.error().reason; }

 private:
  FunctionTable functions_;
  dotnet::DotnetSpyFactory factory_;
  std::expected<std::unique_ptr<Spy>, Refusal> spy_;
};

}  // namespace agent::offline
