// SPDX-License-Identifier: Apache-2.0
#include "agent/profile/dotnet_text.h"

#include "tests/support/catch.h"

using agent::dotnet::MethodParts;
using agent::dotnet::RawMethodName;
using agent::dotnet::RawTypeName;
using agent::dotnet::SourceMethodName;
using agent::dotnet::SourceTypeName;
using agent::dotnet::StateMachine;

namespace {

using Texts = std::vector<std::string>;

constexpr auto kNone = StateMachine::kNone;
constexpr auto kAsync = StateMachine::kAsync;
constexpr auto kIterator = StateMachine::kIterator;
constexpr auto kAsyncIterator = StateMachine::kAsyncIterator;

struct Shape {
  Texts types;
  std::string method;
  std::string source;
  StateMachine state_machine = kNone;
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ wants it where it is left out.
  Texts type_arguments = {};
  // NOLINTNEXTLINE(readability-redundant-member-init)
  Texts method_arguments = {};
};

void CheckShapes(std::initializer_list<Shape> shapes) {
  for (const Shape& shape : shapes) {
    const MethodParts parts{"Ns",
                            shape.types,
                            shape.type_arguments,
                            shape.method,
                            shape.method_arguments,
                            shape.state_machine};
    INFO(RawMethodName(parts));
    CHECK(SourceMethodName(parts) == "Ns." + shape.source);
  }
}

std::string SourceOf(const std::string& name_space, const Texts& types, const std::string& method) {
  return SourceMethodName({name_space, types, {}, method, {}, kNone});
}

}  // namespace

TEST_CASE("a method's name as the metadata has it") {
  CHECK(RawMethodName({"Ns", {"Outer", "Inner`1"}, {"A", "B"}, "Method", {"C"}, kNone}) ==
        "Ns.Outer+Inner`1[A,B].Method[C]");
  CHECK(RawMethodName({"Ns", {"T", "<Foo>d__5"}, {}, "MoveNext", {}, kAsync}) ==
        "Ns.T+<Foo>d__5.MoveNext");
  CHECK(RawMethodName({"", {"T"}, {}, ".ctor", {}, kNone}) == "T..ctor");
  CHECK(RawMethodName({"", {}, {}, "IL_STUB_PInvoke", {}, kNone}) == "IL_STUB_PInvoke");
  CHECK(RawTypeName("Ns", Texts{"Outer", "Inner`1"}, Texts{"A", "B"}) == "Ns.Outer+Inner`1[A,B]");
  CHECK(RawTypeName("", Texts{"T"}, {}) == "T");
}

TEST_CASE("generic arguments stand at the type that has the parameters") {
  CheckShapes({
      {{"List`1"}, "Add", "List<String>.Add", kNone, {"String"}},
      {{"Dictionary`2", "Enumerator"},
       "MoveNext",
       "Dictionary<String, Int32>.Enumerator.MoveNext",
       kNone,
       {"String", "Int32"}},
      {{"Nested`1", "Deep`2"}, "M", "Nested<A>.Deep<B, C>.M<D>", kNone, {"A", "B", "C"}, {"D"}},
      {{"Plain", "Nested`1", "S"}, "M", "Plain.Nested<A>.S.M", kNone, {"A"}},
      {{"T"}, "M", "T.M<A, B>", kNone, {}, {"A", "B"}},
      // Not known, and not as many as the names say.
      {{"Dictionary`2", "Enumerator"}, "M", "Dictionary.Enumerator.M", kNone, {}},
      {{"Outer`1", "Inner`1"}, "M", "Outer.Inner<A>.M", kNone, {"A"}},
      {{"Outer`1", "Inner"}, "M", "Outer.Inner<A, B>.M", kNone, {"A", "B"}},
      {{"closure@12"}, "Invoke", "closure@12<A>.Invoke", kNone, {"A"}},
      // Not a number of parameters.
      {{"Odd`"}, "M", "Odd`.M"},
      {{"Odd`0"}, "M", "Odd`0.M"},
      {{"Odd`1x"}, "M", "Odd`1x.M"},
      {{"Odd`99999"}, "M", "Odd`99999.M"},
      {{"`1"}, "M", "`1.M"},
  });
}

