// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/error.h"
#include "agent/process/target_process.h"
#include "spies/dotnet/portable_pdb.h"

namespace agent::dotnet {

/// The PDB of the module that lies in `mapping`, with its metadata at `metadata`: in the module
/// itself, or beside its file by the name that the module tells; with the id that it tells. In the
/// target's world, never led out of it. kMalformed, kLimit: there is something, but not that.
[[nodiscard]] Result<PortablePdb> FindPdb(TargetProcess& process, const Mapping& mapping,
                                          RemoteAddress metadata);

}  // namespace agent::dotnet
