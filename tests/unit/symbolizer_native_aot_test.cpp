// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string>

#include "symbolizer/native_aot_names.h"
#include "tests/support/catch.h"

using namespace agent;
using dotnet::StateMachine;

namespace {

// Symbols of programs that SDK 10.0.401 compiled (tests/programs/dotnet, Shares and Chains as
// NativeAOT), with the names that their DWARF has beside the symbols.
struct Case {
  const char* symbol;
  const char* method;
  const char* readable;
  StateMachine state_machine = StateMachine::kNone;
};

constexpr std::array kWithDwarf = {
    Case{"shares_Truth_Work__Count<Int64>", "Count", "Truth.Work.Count<Int64>"},
    Case{"shares_Truth_Work__Count<System___Canon>", "Count", "Truth.Work.Count<__Canon>"},
    Case{"shares_Truth_Work___c__DisplayClass8_0___MakeLambda_b__0", "<MakeLambda>b__0",
         "Truth.Work.MakeLambda (lambda)"},
    Case{"shares_Truth_Work___cctor", ".cctor", "Truth.Work..cctor"},
    Case{"shares_Truth_Clock__clock_gettime", "clock_gettime", "Truth.Clock.clock_gettime"},
    Case{"shares_Truth_Chains__Cases_d__3__MoveNext", "MoveNext", "Truth.Chains.Cases (iterator)",
         StateMachine::kIterator},
    Case{"shares_Truth_Chains___AsyncLocalFunction_g__InnerAsync_89_1_d__MoveNext", "MoveNext",
         "Truth.Chains.AsyncLocalFunction.InnerAsync (async)", StateMachine::kAsync},
    Case{"shares_Truth_Chains__Inline1_d__82__MoveNext", "MoveNext",
         "Truth.Chains.Inline1 (state machine)"},
    Case{"shares_Truth_Holder_1<Int32>__Hold", "Hold", "Truth.Holder<Int32>.Hold"},
    Case{"shares_Truth_Chains__CallMake<shares_Truth_StructStep>", "CallMake",
         "Truth.Chains.CallMake<Truth.StructStep>"},
    Case{"shares__Module___MainMethodWrapper", "MainMethodWrapper", "<Module>.MainMethodWrapper"},
    Case{"String__CompareOrdinalHelper_0", "CompareOrdinalHelper",
         "System.String.CompareOrdinalHelper"},
    Case{"UInt8__ToString", "ToString", "System.Byte.ToString"},
    Case{"S_P_CoreLib_System_Number___TryFormatUInt32_g__TryFormatUInt32Slow_24_0<Char>",
         "<TryFormatUInt32>g__TryFormatUInt32Slow|24_0",
         "System.Number.TryFormatUInt32.TryFormatUInt32Slow<Char>"},
    Case{"S_P_CoreLib_System_Collections_Generic_Dictionary_2_Enumerator<Int32__System___Canon>"
         "__MoveNext",
         "MoveNext", "System.Collections.Generic.Dictionary<Int32, __Canon>.Enumerator.MoveNext"},
    Case{"S_P_CoreLib_System_Array__Resize<S_P_CoreLib_System_Collections_Generic_KeyValuePair_2<"
         "System___Canon__S_P_CoreLib_Internal_Reflection_Core_QScopeDefinition>>",
         "Resize",
         "System.Array.Resize<System.Collections.Generic.KeyValuePair<__Canon, "
         "Internal.Reflection.Core.QScopeDefinition>>"},
    Case{
        "S_P_CoreLib_System_Collections_Generic_List_1<System___Canon>__System_Collections_Generic_"
        "IEnumerable_T__GetEnumerator",
        "System.Collections.Generic.IEnumerable<T>.GetEnumerator",
        "System.Collections.Generic.List<__Canon>.System.Collections.Generic.IEnumerable<T>."
        "GetEnumerator"},
    Case{"S_P_CoreLib_System_Runtime_CompilerServices_AsyncTaskMethodBuilder_1_"
         "AsyncStateMachineBox_1<Int64__shares_Truth_Chains__Inline1_d__82>__MoveNext_0",
         "MoveNext",
         "System.Runtime.CompilerServices.AsyncTaskMethodBuilder<Int64>.AsyncStateMachineBox<"
         "Truth.Chains.Inline1>.MoveNext"},
    Case{"S_P_CoreLib_System_Runtime_CompilerServices_AsyncMethodBuilderCore__Start<"
         "shares_Truth_Chains___AsyncLocalFunction_g__InnerAsync_89_1_d>",
         "Start",
         "System.Runtime.CompilerServices.AsyncMethodBuilderCore.Start<"
         "Truth.Chains.AsyncLocalFunction.InnerAsync>"},
    Case{"System_Text_RegularExpressions_System_Text_RegularExpressions_Symbolic_DoublyLinkedList_1"
         "__GetEnumerator_d__12<System___Canon>__MoveNext",
         "MoveNext",
         "System.Text.RegularExpressions.Symbolic.DoublyLinkedList<__Canon>.GetEnumerator "
         "(iterator)",
         StateMachine::kIterator},
    Case{"System_Text_RegularExpressions_System_Threading_StackHelper___c__DisplayClass7_0_1<Int32>"
         "___CallOnEmptyStack_b__0",
         "<CallOnEmptyStack>b__0", "System.Threading.StackHelper.CallOnEmptyStack<Int32> (lambda)"},
    Case{"System_Console_System_ConsolePal___c___EnsureInitializedCore_b__108_0",
         "<EnsureInitializedCore>b__108_0", "System.ConsolePal.EnsureInitializedCore (lambda)"},
    Case{"S_P_Reflection_Execution_Internal_Reflection_Execution_AssemblyBinder__Bind_1", "Bind",
         "Internal.Reflection.Execution.AssemblyBinder.Bind"},
    Case{"Newtonsoft_Json_Newtonsoft_Json_Linq_JObject__Parse", "Parse",
         "Newtonsoft.Json.Linq.JObject.Parse"},
};

constexpr std::array kAlone = {
    Case{"shares_Truth_Work__Count<Int64>", "", "Truth.Work.Count<Int64>"},
    Case{"shares_Truth_Work___c__DisplayClass8_0___MakeLambda_b__0", "",
         "Truth.Work.MakeLambda (lambda)"},
    Case{"shares_Truth_Chains___LocalFunction_g__Inner_77_0", "",
         "Truth.Chains.LocalFunction.Inner"},
    Case{"shares_Truth_Work___cctor", "", "Truth.Work..cctor"},
    Case{"S_P_CoreLib_System_LazyHelper___ctor_0", "", "System.LazyHelper..ctor"},
    // Nothing says that this is no part of the name.
    Case{"S_P_CoreLib_System_Convert__ToString_32", "", "System.Convert.ToString_32"},
    Case{"S_P_CoreLib_System_Func_2<Int32__Int64>__InvokeOpenStaticThunk", "",
         "System.Func<Int32, Int64>.InvokeOpenStaticThunk"},
};

// Not by these rules, or not by them alone.
constexpr std::array kUnchanged = {
    "",
    "main",
    "RhResolveDispatch",
    "__GetGCStaticBase_shares_Truth_Work",
    "unbox_Int64__ToString",
    "<Boxed>S_P_CoreLib_System_Guid__<unbox>S_P_CoreLib_System_Guid____GetFieldHelper",
    "S_P_CoreLib_System_Attribute____GetFieldHelper",
    "S_P_CoreLib_System_Runtime___Finalizer__DrainQueue",
    "S_P_Unheard_System_Type__Method",
    "System_Collections_System_Collections_Generic_Stack_1<Int32>__System_Collections_Generic_"
    "IEnumerable_T__GetEnumerator",
    "shares_Truth_Work__Count<Int64",
    "shares_Truth_Work__Count<Int64>>",
    "shares_Truth_Work__Count<>",
    "shares_Truth_Pair_2<Int64>__Sum",
    "__",
    "____",
    "<>__<>",
    "_1__2",
};

}  // namespace

