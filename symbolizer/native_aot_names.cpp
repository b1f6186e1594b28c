// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/native_aot_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "agent/base/path.h"

namespace agent {
namespace {

using dotnet::MethodParts;
using dotnet::StateMachine;
using Texts = std::vector<std::string>;

constexpr int kMaxNesting = 16;  // of types as arguments of types
constexpr std::size_t kMaxSymbol = 4096;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameChar(char c) {
  return IsDigit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// "5", "5_0"; "5_0_1" where the last is a number of parameters.
bool IsOrdinal(std::string_view text, int most = 2) {
  for (int i = 0; i < most; ++i) {
    const std::size_t end = std::min(text.find('_'), text.size());
    if (end == 0 || !std::ranges::all_of(text.substr(0, end), IsDigit)) return false;
    if (end == text.size()) return true;
    text.remove_prefix(end + 1);
  }
  return false;
}

// A part of a name: begins with a letter, has no two underscores in a row and none at its end.
bool IsPlain(std::string_view text) {
  return !text.empty() && !IsDigit(text.front()) && text.front() != '_' && text.back() != '_' &&
         text.find("__") == std::string_view::npos && std::ranges::all_of(text, IsNameChar);
}

// As the compiler does it. Other characters than ASCII's are no letters to it; they are counted in
// units of UTF-16.
std::string Mangled(std::string_view name) {
  std::string mangled;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 && byte < 0xc0) continue;  // not the first byte of a character
    if (mangled.empty() && IsDigit(c)) mangled += '_';
    mangled += IsNameChar(c) ? c : '_';
    if (byte >= 0xf0) mangled += '_';
  }
  return mangled;
}

/// "head<inner>"
struct Instance {
  std::string_view head;
  std::optional<std::string_view> inner;
};

// Nothing where the brackets do not match.
std::optional<Instance> SplitInstance(std::string_view text) {
  if (!text.ends_with('>')) return Instance{text, std::nullopt};
  std::size_t depth = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] == '>') ++depth;
    if (text[i] == '<' && --depth == 0) {
      return Instance{text.substr(0, i), text.substr(i + 1, text.size() - i - 2)};
    }
  }
  return std::nullopt;
}

// "<Foo>b__5_0" of "_Foo_b__5_0", "<Foo>g__Inner|5_0" of "_Foo_g__Inner_5_0": what stands for a
// lambda and a local function.
std::optional<std::string> CompilersMethod(std::string_view text) {
  if (!text.starts_with('_')) return std::nullopt;
  text.remove_prefix(1);
  const auto outer = [](std::string_view name) -> std::optional<std::string> {
    if (name == "_Main__") return "<Main>$";  // of top-level statements
    return IsPlain(name) ? std::optional<std::string>(name) : std::nullopt;
  };
  if (const std::size_t at = text.rfind("_b__"); at != std::string_view::npos) {
    const auto name = outer(text.substr(0, at));
    const std::string_view ordinal = text.substr(at + 4);
    if (name && IsOrdinal(ordinal)) return fmt::format("<{}>b__{}", *name, ordinal);
  }
  const std::size_t at = text.rfind("_g__");
  if (at == std::string_view::npos) return std::nullopt;
  const auto name = outer(text.substr(0, at));
  const std::string_view rest = text.substr(at + 4);
  // Two numbers at the end; what is left is the function's name.
  const std::size_t second = rest.rfind('_');
  const std::size_t first = second == std::string_view::npos || second == 0
                                ? std::string_view::npos
                                : rest.rfind('_', second - 1);
  if (!name || first == std::string_view::npos || !IsOrdinal(rest.substr(first + 1)) ||
      !IsPlain(rest.substr(0, first))) {
    return std::nullopt;
  }
  return fmt::format("<{}>g__{}|{}", *name, rest.substr(0, first), rest.substr(first + 1));
}

/// A type that the compiler made, and the text of the type around it.
struct Nested {
  std::string_view outer;
  std::string name;
};

// Outer+<>c, Outer+<>c__DisplayClass5_0.
std::optional<Nested> SplitClosure(std::string_view head) {
  const std::size_t at = head.rfind("___c");
  if (at == std::string_view::npos || at == 0) return std::nullopt;
  std::string_view rest = head.substr(at + 4);
  std::string name = fmt::format("<>c{}", rest);
  if (!rest.empty()) {
    if (!rest.starts_with("__")) return std::nullopt;
    rest.remove_prefix(2);
    constexpr std::string_view kDisplay = "DisplayClass";
    if (rest.starts_with(kDisplay)) rest.remove_prefix(kDisplay.size());
    if (!IsOrdinal(rest, 3)) return std::nullopt;
  }
  return Nested{head.substr(0, at), std::move(name)};
}

