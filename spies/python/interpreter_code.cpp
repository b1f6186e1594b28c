// SPDX-License-Identifier: Apache-2.0
#include "spies/python/interpreter_code.h"

#include <algorithm>
#include <array>

#include "spies/python/dispatch_code.h"

namespace agent::python {
namespace {

constexpr std::string_view kEval = "_PyEval_EvalFrameDefault";

// An interpreter of tail calls (3.14 and later, if built so) is no loop in one function, but a
// function for each instruction: kEval calls the first one, and they jump from one to the next.
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
  ElfRange largest_eval;
  bool has_instructions = false;
  std::vector<std::uint64_t> named;
  file.VisitFunctions([&](std::string_view name, const ElfRange& range) {
    named.push_back(static_cast<std::uint64_t>(range.address));
    const NativeKind kind = KindOf(name);
    if (kind == NativeKind::kOther || range.size == 0) return;
    Add(range, kind);
    if (kind == NativeKind::kEval && range.size > largest_eval.size) largest_eval = range;
    has_instructions |= name.starts_with(kInstruction);
  });
  std::ranges::sort(named);
  const DispatchCode dispatch =
      largest_eval.size > 0 ? FindDispatchCode(file, largest_eval.address, named) : DispatchCode();
  for (const ElfRange& part : dispatch.parts) Add(part, NativeKind::kEval);
  for (const ElfRange& handler : dispatch.handlers) Add(handler, NativeKind::kPlumbing);
  has_eval_ = largest_eval.size >= kLeastLoop || has_instructions || dispatch.has_table;
  std::ranges::sort(ranges_, {}, &Range::start);
}

void InterpreterCode::Add(const ElfRange& range, NativeKind kind) {
  const auto start = static_cast<std::uint64_t>(range.address);
  ranges_.push_back({.start = start, .end = start + range.size, .kind = kind});
}

NativeKind InterpreterCode::At(ElfAddress address) const {
  const auto wanted = static_cast<std::uint64_t>(address);
  const auto after = std::ranges::upper_bound(ranges_, wanted, {}, &Range::start);
  if (after == ranges_.begin()) return NativeKind::kOther;
  const Range& range = *std::prev(after);
  return wanted < range.end ? range.kind : NativeKind::kOther;
}

}  // namespace agent::python
