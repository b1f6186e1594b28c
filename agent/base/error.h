// SPDX-License-Identifier: Apache-2.0
// Errors as values: every fallible function of the agent returns Result<T>.
#pragma once

#include <concepts>
#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace agent {

/// What a caller can do about an error. Closed: callers switch over it without a `default`.
enum class Errc {
  kGone,          ///< The process or thread has ended (ESRCH): go on with the next one.
  kNotPermitted,  ///< The kernel refused (EPERM, EACCES): tell the user once, with the remedy.
  kUnreadable,    ///< Memory or a file could not be read in full: count it, one sample is lost.
  kTimeout,       ///< A deadline passed.
  kMalformed,     ///< Bytes of the target's world do not have the form that they should have.
  kUnsupported,   ///< Understood, but not something that this build can handle.
  kInvalid,       ///< The user's input is wrong: the text says what and how to mend it.
  kLimit,         ///< A bound of ours was reached.
  kSystem,        ///< Any other system call failure; see `sys_errno`.
};

/// An error. `what` points to a string with static storage; `detail` is for what is only known at
/// run time (a path, a value) and stays empty on hot paths. Text is made by Message(), not before.
struct Error {
  Errc code = Errc::kSystem;
  std::string_view what;
  int sys_errno = 0;  ///< errno of the failed call, or 0.
  std::string detail;

  /// "what: detail: strerror", leaving out empty parts.
  [[nodiscard]] std::string Message() const;
};

template <typename T>
using Result = std::expected<T, Error>;

/// An error from `errno` as it stands now: ESRCH is kGone, EPERM and EACCES are kNotPermitted,
/// EFAULT and EIO kUnreadable, anything else kSystem.
[[nodiscard]] Error ErrnoError(std::string_view what, std::string detail = {});

/// The same as a value to return: `return Fail(Errc::kMalformed, "string too long");`
[[nodiscard]] inline std::unexpected<Error> Fail(Errc code, std::string_view what,
                                                 std::string detail = {}) {
  return std::unexpected(Error{code, what, 0, std::move(detail)});
}

/// Not of a string that ends before the error is shown.
template <typename Text>
  requires std::same_as<std::remove_cvref_t<Text>, std::string>
std::unexpected<Error> Fail(Errc code, Text&& what, std::string detail = {}) = delete;

/// `return FailErrno("open", path);`
[[nodiscard]] inline std::unexpected<Error> FailErrno(std::string_view what,
                                                      std::string detail = {}) {
  return std::unexpected(ErrnoError(what, std::move(detail)));
}

}  // namespace agent

#define AGENT_CONCAT_INNER(a, b) a##b
#define AGENT_CONCAT(a, b) AGENT_CONCAT_INNER(a, b)

/// AGENT_TRY(const auto value, Function()); returns the error from the enclosing function, or
/// declares `value`.
#define AGENT_TRY(declaration, expression) \
  AGENT_TRY_IMPL(AGENT_CONCAT(agent_result_, __COUNTER__), declaration, expression)
#define AGENT_TRY_IMPL(result, declaration, expression)           \
  auto result = (expression);                                     \
  if (!result) return std::unexpected(std::move(result).error()); \
  declaration = *std::move(result)

/// The same for Result<void>.
#define AGENT_CHECK_OK(expression)                                              \
  do {                                                                          \
    auto agent_status = (expression);                                           \
    if (!agent_status) return std::unexpected(std::move(agent_status).error()); \
  } while (false)
