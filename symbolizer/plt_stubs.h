// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/elf/elf_file.h"
#include "symbolizer/elf_sections.h"

namespace agent {

/// A stub of the procedure linkage table: calls a function of another module.
struct PltStub {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::string name;  ///< "read@plt"
};

/// The stubs in .plt, .plt.sec and .plt.got. On x86-64 each is known by the GOT slot that it jumps
/// through, or by the number that it pushes; on aarch64 by its place. Empty where there are no
/// section headers.
[[nodiscard]] std::vector<PltStub> ReadPltStubs(const ElfFile& file,
                                                const std::vector<SectionHeader>& headers);

}  // namespace agent
