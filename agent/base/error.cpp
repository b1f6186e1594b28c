// SPDX-License-Identifier: Apache-2.0
#include "agent/base/error.h"

#include <cerrno>
#include <system_error>

namespace agent {

std::string Error::Message() const {
  std::string text(what);
  if (!detail.empty()) {
    if (!text.empty()) text += ": ";
    text += detail;
  }
  if (sys_errno != 0) {
    if (!text.empty()) text += ": ";
    text += std::generic_category().message(sys_errno);
  }
  return text;
}

Error ErrnoError(std::string_view what, std::string detail) {
  const int number = errno;
  Errc code = Errc::kSystem;
  if (number == ESRCH) code = Errc::kGone;
  if (number == EPERM || number == EACCES) code = Errc::kNotPermitted;
  if (number == EFAULT || number == EIO) code = Errc::kUnreadable;
  return Error{code, what, number, std::move(detail)};
}

}  // namespace agent
