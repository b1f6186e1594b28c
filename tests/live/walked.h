// SPDX-License-Identifier: Apache-2.0
// One process of a test with all that walks its stacks.
#pragma once

#include <chrono>
#include <thread>

#include "agent/process/live_process.h"
#include "spies/unwind/unwinder.h"
#include "tests/live/code_names.h"

namespace agent::live {

class NoListener final : public unwind::ModuleListener {
 public:
  void OnModule(const Module&, std::shared_ptr<const ElfSource>, TargetProcess&) override {}
};

/// Time goes on by a second with each question, so that mappings are read whenever they are needed.
class Walked {
 public:
  explicit Walked(Pid pid)
      : process_(pid), files_(listener_), unwinder_(process_, files_), space_(process_, files_) {}

  /// Waits for tables that are being compiled.
  unwind::WalkResult Walk(const ThreadSnapshot& snapshot, Stack& frames) {
    while (true) {
      frames.clear();
      const unwind::WalkResult result = unwinder_.Walk(snapshot, NextTime(), frames);
      if (result.end != unwind::WalkEnd::kNotReady) return result;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  /// Of the test's own, over the same files.
  unwind::AddressSpace& space() { return space_; }
  void RefreshSpace() { space_.Refresh(NextTime()); }
  LiveProcess& process() { return process_; }
  std::string NameOf(std::uint64_t address) { return names_.Of(space_.Find(address), address); }
  /// Whether a frame is what an address of the process is; for a return address, the byte before.
  [[nodiscard]] bool IsAt(const Frame& frame, std::uint64_t address, bool is_exact) const {
    const unwind::CodeRegion* region = space_.Find(address);
    // Code without a file: each address space has a module of its own for it.
    const bool is_same_module =
        region != nullptr && (region->file == nullptr ? frame.module->path == region->module->path
                                                      : frame.module == region->module);
    return is_same_module && frame.address == address - region->bias - (is_exact ? 0 : 1);
  }

 private:
  MonotonicTime NextTime() { return now_ += std::chrono::seconds(1); }

  NoListener listener_;
  LiveProcess process_;
  unwind::CodeFiles files_;
  unwind::Unwinder unwinder_;
  unwind::AddressSpace space_;
  CodeNames names_;
  MonotonicTime now_;
};

}  // namespace agent::live