// The shapes below are what the C# compiler of SDK 10.0.401 makes.
TEST_CASE("state machines are called as the method that they were made of") {
  CheckShapes({
      {{"Plain", "<Async>d__31"}, "MoveNext", "Plain.Async (async)", kAsync},
      {{"Plain", "<Async>d__31"}, "SetStateMachine", "Plain.Async.SetStateMachine (async)", kAsync},
      {{"Plain", "<AsyncGen>d__33`1"}, "MoveNext", "Plain.AsyncGen<X> (async)", kAsync, {"X"}},
      {{"Gen`1", "<A>d__1"}, "MoveNext", "Gen<X>.A (async)", kAsync, {"X"}},
      {{"Plain", "Nested`1", "Deep`2", "<A>d__1`1"},
       "MoveNext",
       "Plain.Nested<A>.Deep<B, C>.A<D> (async)",
       kAsync,
       {"A", "B", "C", "D"}},
      {{"Plain", "Str", "<A>d__0"}, "MoveNext", "Plain.Str.A (async)", kAsync},
      {{"Plain", "<Iter>d__28"}, "MoveNext", "Plain.Iter (iterator)", kIterator},
      {{"Plain", "<Iter>d__28"}, ".ctor", "Plain.Iter..ctor (iterator)", kIterator},
      {{"Plain", "<Iter>d__28"},
       "System.IDisposable.Dispose",
       "Plain.Iter.Dispose (iterator)",
       kIterator},
      {{"Plain", "<IterGen>d__58`1"},
       "System.Collections.Generic.IEnumerable<T>.GetEnumerator",
       "Plain.IterGen<X>.GetEnumerator (iterator)",
       kIterator,
       {"X"}},
      {{"Plain", "<IterTor>d__29"},
       "<>m__Finally1",
       "Plain.IterTor.<>m__Finally1 (iterator)",
       kIterator},
      {{"Plain", "<AsyncIter>d__34"},
       "MoveNext",
       "Plain.AsyncIter (async iterator)",
       kAsyncIterator},
      {{"Plain", "<AsyncIter>d__34"},
       "System.Collections.Generic.IAsyncEnumerator<System.Int32>.MoveNextAsync",
       "Plain.AsyncIter.MoveNextAsync (async iterator)",
       kAsyncIterator},
      // Of an explicit interface implementation: dots are dashes.
      {{"Plain", "<System-Collections-Generic-IEnumerable<System-Int32>-GetEnumerator>d__27"},
       "MoveNext",
       "Plain.System.Collections.Generic.IEnumerable<System.Int32>.GetEnumerator (iterator)",
       kIterator},
      {{"Program", "<<Main>$>d__0"}, "MoveNext", "Program.Main (async)", kAsync},
      // Changed by Hot Reload.
      {{"Plain", "<Async>d__31#1"}, "MoveNext", "Plain.Async (async)", kAsync},
  });
}

TEST_CASE("lambdas are called as the method that they stand in") {
  CheckShapes({
      {{"Plain", "<>c"}, "<Lambda>b__36_0", "Plain.Lambda (lambda)"},
      {{"Plain", "<>c"}, "<.ctor>b__0_0", "Plain..ctor (lambda)"},
      {{"Plain", "<>c"}, "<.cctor>b__1_1", "Plain..cctor (lambda)"},
      {{"Plain", "<>c"}, "<get_Prop>b__10_0", "Plain.get_Prop (lambda)"},
      {{"Plain", "<>c"}, "<Shapes.IFoo.get_P>b__7_0", "Plain.Shapes.IFoo.get_P (lambda)"},
      {{"Plain"}, "<LambdaThis>b__37_0", "Plain.LambdaThis (lambda)"},
      {{"Plain", "<>c__DisplayClass38_0"}, "<Closure>b__0", "Plain.Closure (lambda)"},
      {{"Plain", "<>c__DisplayClass39_1"}, "<LambdaInLambda>b__1", "Plain.LambdaInLambda (lambda)"},
      {{"Plain", "<>c__DisplayClass8_0"},
       "<Shapes.IGen<System.Collections.Generic.List<System.String>>.Get>b__0",
       "Plain.Shapes.IGen<System.Collections.Generic.List<System.String>>.Get (lambda)"},
      {{"Plain", "<>c__60`1"},
       "<LambdaGenNoCap>b__60_0",
       "Plain.LambdaGenNoCap<X> (lambda)",
       kNone,
       {"X"}},
      {{"Plain", "<>c__DisplayClass59_0`1"},
       "<LambdaGen>b__0",
       "Plain.LambdaGen<X> (lambda)",
       kNone,
       {"X"}},
      {{"Gen`1", "<>c"}, "<L>b__3_0", "Gen<X>.L (lambda)", kNone, {"X"}},
      {{"Plain", "Nested`1", "Deep`2", "<>c__DisplayClass2_0"},
       "<L>b__0",
       "Plain.Nested<A>.Deep<B, C>.L (lambda)",
       kNone,
       {"A", "B", "C"}},
      {{"Plain", "<>c", "<<AsyncLambda>b__41_0>d"},
       "MoveNext",
       "Plain.AsyncLambda (lambda, async)",
       kAsync},
      {{"Plain", "<<AsyncLambdaThis>b__42_0>d"},
       "MoveNext",
       "Plain.AsyncLambdaThis (lambda, async)",
       kAsync},
      {{"Plain", "<>c__DisplayClass44_1", "<<AsyncInLambda>b__1>d"},
       "MoveNext",
       "Plain.AsyncInLambda (lambda, async)",
       kAsync},
      {{"Gen`1", "<>c", "<<AL>b__4_0>d"}, "MoveNext", "Gen<X>.AL (lambda, async)", kAsync, {"X"}},
      {{"Program", "<>c__DisplayClass0_0"}, "<<Main>$>b__3", "Program.Main (lambda)"},
      {{"Plain", "<>c"}, "<Lambda>b__36_0#2", "Plain.Lambda (lambda)"},
  });
}

