// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "spies/python/mixed_stack.h"
#include "tests/support/catch.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr NativeKind kOther = NativeKind::kOther;
constexpr NativeKind kEval = NativeKind::kEval;
constexpr NativeKind kPlumbing = NativeKind::kPlumbing;

struct Fixture {
  FunctionTable functions;
  std::vector<NativeKind> kinds;
  std::vector<PythonFrame> python;

  // Native frames are named by where they stand: n0, n1, ...
  std::string Mix(bool* is_matched = nullptr) {
    Stack native;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      native.push_back({.function = functions.Marker("n" + std::to_string(i))});
    }
    const MixedStack mixed = MixStacks(native, kinds, python, functions.Marker("?"));
    if (is_matched != nullptr) *is_matched = mixed.is_matched;
    std::string text;
    for (const Frame& frame : mixed.stack) text += frame.function->name + ' ';
    return text;
  }
  void Add(const char* name, bool is_entry, bool is_hidden = false) {
    python.push_back({.frame = {.function = functions.Marker(name)},
                      .is_entry = is_entry,
                      .is_hidden = is_hidden});
  }
};

}  // namespace

TEST_CASE("Mixed stack: Python frames in the place of the calls that run them") {
  Fixture f;
  f.kinds = {kOther, kPlumbing, kEval, kOther, kPlumbing, kEval, kOther};
  f.Add("callback", true);
  f.Add("inner", false);
  f.Add("outer", true);
  CHECK(f.Mix() == "n0 callback n3 inner outer n6 ");
}

TEST_CASE("Mixed stack: a call of the interpreter that has no frame yet, or no more") {
  Fixture f;
  f.kinds = {kEval, kPlumbing, kOther, kEval, kOther};
  f.Add("inner", false);
  f.Add("outer", true);
  bool is_matched = false;
  CHECK(f.Mix(&is_matched) == "n2 inner outer n4 ");
  CHECK(is_matched);
}

TEST_CASE("Mixed stack: frames that are not shown count all the same") {
  Fixture f;
  f.kinds = {kEval, kOther, kEval};
  f.Add("imported", true);
  f.Add("machinery", true, true);
  CHECK(f.Mix() == "imported n1 ");
}

TEST_CASE("Mixed stack: threads that run no Python") {
  Fixture f;
  f.kinds = {kOther, kPlumbing, kOther};
  CHECK(f.Mix() == "n0 n2 ");
  f.kinds = {kOther, kEval, kOther};  // before its first frame
  CHECK(f.Mix() == "n0 n2 ");
}

TEST_CASE("Mixed stack: both parts stay where they do not match") {
  Fixture f;
  bool is_matched = true;
  SECTION("fewer calls than entries") {
    f.kinds = {kOther, kEval, kOther};
    f.Add("callback", true);
    f.Add("outer", true);
    CHECK(f.Mix(&is_matched) == "n0 ? callback outer ");
  }
  SECTION("more") {
    f.kinds = {kOther, kPlumbing, kEval, kOther, kEval, kEval, kOther};
    f.Add("outer", true);
    CHECK(f.Mix(&is_matched) == "n0 ? outer ");
  }
  SECTION("nothing above the interpreter") {
    f.kinds = {kEval, kEval, kEval};
    f.Add("outer", true);
    CHECK(f.Mix(&is_matched) == "outer ");
  }
  CHECK(!is_matched);
}

TEST_CASE("Interpreter code: kinds of functions") {
  CHECK(KindOf("_PyEval_EvalFrameDefault") == kEval);
  CHECK(KindOf("_PyEval_EvalFrameDefault.cold") == kEval);
  CHECK(KindOf("_PyEval_EvalFrameDefault.cold.123") == kEval);
  CHECK(KindOf("_TAIL_CALL_LOAD_FAST.llvm.123") == kPlumbing);
  CHECK(KindOf("_PyEval_EvalFrameDefaultly") == kPlumbing);
  CHECK(KindOf("_PyFunction_Vectorcall") == kPlumbing);
  CHECK(KindOf("pymain_run_file") == kPlumbing);
  CHECK(KindOf("list_sort") == kOther);
  CHECK(KindOf("Py_FinalizeEx") == kOther);
  CHECK(KindOf("") == kOther);
}
