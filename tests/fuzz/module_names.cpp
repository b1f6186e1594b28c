// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/module_names.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "tests/fuzz/target.h"

using namespace agent;

// The bytes are an ELF file; the last 16 are also eight addresses to ask for.
AGENT_FUZZ_TARGET(module_names) {
  // A root without any file that could be meant: only the input is read.
  static const UniqueFd root(::open("/proc/self/fdinfo", O_PATH | O_CLOEXEC));
  const ElfSource source(fuzz::ShareBytes(input));
  ModuleNames names(source, "/srv/f", root);
  if (!names.readable()) return;
  for (const std::uint64_t address : {0ull, 0x1000ull, 0x1004ull, ~0ull}) {
    (void)names.Find(ElfAddress{address});
  }
  const auto last = input.last(std::min<std::size_t>(input.size(), 16));
  for (std::size_t i = 0; i + 2 <= last.size(); i += 2) {
    std::uint16_t address = 0;
    std::memcpy(&address, last.data() + i, sizeof(address));
    (void)names.Find(ElfAddress{address});
  }
}
