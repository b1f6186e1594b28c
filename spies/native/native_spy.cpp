// SPDX-License-Identifier: Apache-2.0
#include "spies/native/native_spy.h"

#include <algorithm>

namespace agent::native {

std::expected<std::unique_ptr<Spy>, Refusal> NativeSpyFactory::Attach(TargetProcess& process) {
  const Result<std::vector<Mapping>> mappings = process.ReadMappings();
  if (!mappings) {
    const bool is_gone = mappings.error().code == Errc::kGone;
    return std::unexpected(Refusal{is_gone ? Refusal::Kind::kGone : Refusal::Kind::kNotPermitted,
                                   mappings.error().Message()});
  }
  const bool runs_go = std::ranges::any_of(*mappings, [&](const Mapping& mapping) {
    if (!mapping.executable || mapping.inode == 0) return false;
    const Result<unwind::CodeFile*> file = files_.OfMapping(process, mapping);
    return file && (*file)->is_go();
  });
  return std::make_unique<unwind::SnapshotSpy>("native code", process, files_, markers_, runs_go,
                                               nullptr);
}

}  // namespace agent::native
