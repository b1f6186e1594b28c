// SPDX-License-Identifier: Apache-2.0
// What is made from the tables of commands and options for other programs to show.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

/// agent(1), in man(7)'s macros.
[[nodiscard]] std::string ManPage();

/// The script that completes commands and flags in bash, zsh or fish. kInvalid for another shell.
[[nodiscard]] Result<std::string> Completion(std::string_view shell);

}  // namespace agent
