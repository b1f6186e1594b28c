// SPDX-License-Identifier: Apache-2.0
// The text of a .NET method: as the metadata has it, or as the source would say it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agent::dotnet {

/// What a type is that the compiler made of a method (`<Foo>d__5`).
enum class StateMachine {
  kNone,
  kAsync,
  kIterator,
  kAsyncIterator,
  kOfSomeKind,  ///< Nothing tells which.
};

/// A method as the metadata and the runtime's structures have it.
struct MethodParts {
  std::string name_space;                   ///< Of the outermost type.
  std::vector<std::string> types;           ///< Outermost first: "Dictionary`2", "<Foo>d__5".
  std::vector<std::string> type_arguments;  ///< Of all levels, each already as text.
  std::string method;                       ///< "MoveNext", ".ctor", "<Main>g__Inner|0_2".
  std::vector<std::string> method_arguments;
  StateMachine state_machine = StateMachine::kNone;  ///< Of the innermost type.
};

/// "Ns.Outer+Inner`1[A,B].Method[C]".
[[nodiscard]] std::string RawMethodName(const MethodParts& parts);

/// What a programmer wrote, as far as the C# compiler's names tell it:
///   Ns.Dictionary<String, Int32>.Enumerator.MoveNext
///   Ns.Type.Foo (async)           a state machine's MoveNext; also (iterator), (async iterator),
///                                 (state machine)
///   Ns.Type.Foo.Dispose (iterator)  another of its methods
///   Ns.Type.Foo (lambda), Ns.Type.Foo (lambda, async)
///   Ns.Type.Foo.Inner             a local function
/// A name that no rule matches wholly stays as it is.
[[nodiscard]] std::string SourceMethodName(const MethodParts& parts);

/// The same for a type alone, as an argument: "Ns.Outer+Inner`1[A]", and "Outer.Inner<A>". The type
/// of a state machine is called as the method that it is made of.
[[nodiscard]] std::string RawTypeName(std::string_view name_space,
                                      std::span<const std::string> types,
                                      std::span<const std::string> arguments);
[[nodiscard]] std::string SourceTypeName(std::span<const std::string> types,
                                         std::span<const std::string> arguments);

}  // namespace agent::dotnet