// Outer+<Foo>d__5, Outer+<<Foo>b__5_0>d.
std::optional<Nested> SplitStateMachine(std::string_view head) {
  if (const std::size_t at = head.rfind("_d__");
      at != std::string_view::npos && IsOrdinal(head.substr(at + 4), 3)) {
    std::string_view name = head.substr(0, at);
    constexpr std::string_view kTopLevel = "___Main__";  // "<<Main>$>d__0"
    if (name.ends_with(kTopLevel)) {
      name.remove_suffix(kTopLevel.size());
      return Nested{name, fmt::format("<<Main>$>d__{}", head.substr(at + 4))};
    }
    const std::size_t begin = name.rfind("__");
    if (begin == std::string_view::npos || !IsPlain(name.substr(begin + 2))) return std::nullopt;
    return Nested{name.substr(0, begin),
                  fmt::format("<{}>d__{}", name.substr(begin + 2), head.substr(at + 4))};
  }
  if (!head.ends_with("_d")) return std::nullopt;
  // The separator, and two brackets.
  const std::size_t begin = head.rfind("___", head.size() - 2);
  if (begin == std::string_view::npos) return std::nullopt;
  const auto method = CompilersMethod(head.substr(begin + 2, head.size() - begin - 4));
  if (!method) return std::nullopt;
  return Nested{head.substr(0, begin), fmt::format("<{}>d", *method)};
}

std::string_view FirstPart(std::string_view text) { return text.substr(0, text.find('_')); }

// What is in front of "_rest"; the rest keeps something.
std::optional<std::string_view> TakePart(std::string_view text, std::string_view part) {
  if (part.empty() || text.size() < part.size() + 2 || !text.starts_with(part) ||
      text[part.size()] != '_') {
    return std::nullopt;
  }
  return text.substr(part.size() + 1);
}

// Nothing where the assembly is one of the library's, but not known.
std::optional<std::string_view> WithoutAssembly(std::string_view text, std::string_view own) {
  if (const auto rest = TakePart(text, own)) return rest;
  if (text.starts_with("S_P_")) {
    constexpr std::array<std::string_view, 10> kLibrary = {"S_P_CoreLib",
                                                           "S_P_TypeLoader",
                                                           "S_P_Reflection_Execution",
                                                           "S_P_StackTraceMetadata",
                                                           "S_P_StackTraceGenerator",
                                                           "S_P_DisabledReflection",
                                                           "S_P_Uri",
                                                           "S_P_Xml_Linq",
                                                           "S_P_Xml",
                                                           "S_P_DataContractSerialization"};
    for (const std::string_view assembly : kLibrary) {
      if (const auto rest = TakePart(text, assembly)) return rest;
    }
    return std::nullopt;
  }
  // "System_Console_System_ConsoleKeyInfo": the vendor's name begins the assembly's and again the
  // namespace.
  const std::string_view first = FirstPart(text);
  if (first == "System" || first == "Microsoft") {
    const std::size_t again = text.find(fmt::format("_{}_", first), first.size());
    return again == std::string_view::npos ? text : text.substr(again + 1);
  }
  for (std::size_t end = text.find('_'); end != std::string_view::npos;
       end = text.find('_', end + 1)) {
    const std::string_view assembly = text.substr(0, end);
    const std::string_view rest = text.substr(end + 1);
    if (rest == assembly || TakePart(rest, assembly)) return rest;
  }
  return text;
}

// Types that the compiler writes without a namespace.
std::optional<std::string_view> Primitive(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 19> kPrimitives = {
      {{"Bool", "Boolean"},
       {"Char", "Char"},
       {"Int8", "SByte"},
       {"UInt8", "Byte"},
       {"Int16", "Int16"},
       {"UInt16", "UInt16"},
       {"Int32", "Int32"},
       {"UInt32", "UInt32"},
       {"Int64", "Int64"},
       {"UInt64", "UInt64"},
       {"IntPtr", "IntPtr"},
       {"UIntPtr", "UIntPtr"},
       {"Single", "Single"},
       {"Double", "Double"},
       {"Object", "Object"},
       {"String", "String"},
       {"Void", "Void"},
       {"System___Canon", "__Canon"},
       {"System___UniversalCanon", "__UniversalCanon"}}};
  const auto* const found =
      std::ranges::find(kPrimitives, text, &std::pair<std::string_view, std::string_view>::first);
  if (found == kPrimitives.end()) return std::nullopt;
  return found->second;
}

class Reader {
 public:
  explicit Reader(std::string_view own) : own_(own) {}

