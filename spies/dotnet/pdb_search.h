// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/error.h"
#include "agent/process/target_process.h"
#include "spies/dotnet/portable_pdb.h"

namespace agent::dotnet {

/// The PDB of the module that `mapping` is of: beside it, by the name and with the id that the
/// module's own file tells. In the target's world, never led out of it.
[[nodiscard]] Result<PortablePdb> FindPdb(TargetProcess& process, const Mapping& mapping);

}  // namespace agent::dotnet
