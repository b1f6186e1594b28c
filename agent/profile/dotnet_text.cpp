// SPDX-License-Identifier: Apache-2.0
// The compiler's names: Roslyn,
// src/Compilers/CSharp/Portable/Symbols/Synthesized/GeneratedNames.cs; each form here was seen in
// what SDK 10.0.401 compiles.
#include "agent/profile/dotnet_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace agent::dotnet {
namespace {

using Texts = std::span<const std::string>;

std::string Join(Texts texts, std::string_view between) {
  std::string joined;
  for (const std::string& text : texts) {
    if (!joined.empty()) joined += between;
    joined += text;
  }
  return joined;
}

std::string InAngles(Texts arguments) {
  return arguments.empty() ? "" : fmt::format("<{}>", Join(arguments, ", "));
}

std::string InBrackets(Texts arguments) {
  return arguments.empty() ? "" : fmt::format("[{}]", Join(arguments, ","));
}

bool TakeText(std::string_view& text, std::string_view start) {
  if (!text.starts_with(start)) return false;
  text.remove_prefix(start.size());
  return true;
}

bool TakeDigits(std::string_view& text, std::string_view digits = "0123456789") {
  const std::size_t end = std::min(text.find_first_not_of(digits), text.size());
  text.remove_prefix(end);
  return end > 0;
}

// "5", "5_0"; behind it "#1" if Hot Reload made it.
bool IsOrdinal(std::string_view text) {
  if (!TakeDigits(text)) return false;
  if (TakeText(text, "_") && !TakeDigits(text)) return false;
  if (TakeText(text, "#") && !TakeDigits(text)) return false;
  return text.empty();
}

/// "<what>rest".
struct Bracketed {
  std::string_view what;
  std::string_view rest;
};

std::optional<Bracketed> SplitBracketed(std::string_view name) {
  if (!name.starts_with('<')) return std::nullopt;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>' && --depth == 0) return Bracketed{name.substr(1, i - 1), name.substr(i + 1)};
  }
  return std::nullopt;
}

/// What the programmer wrote.
struct Origin {
  std::string method;  ///< "Foo", "Foo.Inner".
  bool lambda = false;
};

// The method around a lambda, a local function or a state machine.
std::optional<std::string> OuterMethod(std::string_view name) {
  if (name == "<Main>$") return "Main";  // of top-level statements
  if (name.empty() || name.starts_with('<')) return std::nullopt;
  return std::string(name);
}

std::optional<Origin> OriginOfMethod(std::string_view name) {
  const auto split = SplitBracketed(name);
  if (!split) return std::nullopt;
  const auto outer = OuterMethod(split->what);
  if (!outer) return std::nullopt;
  std::string_view rest = split->rest;
  if (TakeText(rest, "b__")) {
    if (!IsOrdinal(rest)) return std::nullopt;
    return Origin{*outer, true};
  }
  if (!TakeText(rest, "g__")) return std::nullopt;
  const std::size_t bar = rest.find('|');
  if (bar == 0 || bar == std::string_view::npos || !IsOrdinal(rest.substr(bar + 1))) {
    return std::nullopt;
  }
  return Origin{*outer + "." + std::string(rest.substr(0, bar)), false};
}

std::optional<Origin> OriginOfStateMachine(std::string_view type) {
  const auto split = SplitBracketed(type);
  if (!split) return std::nullopt;
  std::optional<Origin> origin;
  std::string_view rest = split->rest;
  if (rest == "d") {
    origin = OriginOfMethod(split->what);
  } else if (TakeText(rest, "d__") && IsOrdinal(rest)) {
    if (auto outer = OuterMethod(split->what)) origin = Origin{*std::move(outer), false};
  }
  // In a type's name the compiler writes dots as dashes.
  if (origin) std::ranges::replace(origin->method, '-', '.');
  return origin;
}

// The types that hold what lambdas and local functions capture.
bool IsClosure(std::string_view type) {
  if (!TakeText(type, "<>c")) return false;
  if (type.empty()) return true;
  if (!TakeText(type, "__")) return false;
  TakeText(type, "DisplayClass");
  return IsOrdinal(type);
}

// "<File>F0123ABCD__Name": a type that is `file`.
std::string_view WithoutFile(std::string_view type) {
  const auto split = SplitBracketed(type);
  if (!split || split->what.empty()) return type;
  std::string_view rest = split->rest;
  if (!TakeText(rest, "F") || !TakeDigits(rest, "0123456789ABCDEF") || !TakeText(rest, "__") ||
      rest.empty()) {
    return type;
  }
  return rest;
}

/// One type of a chain.
struct Level {
  std::string_view name;  ///< Without the number of parameters.
  std::size_t arity = 0;  ///< Its own parameters.
  Texts arguments;
};

