// SPDX-License-Identifier: Apache-2.0
// Where the interpreter's structures hold their fields: one table per minor version before 3.13,
// read from the process itself since.
#pragma once

#include <cstdint>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"

namespace agent::python {

/// PY_VERSION_HEX: 0x030c01f0 is 3.12.1 final.
struct Version {
  std::uint32_t hex = 0;
  [[nodiscard]] constexpr unsigned major() const { return hex >> 24; }
  [[nodiscard]] constexpr unsigned minor() const { return hex >> 16 & 0xff; }
  [[nodiscard]] constexpr unsigned micro() const { return hex >> 8 & 0xff; }
};

/// Byte offsets into the structures of one CPython version on a 64-bit machine.
struct Layout {
  struct Runtime {  // _PyRuntimeState
    std::uint32_t interpreters_head;
  } runtime;
  struct Interpreter {  // PyInterpreterState
    std::uint32_t id;
    std::uint32_t next;
    std::uint32_t threads_head;
  } interpreter;
  struct Thread {  // PyThreadState
    std::uint32_t next;
    std::uint32_t interp;
    /// 3.11 and 3.12: pointer to the _PyCFrame that holds the current frame; later: the current
    /// frame itself.
    std::uint32_t frame;
    bool frame_is_in_cframe;
    std::uint32_t cframe_current_frame;
    std::uint32_t native_thread_id;
  } thread;
  struct Frame {  // _PyInterpreterFrame
    std::uint32_t size;
    std::uint32_t previous;
    std::uint32_t executable;
    std::uint32_t instruction;
    std::uint32_t owner;
    /// 3.12 and later: a frame with this owner or a greater one marks an entry from C and runs no
    /// Python code. 3.11 has none: 0xff, and `is_entry` tells instead.
    std::uint8_t first_shim_owner;
    std::uint32_t is_entry;  ///< 3.11 only; 0 else.
  } frame;
  struct Code {  // PyCodeObject
    std::uint32_t first_line;
    std::uint32_t filename;
    std::uint32_t name;
    std::uint32_t qualname;
    std::uint32_t line_table;
    std::uint32_t instructions;  ///< co_code_adaptive
    /// 3.11 only, 0 else: co_warmup and _co_linearray_entry_size, four bytes before line_table that
    /// change while the code runs.
    std::uint32_t warmup = 0;
  } code;
  struct Unicode {  // PyUnicodeObject
    std::uint32_t length;
    std::uint32_t state;
    std::uint32_t ascii_data;
    std::uint32_t compact_data;
  } unicode;
  struct Bytes {  // PyBytesObject
    std::uint32_t size;
    std::uint32_t data;
  } bytes;
};

/// The layout of a version before 3.13; null for one that there is no table for.
[[nodiscard]] const Layout* TableLayout(Version version);

/// Reads and validates _Py_DebugOffsets, the first bytes of _PyRuntime
/// (Include/internal/pycore_debug_offsets.h). kUnsupported for a form that is not known, kMalformed
/// when the offsets cannot be true.
[[nodiscard]] Result<Layout> ReadDebugOffsets(ProcessMemory& memory, RemoteAddress runtime);

/// The version in the debug offsets; kUnsupported where there are none (before 3.13).
[[nodiscard]] Result<Version> ReadDebugOffsetsVersion(ProcessMemory& memory, RemoteAddress runtime);

}  // namespace agent::python
