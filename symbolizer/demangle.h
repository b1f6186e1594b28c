// SPDX-License-Identifier: Apache-2.0
// Readable names of C++ and Rust functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace agent {

enum class Demangle : std::uint8_t {
  kFull,        ///< `std::vector<int, std::allocator<int> >::push_back(int const&)`
  kSimplified,  ///< `std::vector::push_back`: no template arguments, parameters, clone suffixes
  kNone,        ///< As the file has it.
};

/// `name` made readable; what is not mangled (C++ of the Itanium ABI, Rust's legacy and v0 scheme)
/// or cannot be decoded within bounds is returned as it is. "@plt" and clone suffixes such as
/// ".isra.0" may follow the mangled name.
[[nodiscard]] std::string DemangleName(std::string_view name, Demangle how);

[[nodiscard]] bool IsMangled(std::string_view name);

/// `name` without what gcc and clang append to functions that they have cloned, split or renamed:
/// ".isra.0", ".cold", ".llvm.123", ...
[[nodiscard]] std::string_view WithoutCloneSuffixes(std::string_view name);

/// The readable name of a function without template arguments and parameters. Keeps what names a
/// function: `operator<<`, `operator()`, `{lambda(int)#1}`, `(anonymous namespace)`, Rust's
/// `<T as Trait>::f` and `{closure#0}`.
[[nodiscard]] std::string SimplifyCpp(std::string_view readable);
[[nodiscard]] std::string SimplifyRust(std::string_view readable);

}  // namespace agent