Level SplitArity(std::string_view type) {
  const std::size_t tick = type.rfind('`');
  if (tick == std::string_view::npos || tick == 0) return {type, 0, {}};
  const std::string_view digits = type.substr(tick + 1);
  std::uint16_t arity = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), arity);
  if (error != std::errc{} || end != digits.data() + digits.size() || arity == 0) {
    return {type, 0, {}};
  }
  return {type.substr(0, tick), arity, {}};
}

std::vector<Level> SplitLevels(Texts types, Texts arguments) {
  std::vector<Level> levels;
  std::size_t sum = 0;
  for (const std::string& type : types) {
    levels.push_back(SplitArity(type));
    sum += levels.back().arity;
  }
  if (levels.empty()) return levels;
  if (sum != arguments.size()) {
    // Not by these rules: nobody knows whose they are.
    levels.back().arguments = arguments;
    return levels;
  }
  for (Level& level : levels) {
    level.arguments = arguments.first(level.arity);
    arguments = arguments.subspan(level.arity);
  }
  return levels;
}

// Takes the last one off; its parameters are those of the method that it was made for.
void DropLast(std::vector<Level>& levels, std::vector<std::string>& method_arguments) {
  const Texts arguments = levels.back().arguments;
  method_arguments.insert(method_arguments.begin(), arguments.begin(), arguments.end());
  levels.pop_back();
}

void DropClosures(std::vector<Level>& levels, std::vector<std::string>& method_arguments) {
  while (levels.size() > 1 && IsClosure(levels.back().name)) DropLast(levels, method_arguments);
}

std::string JoinLevels(std::span<const Level> levels) {
  std::string text;
  for (const Level& level : levels) {
    if (!text.empty()) text += '.';
    text += WithoutFile(level.name);
    text += InAngles(level.arguments);
  }
  return text;
}

std::string_view KindOf(StateMachine state_machine) {
  switch (state_machine) {
    case StateMachine::kNone:
      return "";
    case StateMachine::kAsync:
      return "async";
    case StateMachine::kIterator:
      return "iterator";
    case StateMachine::kAsyncIterator:
      return "async iterator";
    case StateMachine::kOfSomeKind:
      return "state machine";
  }
  return "";
}

std::string Note(bool lambda, std::string_view kind) {
  std::vector<std::string> words;
  if (lambda) words.emplace_back("lambda");
  if (!kind.empty()) words.emplace_back(kind);
  return words.empty() ? "" : fmt::format(" ({})", Join(words, ", "));
}

// A state machine implements all but MoveNext for its interfaces: "System.IDisposable.Dispose".
std::string_view WithoutInterface(std::string_view method) {
  const std::size_t dot = method.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? method : method.substr(dot + 1);
}

void AppendWithDot(std::string& text, std::string_view more) {
  if (!text.empty()) text += '.';
  text += more;
}

}  // namespace

std::string RawTypeName(std::string_view name_space, Texts types, Texts arguments) {
  std::string text(name_space);
  AppendWithDot(text, Join(types, "+"));
  return text + InBrackets(arguments);
}

std::string RawMethodName(const MethodParts& parts) {
  std::string text;
  if (!parts.types.empty()) {
    text = RawTypeName(parts.name_space, parts.types, parts.type_arguments);
  }
  AppendWithDot(text, parts.method);
  return text + InBrackets(parts.method_arguments);
}

std::string SourceTypeName(Texts types, Texts arguments) {
  std::vector<Level> levels = SplitLevels(types, arguments);
  if (levels.size() < 2) return JoinLevels(levels);
  const auto origin = OriginOfStateMachine(levels.back().name);
  if (!origin) return JoinLevels(levels);
  std::vector<std::string> method_arguments;
  DropLast(levels, method_arguments);
  DropClosures(levels, method_arguments);
  return JoinLevels(levels) + "." + origin->method + InAngles(method_arguments) +
         Note(origin->lambda, "");
}

std::string SourceMethodName(const MethodParts& parts) {
  std::vector<Level> levels = SplitLevels(parts.types, parts.type_arguments);
  std::vector<std::string> arguments = parts.method_arguments;
  std::string method = parts.method;
  std::string note;
  std::string machine_method;
  std::optional<Origin> origin;
  if (parts.state_machine != StateMachine::kNone && levels.size() > 1) {
    origin = OriginOfStateMachine(levels.back().name);
  }
  if (origin) {
    DropLast(levels, arguments);
    note = Note(origin->lambda, KindOf(parts.state_machine));
    if (method != "MoveNext") machine_method = WithoutInterface(method);
  } else {
    origin = OriginOfMethod(method);
    if (origin) note = Note(origin->lambda, "");
  }
  if (origin) {
    DropClosures(levels, arguments);
    method = origin->method;
  } else if (const auto outer = OuterMethod(method)) {
    method = *outer;
  }

  std::string text = levels.empty() ? "" : parts.name_space;
  if (!levels.empty()) AppendWithDot(text, JoinLevels(levels));
  AppendWithDot(text, method + InAngles(arguments));
  if (!machine_method.empty()) AppendWithDot(text, machine_method);
  return text + note;
}

}  // namespace agent::dotnet
