// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/demangle.h"

#include <libiberty/demangle.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <optional>

namespace agent {
namespace {

constexpr std::size_t kMaxMangled = 16u << 10;
// Substitutions let a short name unfold exponentially; libiberty itself has no such limit.
constexpr std::size_t kMaxReadable = 16u << 10;

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || (static_cast<unsigned char>(c) & 0x80) != 0;
}

// Takes what libiberty prints, and leaves it by a jump once it is too long. The frames in between
// are C, and of the callback variants: they own no memory but their stack's.
struct Printer {
  std::jmp_buf too_long;
  std::array<char, kMaxReadable> text;
  std::size_t size;
};

extern "C" void AgentPrintDemangled(const char* text, std::size_t size, void* opaque) {
  auto* printer = static_cast<Printer*>(opaque);
  if (size > kMaxReadable - printer->size) std::longjmp(printer->too_long, 1);
  std::copy_n(text, size, printer->text.data() + printer->size);
  printer->size += size;
}

using Decoder = int (*)(const char*, int, demangle_callbackref, void*);

// No object with a destructor may live here: it is jumped to.
bool Print(Decoder decode, const char* mangled, int options, Printer* printer) {
  printer->size = 0;
  if (setjmp(printer->too_long) != 0) return false;
  return decode(mangled, options, AgentPrintDemangled, printer) != 0 && printer->size > 0;
}

std::optional<std::string> Decode(Decoder decode, const std::string& mangled, int options) {
  Printer printer;
  if (!Print(decode, mangled.c_str(), options, &printer)) return std::nullopt;
  return std::string(printer.text.data(), printer.size);
}

// Without ".llvm.1234": a hash that differs from build to build.
std::string_view WithoutLlvmSuffix(std::string_view name) {
  const std::size_t place = name.rfind(".llvm.");
  if (place == std::string_view::npos || place == 0) return name;
  const std::string_view digits = name.substr(place + 6);
  const bool numeric = std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  return numeric ? name.substr(0, place) : name;
}

// The position behind the bracket that closes the one at `start`; nothing when none does.
// Brackets of one kind are matched; for angle brackets, parentheses are passed over as a whole.
std::optional<std::size_t> BehindGroup(std::string_view text, std::size_t start, char open,
                                       char close) {
  std::size_t depth = 0;
  std::size_t parentheses = 0;
  for (std::size_t i = start; i < text.size(); ++i) {
    const char c = text[i];
    if (open == '<') {
      if (c == '(') ++parentheses;
      if (c == ')' && parentheses > 0) --parentheses;
      if (parentheses > 0 || (c == '>' && text[i - 1] == '-')) continue;
    }
    if (c == open) ++depth;
    if (c == close && --depth == 0) return i + 1;
  }
  return std::nullopt;
}

// Copies a readable name without the parts that tell overloads and instances apart.
class Simplifier {
 public:
  Simplifier(std::string_view text, bool rust) : text_(text), rust_(rust) {}

