// SPDX-License-Identifier: Apache-2.0
#include "spies/python/interpreter_code.h"

#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(interpreter_code) {
  const auto elf = ElfFile::OpenBytes(fuzz::ShareBytes(input));
  if (!elf) return;
  const python::InterpreterCode code(*elf);
  (void)code.At(elf->entry());
}
