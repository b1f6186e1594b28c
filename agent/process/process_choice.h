// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <regex.h>

#include <memory>
#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/types.h"

namespace agent {

/// Which of the machine's processes a run looks at, by what /proc tells of each. Never this agent's
/// own, nor another agent's, nor kernel threads.
class ProcessChoice {
 public:
  /// Those whose command line (words joined by spaces) or name has a match of `regex` in it, an
  /// extended regular expression (regex(7)) without references back. kInvalid when it is none.
  [[nodiscard]] static Result<ProcessChoice> ByName(const std::string& regex);
  /// Those of a container: `container` is its id, or the first 12 or more digits of it, as the
  /// cgroup has them, or what the process's environment calls HOSTNAME, POD_NAME or CONTAINER_NAME.
  /// kInvalid for an empty one.
  [[nodiscard]] static Result<ProcessChoice> InContainer(std::string container);
  /// All but process 1 and container runtimes.
  [[nodiscard]] static ProcessChoice All();

  [[nodiscard]] bool Wants(Pid process) const;
  /// Whether it runs this agent's file: also as a child of a process that is wanted it is left out.
  [[nodiscard]] static bool IsAgent(Pid process);
  /// Whether the run goes on when there is none (any more).
  [[nodiscard]] bool IsAll() const { return kind_ == Kind::kAll; }
  /// What was asked for: the regex, the container; "" for all.
  [[nodiscard]] const std::string& wanted() const { return wanted_; }
  /// For messages: "--name gunicorn".
  [[nodiscard]] std::string Shown() const;

 private:
  enum class Kind { kName, kContainer, kAll };

  ProcessChoice(Kind kind, std::string wanted) : kind_(kind), wanted_(std::move(wanted)) {}
  [[nodiscard]] bool HasName(const std::string& folder, const std::string& command) const;
  [[nodiscard]] bool IsInContainer(const std::string& folder) const;

  Kind kind_;
  std::string wanted_;
  [[nodiscard]] bool Matches(const std::string& text) const;

  std::shared_ptr<const regex_t> regex_;
};

}  // namespace agent