TEST_CASE("local functions stand behind the method that has them") {
  CheckShapes({
      {{"Plain"}, "<Local>g__Inner|45_0", "Plain.Local.Inner"},
      {{"Program"}, "<Main>g__Inner|0_2", "Program.Main.Inner"},
      {{"Program"}, "<<Main>$>g__TopStatic|0_1", "Program.Main.TopStatic<X>", kNone, {}, {"X"}},
      {{"Plain"}, "<LocalGen>g__Inner|49_0", "Plain.LocalGen.Inner<T, U>", kNone, {}, {"T", "U"}},
      {{"Plain", "<>c__DisplayClass47_0"},
       "<LocalAsDelegate>g__Inner|0",
       "Plain.LocalAsDelegate.Inner"},
      {{"Plain", "<>c__DisplayClass1_0`1"},
       "<Outer>g__Inner|0",
       "Plain.Outer.Inner<T, U>",
       kNone,
       {"T"},
       {"U"}},
      {{"Plain", "<<LocalAsyncStatic>g__Inner|51_0>d"},
       "MoveNext",
       "Plain.LocalAsyncStatic.Inner (async)",
       kAsync},
      {{"Plain", "<>c__DisplayClass52_0", "<<LocalIter>g__Inner|0>d"},
       "System.IDisposable.Dispose",
       "Plain.LocalIter.Inner.Dispose (iterator)",
       kIterator},
      {{"Program", "<>c__DisplayClass0_0", "<<<Main>$>g__TopAsync|2>d"},
       "MoveNext",
       "Program.Main.TopAsync (async)",
       kAsync},
      {{"Gen`1", "<<ALoc>g__In|6_0>d"}, "MoveNext", "Gen<X>.ALoc.In (async)", kAsync, {"X"}},
  });
}

TEST_CASE("top-level statements, and types that are of one file only") {
  CHECK(SourceOf("", {"Program"}, "<Main>$") == "Program.Main");
  const std::string file =
      "<Program>F47CF586B9055555B49FC9A44CB8F1D6D0EB1CA2B6C74427E95AAE197CDCF5830__";
  CheckShapes({
      {{file + "FileLocal"}, "M", "FileLocal.M"},
      {{file + "FileLocal", "Inner"}, "N", "FileLocal.Inner.N"},
      {{file + "FileGen`1"}, "M", "FileGen<X>.M", kNone, {"X"}},
      {{file + "FileLocal", "<A>d__2"}, "MoveNext", "FileLocal.A (async)", kAsync},
      {{file + "FileLocal", "<>c__DisplayClass3_0"}, "<L>b__0", "FileLocal.L (lambda)"},
      {{"<Program>F1__Old"}, "M", "Old.M"},
  });
}