  // Namespace, types and type arguments.
  bool ReadType(std::string_view text, MethodParts& parts, int nesting) const {
    if (const auto primitive = Primitive(text)) {
      parts.name_space = "System";
      parts.types.emplace_back(*primitive);
      return true;
    }
    const auto instance = SplitInstance(text);
    if (!instance) return false;
    std::string_view head = instance->head;
    Texts made;  // innermost first
    if (instance->inner) {
      auto arguments = ReadArguments(*instance->inner, nesting + 1);
      if (!arguments) return false;
      parts.type_arguments = *std::move(arguments);
    }
    for (int i = 0; i < kMaxNesting; ++i) {
      auto nested = SplitClosure(head);
      if (!nested) nested = SplitStateMachine(head);
      if (!nested) break;
      head = nested->outer;
      made.push_back(std::move(nested->name));
    }
    if (!ReadPlain(head, made, parts)) return false;
    parts.types.insert(parts.types.end(), made.rbegin(), made.rend());
    return true;
  }

  std::optional<Texts> ReadArguments(std::string_view text, int nesting) const {
    if (nesting > kMaxNesting) return std::nullopt;
    Texts arguments;
    for (std::string_view piece : SplitArguments(text)) {
      auto argument = ReadArgument(piece, nesting);
      if (!argument) return std::nullopt;
      arguments.push_back(*std::move(argument));
    }
    return arguments;
  }

 private:
  // Between types stands "__", which may also be in one. What is left over is no type, and fails.
  static std::vector<std::string_view> SplitArguments(std::string_view text) {
    std::vector<std::string_view> pieces;
    std::size_t begin = 0;
    std::size_t depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '<') ++depth;
      if (text[i] == '>' && depth > 0) --depth;
      if (depth > 0 || !text.substr(i).starts_with("__")) continue;
      const std::string_view piece = text.substr(begin, i - begin);
      if (!IsSeparator(piece, text.substr(i))) continue;
      pieces.push_back(piece);
      begin = i + 2;
      i = begin - 1;
    }
    pieces.push_back(text.substr(begin));
    return pieces;
  }

  static bool IsSeparator(std::string_view before, std::string_view from) {
    if (before.empty() || before.back() == '_' || from.size() < 3) return false;
    const char behind = from[2];
    if (before.ends_with("_g") && before.find("___") != std::string_view::npos) return false;
    // The compiler's: "<>c", "<>c__DisplayClass5_0", "<Foo>d__5", "<<Foo>b__5_0>d".
    if (behind == '_' || IsDigit(behind)) return false;
    if (before.ends_with("___c") && from.starts_with("__DisplayClass")) return false;
    const std::string_view next = from.substr(2, from.find_first_of("<>", 2) - 2);
    const std::size_t end = next.find("__");
    return end == std::string_view::npos || !next.substr(0, end).ends_with("_d") ||
           end + 2 >= next.size() || !IsDigit(next[end + 2]);
  }

  std::optional<std::string> ReadArgument(std::string_view text, int nesting) const {
    if (const auto primitive = Primitive(text)) return std::string(*primitive);
    const auto instance = SplitInstance(text);
    if (!instance) return std::nullopt;
    if (instance->inner && instance->head == "__Array") {
      auto element = ReadArguments(*instance->inner, nesting + 1);
      if (!element || element->size() != 1) return std::nullopt;
      return fmt::format("{}[]", element->front());
    }
    if (instance->inner && (*instance->inner == "Pointer" || *instance->inner == "ByRef")) {
      if (nesting > kMaxNesting) return std::nullopt;
      const auto element = ReadArgument(instance->head, nesting + 1);
      if (!element) return std::nullopt;
      return fmt::format("{}{}", *element, *instance->inner == "Pointer" ? '*' : '&');
    }
    MethodParts parts;
    if (!ReadType(text, parts, nesting)) return std::nullopt;
    const std::string name = dotnet::SourceTypeName(parts.types, parts.type_arguments);
    return parts.name_space.empty() ? name : fmt::format("{}.{}", parts.name_space, name);
  }

  // What is around the types in `made`. The first of these gets its number of parameters.
  bool ReadPlain(std::string_view head, Texts& made, MethodParts& parts) const {
    if (const auto rest = TakePart(head, own_); rest == "_Module_" && made.empty()) {
      parts.types.emplace_back("<Module>");
      return true;
    }
    if (!IsPlain(head)) return false;
    const auto plain = WithoutAssembly(head, own_);
    if (!plain) return false;
    Texts names;
    std::size_t parameters = 0;
    std::size_t first_generic = std::string::npos;
    for (std::size_t begin = 0; begin <= plain->size();) {
      const std::size_t end = std::min(plain->find('_', begin), plain->size());
      const std::string_view name = plain->substr(begin, end - begin);
      begin = end + 1;
      if (!IsDigit(name.front())) {
        names.emplace_back(name);
        continue;
      }
      // No name begins so: it is the number of a type's parameters, or behind a real underscore.
      if (names.empty()) return false;
      const bool is_arity = !parts.type_arguments.empty() && IsOrdinal(name) && name.size() < 3;
      names.back() += fmt::format("{}{}", is_arity ? '`' : '_', name);
      if (!is_arity) continue;
      parameters += static_cast<std::size_t>(std::stoi(std::string(name)));
      first_generic = std::min(first_generic, names.size() - 1);
    }
    if (parameters != parts.type_arguments.size() &&
        !GiveParameters(made, parts.type_arguments.size() - parameters)) {
      return false;
    }
    const std::size_t first_type = std::min(first_generic, names.size() - 1);
    for (std::size_t i = 0; i < first_type; ++i) {
      parts.name_space += fmt::format("{}{}", i == 0 ? "" : ".", names[i]);
    }
    parts.types.assign(names.begin() + static_cast<std::ptrdiff_t>(first_type), names.end());
    return true;
  }

  // "<Foo>d__5_1" is "<Foo>d__5`1".
  static bool GiveParameters(Texts& made, std::size_t count) {
    const std::string number = fmt::format("_{}", count);
    for (std::string& name : made) {
      if (!name.ends_with(number)) continue;
      name[name.size() - number.size()] = '`';
      return true;
    }
    return false;
  }

  std::string_view own_;
};