  std::string Run() {
    while (position_ < text_.size()) {
      if (!Step()) return std::string(text_);
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::string_view Rest() const { return text_.substr(position_); }

  void Copy(std::size_t count) {
    out_ += text_.substr(position_, count);
    position_ += count;
  }

  // False when the text is not what it should be.
  bool Step() {
    const char c = text_[position_];
    if (!rust_ && CopyOperator()) return true;
    if (c == '<') return Angle();
    if (c == '{') ++braces_;
    if (c == '}' && braces_ > 0) --braces_;
    if (!rust_ && braces_ == 0) {
      if (c == '(') return Parenthesis();
      if (Rest().starts_with("[abi:")) return Skip('[', ']');
      if (Rest().starts_with(" [clone ")) return SkipAll();
    }
    Copy(1);
    return true;
  }

  // `operator<` and its like are no brackets. libiberty puts a space before template arguments
  // that would join with the operator: `operator<< <int>`.
  bool CopyOperator() {
    constexpr std::string_view kWord = "operator";
    constexpr std::array<std::string_view, 13> kTokens = {
        "<=>", "<<=", ">>=", "->*", "()", "[]", "<<", ">>", "<=", ">=", "->", "<", ">"};
    if (!Rest().starts_with(kWord) || (!out_.empty() && IsNameChar(out_.back()))) return false;
    const std::string_view behind = Rest().substr(kWord.size());
    for (const std::string_view token : kTokens) {
      if (!behind.starts_with(token)) continue;
      Copy(kWord.size() + token.size());
      if (Rest().starts_with(" <")) ++position_;
      after_operator_ = true;
      return true;
    }
    return false;
  }

  bool Angle() {
    constexpr std::string_view kBeforeType = " (,&*<";
    const bool names_type = out_.empty() || kBeforeType.find(out_.back()) != std::string::npos;
    if (names_type && !after_operator_) {
      Copy(1);
      return true;
    }
    after_operator_ = false;
    // Rust's `Vec::<T>::new`.
    if (rust_ && out_.ends_with("::")) out_.resize(out_.size() - 2);
    return Skip('<', '>');
  }

  bool Parenthesis() {
    constexpr std::string_view kAnonymous = "(anonymous namespace)";
    after_operator_ = false;
    if (Rest().starts_with(kAnonymous)) {
      Copy(kAnonymous.size());
      return true;
    }
    if (!Skip('(', ')')) return false;
    for (const std::string_view word : {" const", " volatile", " &&", " &"}) {
      if (Rest().starts_with(word)) position_ += word.size();
    }
    return true;
  }

  bool Skip(char open, char close) {
    const auto behind = BehindGroup(text_, position_, open, close);
    if (!behind) return false;
    position_ = *behind;
    return true;
  }

  bool SkipAll() {
    position_ = text_.size();
    return true;
  }

  std::string_view text_;
  bool rust_;
  std::size_t position_ = 0;
  std::size_t braces_ = 0;
  bool after_operator_ = false;  // just copied: what follows cannot begin a type
  std::string out_;
};

}  // namespace

bool IsMangled(std::string_view name) {
  return name.starts_with("_Z") || name.starts_with("_R") || name.starts_with("_GLOBAL_");
}

std::string_view WithoutCloneSuffixes(std::string_view name) {
  name = WithoutLlvmSuffix(name);
  constexpr std::array<std::string_view, 6> kSuffixes = {".isra", ".constprop", ".part",
                                                         ".cold", ".lto_priv",  ".localalias"};
  std::size_t shortest = name.size();
  for (const std::string_view suffix : kSuffixes) {
    const std::size_t place = name.find(suffix, 1);
    if (place == std::string_view::npos) continue;
    const std::size_t next = place + suffix.size();
    if (next == name.size() || name[next] == '.') shortest = std::min(shortest, place);
  }
  return name.substr(0, shortest);
}

std::string SimplifyCpp(std::string_view readable) { return Simplifier(readable, false).Run(); }
std::string SimplifyRust(std::string_view readable) { return Simplifier(readable, true).Run(); }

std::string DemangleName(std::string_view name, Demangle how) {
  if (how == Demangle::kNone) return std::string(name);
  constexpr std::string_view kPlt = "@plt";
  if (name.ends_with(kPlt)) {
    name.remove_suffix(kPlt.size());
    return DemangleName(name, how).append(kPlt);
  }
  const bool simplify = how == Demangle::kSimplified;
  if (!IsMangled(name) || name.size() > kMaxMangled) {
    return std::string(simplify ? WithoutCloneSuffixes(name) : name);
  }
  const std::string mangled(WithoutLlvmSuffix(name));
  // Rust first: its legacy scheme is C++'s with a hash at the end, which is left out.
  if (const auto text = Decode(rust_demangle_callback, mangled, 0)) {
    return simplify ? SimplifyRust(*text) : *text;
  }
  const int options = simplify ? 0 : DMGL_PARAMS | DMGL_ANSI;
  if (const auto text = Decode(cplus_demangle_v3_callback, mangled, options)) {
    return simplify ? SimplifyCpp(*text) : *text;
  }
  return std::string(name);
}

}  // namespace agent
