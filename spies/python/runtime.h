// SPDX-License-Identifier: Apache-2.0
// Finding the Python runtime in a process: by symbol or by section, never by file name.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "agent/base/error.h"
#include "agent/elf/elf_file.h"
#include "agent/process/target_process.h"
#include "spies/mapped_files.h"
#include "spies/python/interpreter_code.h"
#include "spies/python/layout.h"

namespace agent::python {

/// Null where the file does not tell.
struct RuntimeLocation {
  RemoteAddress runtime;     ///< _PyRuntime; null before 3.7.
  RemoteAddress version;     ///< Py_Version, 3.11 and later.
  RemoteAddress code_type;   ///< PyCode_Type
  RemoteAddress frame_type;  ///< PyFrame_Type
  /// Major and minor by the functions that a version brought, before 3.11; 0 else.
  Version before_311;
  RemoteAddress variables;  ///< .bss, where the text of sys.version is.
  std::uint64_t variables_size = 0;
  Mapping code;  ///< Of the file that holds the runtime.
};

/// Looks through the executable mappings of a process.
class RuntimeLocator {
 public:
  /// Nothing when no mapped file holds a runtime.
  Result<std::optional<RuntimeLocation>> Locate(TargetProcess& process);
  /// _AsyncioDebug (3.14 and later): in the runtime's file, or in that of a module which is loaded
  /// when it is imported. Nothing while there is none.
  Result<std::optional<RemoteAddress>> LocateAsyncio(TargetProcess& process);
  /// The functions of the file that holds the runtime.
  std::shared_ptr<const InterpreterCode> CodeOf(TargetProcess& process,
                                                const RuntimeLocation& location);

 private:
  struct FileFacts {
    bool has_runtime = false;
    std::optional<ElfAddress> runtime;
    std::optional<ElfAddress> version;
    std::optional<ElfAddress> code_type;
    std::optional<ElfAddress> frame_type;
    Version before_311;
    std::optional<ElfRange> variables;
    std::optional<ElfAddress> asyncio;
    std::optional<ElfFile> file;
    std::shared_ptr<const InterpreterCode> code;
  };
  static void Inspect(ElfFile file, FileFacts& facts);

  MappedFiles<FileFacts> files_{"python"};
};

}  // namespace agent::python