/// A symbol's two halves, and the method's own arguments.
struct Halves {
  std::string_view type;
  std::string method;
  std::optional<std::string_view> arguments;
};

std::optional<Halves> SplitAt(const Instance& instance, std::string_view mangled,
                              std::string method) {
  std::string_view type = instance.head;
  if (!type.ends_with(mangled)) {
    // One of several methods with this name: they are numbered.
    const std::size_t number = type.find_last_not_of("0123456789");
    if (number == std::string_view::npos || number + 1 == type.size() || type[number] != '_') {
      return std::nullopt;
    }
    type = type.substr(0, number);
    if (!type.ends_with(mangled)) return std::nullopt;
  }
  type.remove_suffix(mangled.size());
  if (!type.ends_with("__")) return std::nullopt;
  type.remove_suffix(2);
  return Halves{type, std::move(method), instance.inner};
}

std::optional<Halves> SplitByName(std::string_view symbol, const std::string& method) {
  const auto instance = SplitInstance(symbol);
  if (!instance) return std::nullopt;
  return SplitAt(*instance, Mangled(method), method);
}

std::optional<Halves> SplitByText(std::string_view symbol) {
  const auto instance = SplitInstance(symbol);
  if (!instance) return std::nullopt;
  for (const std::string_view method : {".ctor", ".cctor"}) {
    if (auto halves = SplitAt(*instance, Mangled(method), std::string(method))) return halves;
  }
  const std::string_view head = instance->head;
  // Not inside of the type's own arguments.
  const std::size_t behind_type =
      head.rfind('>') == std::string_view::npos ? 0 : head.rfind('>') + 1;
  if (const std::size_t at = head.rfind("___"); at != std::string_view::npos && at >= behind_type) {
    if (auto method = CompilersMethod(head.substr(at + 2))) {
      return Halves{head.substr(0, at), *std::move(method), instance->inner};
    }
  }
  const std::size_t at = head.rfind("__");
  if (at == std::string_view::npos || at < behind_type) return std::nullopt;
  const std::string_view method = head.substr(at + 2);
  if (!IsPlain(method)) return std::nullopt;
  return Halves{head.substr(0, at), std::string(method), instance->inner};
}

}  // namespace

std::string AotMethodName(std::string_view symbol, const AotMethod& method,
                          std::string_view own_assembly) {
  // A stub in front of a method of a boxed value says so.
  if (symbol.size() > kMaxSymbol || symbol.starts_with("unbox_")) return std::string(symbol);
  auto halves = method.name.empty() ? SplitByText(symbol) : SplitByName(symbol, method.name);
  if (!halves) return std::string(symbol);
  const Reader reader(own_assembly);
  MethodParts parts;
  if (!reader.ReadType(halves->type, parts, 0)) return std::string(symbol);
  parts.method = std::move(halves->method);
  if (halves->arguments) {
    auto arguments = reader.ReadArguments(*halves->arguments, 0);
    if (!arguments) return std::string(symbol);
    parts.method_arguments = *std::move(arguments);
  }
  parts.state_machine = method.state_machine == StateMachine::kNone ? StateMachine::kOfSomeKind
                                                                    : method.state_machine;
  return dotnet::SourceMethodName(parts);
}

std::string AotAssemblyOf(std::string_view path) {
  std::string_view name = BaseName(path);
  if (name.ends_with(".so")) name.remove_suffix(3);
  return Mangled(name);
}

}  // namespace agent
