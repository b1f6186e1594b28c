// SPDX-License-Identifier: Apache-2.0
// The commands, in one table: their help, the man page and the shells' completion are made from it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace agent {

enum class Command : std::uint8_t {
  kExec,
  kConnect,
  kReport,
  kDiff,
  kDump,
  kTop,
  kDoctor,
  kVerify,
  kInstall,
  kMan,
  kCompletion,
};

/// A set of commands.
class Commands {
 public:
  template <typename... Each>
  constexpr explicit Commands(Each... each) : bits_((Bit(each) | ... | 0u)) {}
  [[nodiscard]] constexpr bool Has(Command command) const { return (bits_ & Bit(command)) != 0; }

 private:
  static constexpr std::uint32_t Bit(Command command) {
    return 1u << static_cast<std::uint32_t>(command);
  }
  std::uint32_t bits_;
};

/// Those that take samples.
inline constexpr Commands kSampling(Command::kExec, Command::kConnect);
/// Those that read stacks.
inline constexpr Commands kReading(Command::kExec, Command::kConnect, Command::kDump,
                                   Command::kTop);
/// Those that write profiles.
inline constexpr Commands kWriting(Command::kExec, Command::kConnect, Command::kReport,
                                   Command::kDiff);
/// Those that speak to a server.
inline constexpr Commands kSending(Command::kExec, Command::kConnect, Command::kVerify);
inline constexpr Commands kAllCommands(Command::kExec, Command::kConnect, Command::kReport,
                                       Command::kDiff, Command::kDump, Command::kTop,
                                       Command::kVerify);

struct CommandInfo {
  Command command;
  std::string_view name;
  std::string_view arguments;  ///< As the usage line has them.
  std::string_view sentence;   ///< What it does.
  struct Example {
    std::string_view arguments;  ///< Behind the command's name.
    std::string_view effect;
  };
  std::array<Example, 3> examples;  ///< The usual calls.
  /// What may stand beside the flags.
  enum class Takes : std::uint8_t {
    kProgram,  ///< A program with its arguments, which are passed on untouched.
    kProcess,  ///< A pid.
    kFiles,    ///< Profiles.
    kWord,     ///< One word: a path, a name.
    kEither,   ///< A pid or a program; `doctor` also nothing.
    kNothing,
  } takes;
};

[[nodiscard]] std::span<const CommandInfo> AllCommands();
[[nodiscard]] const CommandInfo& InfoOf(Command command);
/// Null when there is none of this name.
[[nodiscard]] const CommandInfo* FindCommand(std::string_view name);

}  // namespace agent
