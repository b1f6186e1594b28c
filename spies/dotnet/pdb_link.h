// SPDX-License-Identifier: Apache-2.0
// What a module says of its PDB.
#pragma once

#include <cstdint>
#include <string>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/mappings.h"
#include "agent/process/memory.h"
#include "spies/dotnet/portable_pdb.h"

namespace agent::dotnet {

struct PdbLink {
  PdbId id{};
  std::string name;  ///< Of its file, without folders; may be empty.
  /// Where it lies in the module itself, compressed; a size of 0: it does not.
  RemoteAddress embedded;
  std::uint32_t embedded_size = 0;
};

/// By the debug directory of the PE file (dotnet/runtime, docs/design/specs/PE-COFF.md) that lies
/// in `mapping` byte for byte as it is on disk, from somewhere in its first page on: a file, a
/// slice of a bundle, or a copy in memory. `metadata`: where the module has it. Five reads.
/// kUnsupported: no such file is there, or it names no PDB.
[[nodiscard]] Result<PdbLink> ReadPdbLink(ProcessMemory& memory, const Mapping& mapping,
                                          RemoteAddress metadata);

}  // namespace agent::dotnet