TEST_CASE("names that no rule matches wholly stay as they are") {
  const Texts kept_methods = {
      ".ctor",
      ".cctor",
      "get_X",
      "op_Addition",
      "Finalize",
      "<Clone>$",
      "<>n__0",
      "<Main>",
      "<Extension>$",
      "System.Collections.IEnumerable.GetEnumerator",
      "System.Collections.Generic.IEnumerable<System.Int32>.GetEnumerator",
      // Nearly a lambda, a local function, or what holds them.
      "<Foo>b__",
      "<Foo>b__x",
      "<Foo>b__1_",
      "<Foo>b__1_2_3",
      "<Foo>b__1_0#",
      "<Foo>b__1_0x",
      "<Foo>b_1",
      "<>b__1_0",
      "<Foob__1_0",
      "<<Foo>b__1_0",
      "<<Foo>x>b__1_0",
      "x<Foo>b__1_0",
      "<Foo>g__|0_0",
      "<Foo>g__Inner",
      "<Foo>g__Inner|",
      "<Foo>g__Inner|x",
      "<Foo>g_Inner|0_0",
      "<Foo>d__5",
      "<Foo>h__1",
      "<",
      ">",
      "<>",
      "",
      "><",
      "<<<<",
      ">>>>",
      "<Main>$x",
  };
  for (const std::string& method : kept_methods) {
    CHECK(SourceOf("Ns", {"Type"}, method) == "Ns.Type." + method);
    CHECK(SourceOf("Ns", {"Type", "<>c"}, method) == "Ns.Type.<>c." + method);
  }
  const Texts kept_types = {
      "<PrivateImplementationDetails>",
      "<Module>",
      "<>f__AnonymousType0",
      "<>y__InlineArray4",
      "<>z__ReadOnlyArray",
      "<G>$34505F560D9EACF86A87F3ED1F85E448",
      "<Foo>F__Name",
      "<Foo>F12__",
      "<Foo>F1x__Name",
      "<>F1__Name",
      "<Foo>F1_Name",
      "Foo>F1__Name",
      "<StartupCode$FSharp-Build>",
      // Nearly a state machine.
      "<Foo>d__",
      "<Foo>d__x",
      "<Foo>d",
      "<Foo>d__5_",
      "<>d__5",
      "<<Foo>x__5>d",
      "<<Foo>b__>d",
      "<<Foo>b__0>d__1",
      "<Foo>e__5",
  };
  for (const std::string& type : kept_types) {
    const MethodParts parts{"Ns", {"Type", type}, {}, "MoveNext", {}, kAsync};
    CHECK(SourceMethodName(parts) == "Ns.Type." + type + ".MoveNext");
    CHECK(SourceTypeName(Texts{"Type", type}, {}) == "Type." + type);
  }
  CheckShapes({
      {{"<>f__AnonymousType0`2"}, "get_A", "<>f__AnonymousType0<X, Y>.get_A", kNone, {"X", "Y"}},
      // The name alone, or the interface alone.
      {{"Plain", "<Async>d__31"}, "MoveNext", "Plain.<Async>d__31.MoveNext"},
      {{"List`1", "Enumerator"}, "MoveNext", "List<X>.Enumerator.MoveNext", kIterator, {"X"}},
      {{"<Async>d__31"}, "MoveNext", "<Async>d__31.MoveNext", kAsync},
      // Nearly a closure.
      {{"Plain", "<>cx"}, "<Foo>b__0", "Plain.<>cx.Foo (lambda)"},
      {{"Plain", "<>c__x"}, "<Foo>b__0", "Plain.<>c__x.Foo (lambda)"},
      {{"<>c"}, "<Foo>b__0_0", "<>c.Foo (lambda)"},
      {{"Plain", "<>c"}, ".cctor", "Plain.<>c..cctor"},
  });
}

TEST_CASE("methods without a type or a namespace") {
  CHECK(SourceOf("", {}, "IL_STUB_PInvoke") == "IL_STUB_PInvoke");
  CHECK(SourceOf("Ns", {}, "f") == "f");
  CHECK(SourceOf("", {"dynamicClass"}, "InvokeStub_X.set_Name") ==
        "dynamicClass.InvokeStub_X.set_Name");
  CHECK(SourceOf("", {}, "<Foo>b__0_0") == "Foo (lambda)");
  CHECK(SourceOf("", {}, "").empty());
}

TEST_CASE("types as arguments have no namespace") {
  CHECK(SourceTypeName(Texts{"String"}, {}) == "String");
  CHECK(SourceTypeName(Texts{"List`1"}, Texts{"String"}) == "List<String>");
  CHECK(SourceTypeName(Texts{"Dictionary`2", "Enumerator"}, Texts{"A", "B"}) ==
        "Dictionary<A, B>.Enumerator");
  CHECK(SourceTypeName(Texts{"Work", "<AsyncLeaf>d__12`1"}, Texts{"__Canon"}) ==
        "Work.AsyncLeaf<__Canon>");
  CHECK(SourceTypeName(Texts{"Program", "<<Main>$>d__0"}, {}) == "Program.Main");
  CHECK(SourceTypeName(Texts{"Gen`1", "<>c", "<<AL>b__4_0>d"}, Texts{"X"}) == "Gen<X>.AL (lambda)");
  CHECK(SourceTypeName(Texts{"Plain", "<>c__DisplayClass5_0"}, {}) == "Plain.<>c__DisplayClass5_0");
  CHECK(SourceTypeName(Texts{}, {}).empty());
}
