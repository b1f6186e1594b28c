// SPDX-License-Identifier: Apache-2.0
// Where the interpreter's structures hold their fields: one table per minor version before 3.13
// (layout_tables.cpp), read from the process itself since (debug_offsets.h).
#pragma once

#include <cstdint>
#include <string>

namespace agent::python {

/// PY_VERSION_HEX: 0x030c01f0 is 3.12.1 final.
struct Version {
  std::uint32_t hex = 0;
  [[nodiscard]] constexpr unsigned major() const { return hex >> 24; }
  [[nodiscard]] constexpr unsigned minor() const { return hex >> 16 & 0xff; }
  [[nodiscard]] constexpr unsigned micro() const { return hex >> 8 & 0xff; }
  /// The last byte says what kind of release it is: a to f is alpha, beta, candidate, final; 0
  /// where only the minor version is known.
  [[nodiscard]] constexpr unsigned level() const { return hex >> 4 & 0xf; }
  /// "3.12.1", "3.15.0b2", or "3.8".
  [[nodiscard]] std::string Text() const;
};

/// The forms of a code object's line table.
enum class LineFormat : std::uint8_t {
  kPairs,      ///< co_lnotab, 3.9 and older: (bytes of code, change of line).
  kRanges,     ///< co_linetable of 3.10: the same, but for the code before (PEP 626).
  kLocations,  ///< co_linetable since 3.11, with columns (Objects/locations.md).
};

/// Where instances of classes written in Python have their attributes
/// (Include/internal/pycore_object.h).
enum class ObjectForm : std::uint8_t {
  kDictOnly,      ///< 3.10 and older: in the dict at tp_dictoffset.
  kValuesBeside,  ///< 3.11: pointers to values and dict before the object.
  kTaggedValues,  ///< 3.12: one such pointer, to the values less 1 or to the dict.
  kInlineValues,  ///< 3.13 and later: a pointer to the dict, or the values behind the object.
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
    /// uint64_t: goes up whenever one of its code objects is freed. 0 before 3.14.
    std::uint32_t code_generation = 0;
  } interpreter;
  struct Thread {  // PyThreadState
    std::uint32_t next;
    std::uint32_t interp;
    /// 3.11 and 3.12: pointer to the _PyCFrame that holds the current frame; later: the current
    /// frame itself.
    std::uint32_t frame;
    bool frame_is_in_cframe;
    std::uint32_t cframe_current_frame;
    std::uint32_t native_thread_id;  ///< 0 before 3.11, which keeps thread_id only.
    std::uint32_t thread_id = 0;     ///< pthread_t
  } thread;
  struct Frame {  // _PyInterpreterFrame; PyFrameObject before 3.11
    std::uint32_t size;
    std::uint32_t previous;
    std::uint32_t executable;
    /// Pointer to the instruction. Before 3.11 f_lasti: an int, its index.
    std::uint32_t instruction;
    std::uint32_t owner;
    /// 3.12 and later: a frame with this owner or a greater one marks an entry from C and runs no
    /// Python code. 3.11 has none: 0xff, and `is_entry` tells instead.
    std::uint8_t first_shim_owner;
    std::uint32_t is_entry;        ///< 3.11 only; 0 else.
    std::uint8_t tag_bits = 0;     ///< Of `executable`, no part of the address (_PyStackRef, 3.14).
    std::uint32_t tlbc_index = 0;  ///< Which copy of the bytecode it runs; 0: there is one only.
    /// Before 3.11: objects on the heap, each of which has the address of its caller's.
    bool is_linked = false;
    /// Of f_lasti: bytes to an index, 1 before 3.10, 2 (code units) in 3.10.
    std::uint8_t bytes_per_index = 2;
  } frame;
  struct Code {  // PyCodeObject
    std::uint32_t first_line;
    std::uint32_t filename;
    std::uint32_t name;
    std::uint32_t qualname;  ///< Before 3.11, which has none: that of `name`.
    std::uint32_t line_table;
    std::uint32_t instructions;  ///< co_code_adaptive; 0 before 3.11: counted from there.
    /// 3.11 only, 0 else: co_warmup and _co_linearray_entry_size, four bytes before line_table that
    /// change while the code runs.
    std::uint32_t warmup = 0;
    /// Free-threaded builds since 3.14: pointer to the threads' own copies of the bytecode,
    /// _PyCodeArray {Py_ssize_t size; char* entries[]}; 0 else.
    std::uint32_t tlbc = 0;
    LineFormat line_format = LineFormat::kLocations;
  } code;
  struct Unicode {  // PyUnicodeObject
    std::uint32_t length;
    std::uint32_t state;
    std::uint32_t ascii_data;
    std::uint32_t compact_data;
    /// Of `state`: the bit behind `interned`, where kind:3, compact:1 and ascii:1 are.
    std::uint32_t kind_bit = 2;
  } unicode;
  struct Bytes {  // PyBytesObject
    std::uint32_t size;
    std::uint32_t data;
  } bytes;
  struct Gil {  // All 0 where it cannot be told, and in free-threaded builds.
    /// Up to 3.11, in _PyRuntimeState: gilstate.tstate_current, ceval.gil.switch_number.
    std::uint32_t runtime_holder = 0;
    std::uint32_t runtime_switches = 0;
    /// Later: pointer to a struct _gil_runtime_state in PyInterpreterState, and its fields.
    std::uint32_t interpreter_gil = 0;
    std::uint32_t last_holder = 0;
    std::uint32_t locked = 0;
    [[nodiscard]] bool IsKnown() const { return runtime_holder != 0 || interpreter_gil != 0; }
  } gil;
  struct Gc {                                  // struct _gc_runtime_state in PyInterpreterState
    std::uint32_t interpreter_collecting = 0;  ///< 0: collections are not shown.
    std::uint32_t interpreter_frame = 0;       ///< 3.15: the frame that the collection began in.
  } gc;
  struct Names {                            // What the names of threads are found by.
    std::uint32_t interpreter_modules = 0;  ///< sys.modules; 0: names are not read.
    ObjectForm objects = ObjectForm::kDictOnly;
    /// How far before an object the pointer to its dict is; not of kDictOnly.
    std::uint32_t dict_before = 0;
    /// PyHeapTypeObject.ht_cached_keys: the keys of an object that has values and no dict.
    std::uint32_t cached_keys = 0;
    /// Of PyDictValues, before the values.
    [[nodiscard]] std::uint32_t ValuesHeader() const {
      return objects == ObjectForm::kInlineValues ? 8 : 0;
    }
  } names;
  struct Coroutine {                    // PyCoroObject; all 0 before 3.14
    std::uint32_t frame = 0;            ///< Its _PyInterpreterFrame, in it.
    std::uint32_t state = 0;            ///< A byte, an enum _framestate.
    std::uint32_t frame_stack_top = 0;  ///< In the frame: pointer to behind its last value.
    /// FRAME_SUSPENDED_YIELD_FROM, and how far below the top what is awaited is then.
    std::uint8_t awaits = 0;
    std::uint8_t awaited_below_top = 0;
  } coroutine;
  /// PyObject, its last field ob_type. 32 in free-threaded builds.
  std::uint32_t object_size = 16;
};

/// The layout of a version before 3.13; null for one that there is no table for.
[[nodiscard]] const Layout* TableLayout(Version version);

}  // namespace agent::python
