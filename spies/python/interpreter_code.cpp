// SPDX-License-Identifier: Apache-2.0
#include "spies/python/interpreter_code.h"

#include <algorithm>
#include <array>

namespace agent::python {
namespace {

constexpr std::string_view kEval = "_PyEval_EvalFrameDefault";

// An interpreter of tail calls (3.14) is no loop in one function, but a function for each
// instruction: it leaves kEval at once, and stands in theirs.
constexpr std::string_view kInstruction = "_TAIL_CALL_";
constexpr std::uint64_t kLeastLoop = 8192;  // bytes; the loops of 3.7 to 3.15 have more than 20,000

// Python/ceval.c, pythonrun.c, Modules/main.c, Objects/call.c, typeobject.c, genobject.c,
// methodobject.c, descrobject.c, classobject.c of CPython 3.7 to 3.15.
constexpr std::array<std::string_view, 38> kPlumbing = {
    "_PyEval_",
    "PyEval_",
    "_PyFunction_",
    "function_code_fastcall",
    "call_function",
    "_Py_UnixMain",
    "PyObject_Call",
    "_PyObject_Call",
    "_PyObject_FastCall",
    "_PyObject_MakeTpCall",
    "PyObject_Vectorcall",
    "_PyObject_Vectorcall",
    "PyVectorcall_",
    "_PyVectorcall_",
    "_PyStack_",
    "_PyMethodDef_RawFastCall",
    "_PyMethodDescr_",
    "_PyCFunction_",
    "cfunction_",
    "method_vectorcall",
    "method_call",
    kInstruction,  // of those that it has
    "slot_",
    "vectorcall_",
    "type_call",
    "object_vacall",
    "callmethod",
    "gen_send_ex",
    "gen_iternext",
    "run_mod",
    "run_eval_code_obj",
    "pyrun_",
    "_PyRun_",
    "PyRun_",
    "pymain_",
    "Py_RunMain",
    "Py_BytesMain",
    "Py_Main",
};

}  // namespace

NativeKind KindOf(std::string_view function) {
  if (function.starts_with(kEval)) {
    const std::string_view rest = function.substr(kEval.size());
    if (rest.empty() || rest.front() == '.') return NativeKind::kEval;
  }
  const bool is_plumbing = std::ranges::any_of(
      kPlumbing, [&](std::string_view start) { return function.starts_with(start); });
  return is_plumbing ? NativeKind::kPlumbing : NativeKind::kOther;
}

InterpreterCode::InterpreterCode(const ElfFile& file) {
  std::uint64_t largest_eval = 0;
  bool has_instructions = false;
  file.VisitFunctions([&](std::string_view name, const ElfRange& range) {
    const NativeKind kind = KindOf(name);
    if (kind == NativeKind::kOther || range.size == 0) return;
    const auto start = static_cast<std::uint64_t>(range.address);
    ranges_.push_back({.start = start, .end = start + range.size, .kind = kind});
    if (kind == NativeKind::kEval) largest_eval = std::max(largest_eval, range.size);
    has_instructions |= name.starts_with(kInstruction);
  });
  // Debian's 3.14 and 3.15 are of tail calls, and stripped of the names.
  has_eval_ = largest_eval >= kLeastLoop || (largest_eval > 0 && has_instructions);
  std::ranges::sort(ranges_, {}, &Range::start);
}

NativeKind InterpreterCode::At(ElfAddress address) const {
  const auto wanted = static_cast<std::uint64_t>(address);
  const auto after = std::ranges::upper_bound(ranges_, wanted, {}, &Range::start);
  if (after == ranges_.begin()) return NativeKind::kOther;
  const Range& range = *std::prev(after);
  return wanted < range.end ? range.kind : NativeKind::kOther;
}

}  // namespace agent::python