TEST_CASE("native AOT: a symbol and its method's name") {
  for (const Case& c : kWithDwarf) {
    CHECK(AotMethodName(c.symbol, {.name = c.method, .state_machine = c.state_machine}, "shares") ==
          c.readable);
  }
}

TEST_CASE("native AOT: a symbol alone") {
  for (const Case& c : kAlone) CHECK(AotMethodName(c.symbol, {}, "shares") == c.readable);
}

TEST_CASE("native AOT: what does not follow from the rules stays as it is") {
  for (const char* const symbol : kUnchanged) CHECK(AotMethodName(symbol, {}, "shares") == symbol);
  // Another method than the symbol says.
  CHECK(AotMethodName("shares_Truth_Work__Sort", {.name = "Text"}, "shares") ==
        "shares_Truth_Work__Sort");
}

TEST_CASE("native AOT: types in one another have a limit") {
  std::string symbol = "shares_Work__Do<";
  for (int i = 0; i < 100; ++i) symbol += "A_1<";
  symbol += "Int32";
  for (int i = 0; i < 101; ++i) symbol += ">";
  CHECK(AotMethodName(symbol, {.name = "Do"}, "shares") == symbol);
}

TEST_CASE("native AOT: the assembly of a file") {
  CHECK(AotAssemblyOf("/app/My.Server") == "My_Server");
  CHECK(AotAssemblyOf("/app/plugin.so") == "plugin");
  CHECK(AotAssemblyOf("/app/7zip-like") == "_7zip_like");
}
