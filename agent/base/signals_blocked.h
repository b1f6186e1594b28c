// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

namespace agent {

/// Blocks every signal of this thread while it lives. A thread that is started meanwhile inherits
/// that: none of the process's signals is handled there.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace agent
