// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/cli/settings.h"

namespace agent {

struct CommandLine {
  Command command = Command::kExec;
  Settings settings;               ///< From the command line alone.
  std::vector<std::string> given;  ///< Names of the options that it gives.
  std::vector<std::string> plain;  ///< The program and its arguments, untouched; or files.
  std::string help;                ///< Not empty: print this to stdout and end with 0.
};

/// Parses argv without its first word. Flags as the old agent took them: one dash or two, "=" or a
/// space before the value; the first word that is no flag begins the program, or is the pid.
/// kInvalid with a text that names the flag and what to do. `as_pyroscope`: by the old agent's name
/// and defaults.
[[nodiscard]] Result<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments,
                                                   bool as_pyroscope = false);

}  // namespace agent
