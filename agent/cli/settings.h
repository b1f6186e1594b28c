// SPDX-License-Identifier: Apache-2.0
// What the user asked for: the flags, their environment variables and their defaults, in one table.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/log.h"
#include "agent/base/types.h"
#include "agent/cli/commands.h"
#include "agent/format/profile_file.h"
#include "agent/process/process_choice.h"
#include "agent/profile/measure.h"
#include "agent/profile/profile.h"
#include "symbolizer/demangle.h"
#include "uploader/http_options.h"
#include "uploader/listen_address.h"
#include "uploader/upload_format.h"

namespace agent {

struct Settings {
  std::vector<std::string> servers;  ///< Addresses; empty: none.
  std::vector<UploadFormat> upload_formats = ParseUploadFormat("auto");
  HttpOptions http;
  std::string spool;  ///< "" : none
  std::optional<ListenAddress> listen;
  std::string application_name;  ///< "" : made from the program's name
  Labels tags;
  std::optional<double> sample_rate;  ///< Nothing: 100, with --all 19.
  Nanoseconds upload_interval{std::chrono::seconds(10)};
  std::vector<std::string> outputs;
  std::optional<FileFormat> format;  ///< Of the outputs; nothing: by their names.
  Measure measure;    ///< What `report` and `diff` show; none: the profile's main one.
  bool json = false;  ///< dump only
  bool text = false;  ///< report, diff: a table on stdout although there is `-o`.
  bool summary = false;
  bool quiet = false;  ///< No summary at the end, and no progress.
  LogLevel log_level = LogLevel::kWarn;
  bool no_logging = false;
  bool wall = false;
  bool kernel = false;  ///< With `wall`.
  Demangle demangle = Demangle::kFull;
  bool debuginfod = false;
  bool threads = false;
  bool tag_pid = false;
  bool gil = false;
  bool asyncio = false;
  bool native = false;
  bool dotnet_raw_names = false;
  bool dotnet_perf_map = false;  ///< exec only
  bool blocking = false;
  bool detect_subprocesses = true;
  std::optional<Nanoseconds> duration;  ///< connect only
  Pid pid{};                            ///< connect only
  std::optional<ProcessChoice> choice;  ///< connect only, instead of a pid
  std::string user_name;                ///< exec only; "" : as it is
  std::string group_name;               ///< exec only
  bool as_pyroscope = false;            ///< Called by the old agent's name: its defaults.
};

/// One flag. `apply` checks the text and takes it over; its error says what is wrong with the
/// value.
struct Option {
  std::string_view name;         ///< without dashes
  std::string_view environment;  ///< "" : none
  std::string_view value;        ///< what the help calls the value; "" : a switch, on without one
  std::string_view help;
  std::string_view group;  ///< under which the help lists it
  Commands in;             ///< that take it
  Result<void> (*apply)(Settings& settings, const std::string& text) = nullptr;
  bool is_secret = false;  ///< Its value is shown nowhere.
};

[[nodiscard]] std::span<const Option> AllOptions();

/// getenv, or what stands for it.
using GetEnvironment = std::function<const char*(const char*)>;

/// Applies what the environment says to options that `given` (names) does not hold. A bad value is
/// warned of, with the variable's name, and passed over: it must not keep the program from running.
void ApplyEnvironment(Command command, std::span<const std::string> given,
                      const GetEnvironment& get_environment, Settings& settings);

/// Names of the options that were given, on the command line or by the environment, and that mean
/// nothing any more.
[[nodiscard]] std::vector<std::string_view> WithoutEffect(Command command,
                                                          std::span<const std::string> given,
                                                          const GetEnvironment& get_environment);

/// "10s", "500ms", "2m", "1h", or a number of seconds; more than zero.
[[nodiscard]] Result<Nanoseconds> ParseDuration(const std::string& text);

}  // namespace agent
