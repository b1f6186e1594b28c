// SPDX-License-Identifier: Apache-2.0
// What code lies where in one process.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/base/clock.h"
#include "agent/process/target_process.h"
#include "agent/profile/frame.h"
#include "spies/unwind/code_files.h"

namespace agent::unwind {

/// One executable mapping.
struct CodeRegion {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  const Module* module = nullptr;  ///< Never null.
  const CodeFile* file = nullptr;  ///< Null: code without a file, or one that cannot be read.
  std::uint64_t bias = 0;          ///< Process's address minus the file's.
  /// Was not there at the first look: may be unloaded again.
  bool came_later = false;
};

/// Sampling thread only.
class AddressSpace {
 public:
  /// Both outlive it.
  AddressSpace(TargetProcess& process, CodeFiles& files) : process_(process), files_(files) {}

  /// Null when no code is known there. Valid until the next Refresh.
  [[nodiscard]] const CodeRegion* Find(std::uint64_t address) const;
  /// Reads the mappings anew, where the last time was long enough ago for it to be worth its price.
  /// True when anything has changed.
  bool Refresh(MonotonicTime now);
  /// Whether the region is still what it was: cheap (one readlink). Only worth asking for those
  /// that came later.
  [[nodiscard]] bool IsStillThere(const CodeRegion& region) const;
  /// Changes whenever Find may answer differently.
  [[nodiscard]] std::uint32_t generation() const { return generation_; }
  [[nodiscard]] bool IsKnown() const { return generation_ > 0; }

 private:
  CodeRegion RegionOf(const std::vector<Mapping>& mappings, std::size_t index);

  TargetProcess& process_;
  CodeFiles& files_;
  std::vector<CodeRegion> regions_;  // sorted by start
  std::vector<Mapping> mappings_;    // executable ones, as last read
  const Module* anonymous_ = nullptr;
  MonotonicTime last_read_;
  Nanoseconds pause_{0};
  std::uint32_t generation_ = 0;
};

}  // namespace agent::unwind
