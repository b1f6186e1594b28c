// SPDX-License-Identifier: Apache-2.0
// Descriptors of our own beside those that the program inherits: never 0, 1 or 2 (the user may have
// closed those, and a log line must not end up in a pipe of ours), never handed to the program.
#pragma once

#include <initializer_list>

#include "agent/base/error.h"
#include "agent/base/unique_fd.h"

namespace agent {

/// The same file with a number above 2, close-on-exec. Not valid if there is none, or none was
/// given.
[[nodiscard]] UniqueFd AwayFromStdio(UniqueFd fd);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
[[nodiscard]] Result<Pipe> OpenPipe();

/// Both ends alike: SOCK_SEQPACKET, so a message arrives whole or not at all, and end of file tells
/// that nobody has the other end any more.
struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};
[[nodiscard]] Result<SocketPair> OpenSocketPair();

enum class Stderr { kKeep, kDrop };

/// Lets go of all that the user gave to the program: 0 and 1 become /dev/null, and so does 2 unless
/// it is to be kept and open; everything above is closed but for `keep`. After this the reader of
/// the program's output sees its end when the program closes it.
void DropInheritedFds(std::initializer_list<int> keep, Stderr standard_error);

}  // namespace agent
