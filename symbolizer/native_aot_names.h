// SPDX-License-Identifier: Apache-2.0
// Names of .NET programs that were compiled ahead of time (NativeAOT).
#pragma once

#include <string>
#include <string_view>

#include "agent/profile/dotnet_text.h"

namespace agent {

/// What NativeAOT's debug information says of a method beside its symbol.
struct AotMethod {
  std::string name;  ///< As the metadata has it: ".cctor", "<Main>b__1_0"; "" when unknown.
  dotnet::StateMachine state_machine = dotnet::StateMachine::kNone;  ///< Of its type.
};

/// A symbol such as "shares_Truth_Work__Count<Int64>" as the source would say it, in the form of
/// dotnet::SourceMethodName: "Truth.Work.Count<Int64>". The mangled text (ILCompiler,
/// NativeAotNameMangler.cs) is assembly, namespace and types with all that is no letter or digit as
/// "_", then "__" and the method. What it cannot tell:
///
/// - An underscore in a namespace or type becomes a dot. Of an overload the number ("_0") goes only
///   where `method` tells that it is one.
/// - The assembly goes where it is known: `own_assembly`, the library's own (S_P_CoreLib), and
/// where
///   the namespace repeats it. Another one stays, as if it were a part of the namespace.
/// - Types in angle brackets have their namespaces.
///
/// A symbol that does not wholly follow from these rules is returned as it is.
[[nodiscard]] std::string AotMethodName(std::string_view symbol, const AotMethod& method,
                                        std::string_view own_assembly);

/// The assembly of a program or library, by its file: "/app/My.Server" is "My_Server" in symbols.
[[nodiscard]] std::string AotAssemblyOf(std::string_view path);

}  // namespace agent
