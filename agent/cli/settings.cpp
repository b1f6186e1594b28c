// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "agent/base/parse_number.h"
#include "agent/cli/delivery_settings.h"
#include "agent/format/profile_file.h"

namespace agent {
namespace {

// A tick costs tens of microseconds: past this there is no time left between two.
constexpr double kMaxRate = 1'000'000;

std::optional<double> ParseReal(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

Result<bool> ParseSwitch(const std::string& text) {
  if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "0" || text == "no" || text == "off") return false;
  return Fail(Errc::kInvalid, "must be true or false");
}

Result<void> ApplySwitch(const std::string& text, bool& target) {
  AGENT_TRY(target, ParseSwitch(text));
  return {};
}

Result<void> ApplySampleRate(Settings& settings, const std::string& text) {
  const std::optional<double> rate = ParseReal(text);
  if (settings.as_pyroscope && rate == 0.0) {
    settings.sample_rate.reset();
    return {};
  }
  if (!rate || *rate < 0.01 || *rate > kMaxRate) {
    return Fail(Errc::kInvalid, "must be a number of samples a second from 0.01 to 1000000");
  }
  settings.sample_rate = rate;
  return {};
}

Result<void> ApplyOutput(Settings& settings, const std::string& text) {
  if (text.empty()) return Fail(Errc::kInvalid, "must not be empty");
  settings.outputs.push_back(text);
  return {};
}

Result<void> ApplyFormat(Settings& settings, const std::string& text) {
  AGENT_TRY(settings.format, ParseFileFormat(text));
  return {};
}

Result<void> ApplyBy(Settings& settings, const std::string& text) {
  for (const Measure& measure : {kCpuTime, kWallTime, kSampleCount}) {
    if (text != measure.name) continue;
    settings.measure = measure;
    return {};
  }
  return Fail(Errc::kInvalid, "must be cpu, wall or samples");
}

Result<void> ApplySpyName(Settings&, const std::string& text) {
  // The runtime that a process has mapped decides which spy it gets; a name only has to be one.
  constexpr std::array<std::string_view, 10> kNames = {"auto",      "python",  "pyspy", "dotnet",
                                                       "dotnetspy", "native",  "rbspy", "phpspy",
                                                       "ebpfspy",   "debugspy"};
  if (std::ranges::find(kNames, text) == kNames.end()) {
    return Fail(Errc::kInvalid,
                "there is no such spy; known are auto, python (pyspy), dotnet (dotnetspy), native");
  }
  return {};
}

Result<void> ApplyDemangle(Settings& settings, const std::string& text) {
  if (text == "full") {
    settings.demangle = Demangle::kFull;
  } else if (text == "simplified") {
    settings.demangle = Demangle::kSimplified;
  } else if (text == "none") {
    settings.demangle = Demangle::kNone;
  } else {
    return Fail(Errc::kInvalid, "must be full, simplified or none");
  }
  return {};
}

Result<void> ApplyLogLevel(Settings& settings, const std::string& text) {
  const std::optional<LogLevel> level = ParseLogLevel(text);
  if (!level) return Fail(Errc::kInvalid, "must be debug, info, warn, error or none");
  settings.log_level = *level;
  return {};
}

Result<void> ApplyPid(Settings& settings, const std::string& text) {
  const auto pid = ParseNumber<pid_t>(text);
  if (!pid || *pid <= 0) return Fail(Errc::kInvalid, "must be the number of a process");
  settings.pid = Pid{*pid};
  return {};
}

Result<void> ApplyName(Settings& settings, const std::string& text) {
  AGENT_TRY(settings.choice, ProcessChoice::ByName(text));
  return {};
}

Result<void> ApplyContainer(Settings& settings, const std::string& text) {
  AGENT_TRY(settings.choice, ProcessChoice::InContainer(text));
  return {};
}

Result<void> ApplyAll(Settings& settings, const std::string& text) {
  AGENT_TRY(const bool all, ParseSwitch(text));
  if (all) settings.choice = ProcessChoice::All();
  return {};
}

// The help's headings.
constexpr std::string_view kResult = "Where the result goes";
constexpr std::string_view kServer = "Server";
constexpr std::string_view kWhat = "What is looked at";
constexpr std::string_view kNames = "Names";
constexpr std::string_view kLines = "Lines of the agent's own, on stderr";

constexpr std::string_view kProgram = "The program";
constexpr std::string_view kNoEffect = "Taken for the old agent's sake, without effect";

Result<void> ApplyNothing(Settings&, const std::string&) { return {}; }

constexpr std::array kOptions = {
    Option{"output", "", "FILE",
           "Write the whole run to FILE; its ending says how: .html (a page for the browser), "
           ".pb.gz or .pprof (pprof), .folded or .collapsed (collapsed stacks), .speedscope.json, "
           ".gecko.json (Firefox Profiler), .svg, .json (summary); may be repeated",
           kResult, kWriting, ApplyOutput},
    Option{"format", "", "FORMAT",
           "Of FILE, whatever its name: html, pprof, collapsed, speedscope, gecko, svg, json",
           kResult, kWriting, ApplyFormat},
    Option{"by", "", "MEASURE",
           "Compare and sort by cpu, wall or samples (default: what the file has)", kResult,
           Commands(Command::kReport, Command::kDiff), ApplyBy},
    Option{"json", "", "", "As JSON", kResult, Commands(Command::kDump),
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.json);
           }},
    Option{"text", "", "", "The table on stdout as well, beside -o", kResult,
           Commands(Command::kReport, Command::kDiff),
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.text);
           }},
    Option{"summary", "", "", "Show the top functions at the end, also when stderr is no terminal",
           kResult, kSampling,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.summary);
           }},
    Option{
        "quiet", "", "",
        "No summary at the end and no progress line; what was lost or went wrong is told all the "
        "same",
        kResult, kSampling,
        [](Settings& settings, const std::string& text) {
          return ApplySwitch(text, settings.quiet);
        }},
    Option{
        "server-address", "PYROSCOPE_SERVER_ADDRESS", "URL",
        "Pyroscope server to send profiles to, as http://pyroscope:4040, or unix:///path; may be "
        "repeated",
        kServer, kSending, ApplyServerAddress},
    Option{
        "application-name", "PYROSCOPE_APPLICATION_NAME", "NAME",
        "Name of the service on the server, also NAME{key=value,...} (default: OTEL_SERVICE_NAME, "
        "else from the program)",
        kServer, kSending, ApplyApplicationName},
    Option{"tag", "", "KEY=VALUE",
           "Label of all profiles; may be repeated (also: PYROSCOPE_LABELS=key=value,...)", kServer,
           kSending, ApplyTag},
    Option{"upload-interval", "PYROSCOPE_UPLOAD_INTERVAL", "TIME",
           "Length of a profile sent to the server (default: 10s)", kServer, kSampling,
           ApplyUploadInterval},
    Option{"upload-format", "PYROSCOPE_UPLOAD_FORMAT", "FORMAT",
           "push, pprof or folded (of Pyroscope, the newest first), otlp (OpenTelemetry), or auto: "
           "the first of Pyroscope's that the server knows (default: auto)",
           kServer, kSending, ApplyUploadFormat},
    Option{"upstream-request-timeout", "PYROSCOPE_UPSTREAM_REQUEST_TIMEOUT", "TIME",
           "How long a request may take (default: 10s)", kServer, kSending, ApplyRequestTimeout},
    Option{"spool", "PYROSCOPE_SPOOL", "FOLDER",
           "Keep profiles there until the server has them, also over a restart", kServer, kSampling,
           ApplySpool},
    Option{"listen", "PYROSCOPE_LISTEN", "[HOST]:PORT",
           "Serve /debug/pprof/profile, /metrics and /healthz there, on loopback unless HOST says "
           "otherwise",
           kServer, kSampling, ApplyListen},
    Option{"auth-token", "PYROSCOPE_AUTH_TOKEN", "TOKEN", "Bearer token", kServer, kSending,
           ApplyAuthToken, true},
    Option{"auth-token-file", "PYROSCOPE_AUTH_TOKEN_FILE", "FILE",
           "File with the bearer token, read for each request", kServer, kSending,
           ApplyAuthTokenFile},
    Option{"basic-auth-user", "PYROSCOPE_BASIC_AUTH_USER", "NAME", "User of basic authentication",
           kServer, kSending, ApplyBasicAuthUser},
    Option{"basic-auth-password", "PYROSCOPE_BASIC_AUTH_PASSWORD", "PASSWORD", "Its password",
           kServer, kSending, ApplyBasicAuthPassword, true},
    Option{"tenant-id", "PYROSCOPE_TENANT_ID", "ID", "Tenant (X-Scope-OrgID)", kServer, kSending,
           ApplyTenantId},
    Option{"header", "PYROSCOPE_HTTP_HEADERS", "NAME=VALUE",
           "Further header; may be repeated (the variable: a JSON object)", kServer, kSending,
           ApplyHeader, true},
    Option{"ca-file", "PYROSCOPE_CA_FILE", "FILE",
           "Certificate authorities (PEM) to trust instead of SSL_CERT_FILE, SSL_CERT_DIR and the "
           "system's",
           kServer, kSending, ApplyCaFile},
    Option{"client-cert", "PYROSCOPE_CLIENT_CERT", "FILE",
           "Certificate (PEM) to show to the server", kServer, kSending, ApplyClientCert},
    Option{"client-key", "PYROSCOPE_CLIENT_KEY", "FILE", "Its key (PEM)", kServer, kSending,
           ApplyClientKey},
    Option{"tls-skip-verify", "", "", "Do not check the server's certificate", kServer, kSending,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.http.skip_verify);
           }},
    Option{"sample-rate", "PYROSCOPE_SAMPLE_RATE", "HZ", "Samples a second (default: 100)", kWhat,
           Commands(Command::kExec, Command::kConnect, Command::kTop), ApplySampleRate},
    Option{"pid", "", "PID", "The process to look at", kWhat,
           Commands(Command::kConnect, Command::kDump, Command::kTop, Command::kDoctor), ApplyPid},
    Option{"name", "", "REGEX", "All processes whose command line has a match in it", kWhat,
           Commands(Command::kConnect), ApplyName},
    Option{
        "container", "", "NAME|ID",
        "All processes of a container: its id, or the host name, POD_NAME or CONTAINER_NAME in it",
        kWhat, Commands(Command::kConnect), ApplyContainer},
    Option{"all", "", "",
           "Every process that the agent may look into, also those that start later; 19 samples a "
           "second",
           kWhat, Commands(Command::kConnect), ApplyAll},
    Option{"duration", "", "TIME", "End after this time (default: when the process ends)", kWhat,
           Commands(Command::kConnect, Command::kTop),
           [](Settings& settings, const std::string& text) -> Result<void> {
             AGENT_TRY(settings.duration, ParseDuration(text));
             return {};
           }},
    Option{"spy-name", "PYROSCOPE_SPY_NAME", "NAME",
           "Runtime of the program (default: auto, found out for each process)", kWhat, kSampling,
           ApplySpyName},
    Option{"detect-subprocesses", "PYROSCOPE_DETECT_SUBPROCESSES", "",
           "Profile the processes that it starts as well (default: true; =false: only itself)",
           kWhat, Commands(Command::kExec, Command::kConnect, Command::kTop),
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.detect_subprocesses);
           }},
    Option{"wall", "", "", "Profile the time that threads sleep as well", kWhat, kSampling,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.wall);
           }},
    Option{"kernel", "", "",
           "With --wall: the kernel's functions that a sleeping thread is in; needs CAP_SYS_ADMIN",
           kWhat, Commands(Command::kExec, Command::kConnect, Command::kDump),
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.kernel);
           }},
    Option{"gil", "", "", "Of Python only threads that hold the GIL; of other programs all", kWhat,
           kSampling,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.gil);
           }},
    Option{"asyncio", "", "",
           "Of Python 3.14 and later the names of asyncio's tasks, and the tasks that await them. "
           "Stops a thread for every sample",
           kWhat, kReading,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.asyncio);
           }},
    Option{
        "dotnet-raw-names", "", "",
        "Methods of .NET as the metadata has them: Type+<Foo>d__5.MoveNext, not Type.Foo (async)",
        kNames, kReading,
        [](Settings& settings, const std::string& text) {
          return ApplySwitch(text, settings.dotnet_raw_names);
        }},
    Option{"dotnet-perfmap", "", "",
           "Have .NET write a perf map (DOTNET_PerfMapEnabled=3), which names the methods of "
           "versions that are not read otherwise",
           kNames, Commands(Command::kExec),
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.dotnet_perf_map);
           }},
    Option{"native", "", "",
           "Native frames of Python programs as well: extension modules, C libraries, the "
           "interpreter. Stops a thread for every sample",
           kWhat, kReading,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.native);
           }},
    Option{"threads", "", "",
           "Send each sample's thread to the server, as labels thread_name and thread_id (a series "
           "for each; a file has them anyway)",
           kServer, kSampling,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.threads);
           }},
    Option{"tag-pid", "PYROSCOPE_TAG_PID", "",
           "Send each process's profiles with its id as label pid (a series for each; a file has "
           "it anyway)",
           kServer, kSampling,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.tag_pid);
           }},
    Option{"demangle", "", "HOW",
           "Names of C++ and Rust: full, simplified (no template arguments, no parameters), none "
           "(default: full)",
           kNames, kReading, ApplyDemangle},
    Option{"debuginfod", "PYROSCOPE_DEBUGINFOD", "",
           "Ask the servers in DEBUGINFOD_URLS for the debug files of stripped code", kNames,
           kReading,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.debuginfod);
           }},
    Option{"pyspy-blocking", "PYROSCOPE_PYSPY_BLOCKING", "",
           "Stop a thread for every sample; not needed for true stacks", kWhat, kSampling,
           [](Settings& settings, const std::string& text) {
             return ApplySwitch(text, settings.blocking);
           }},
    Option{"user-name", "PYROSCOPE_USER_NAME", "USER",
           "Run the program as this user, by name or number, with his groups", kProgram,
           Commands(Command::kExec),
           [](Settings& settings, const std::string& text) -> Result<void> {
             settings.user_name = text;
             return {};
           }},
    Option{"group-name", "PYROSCOPE_GROUP_NAME", "GROUP",
           "Run the program in this group, by name or number", kProgram, Commands(Command::kExec),
           [](Settings& settings, const std::string& text) -> Result<void> {
             settings.group_name = text;
             return {};
           }},
    Option{"rbspy-blocking", "PYROSCOPE_RBSPY_BLOCKING", "", "Ruby is not looked into", kNoEffect,
           kSampling, ApplyNothing},
    Option{"php-spy-args", "PYROSCOPE_PHP_SPY_ARGS", "ARGS", "PHP is not looked into", kNoEffect,
           kSampling, ApplyNothing},
    Option{"no-root-drop", "PYROSCOPE_NO_ROOT_DROP", "", "Below sudo the program stays root's",
           kNoEffect, Commands(Command::kExec), ApplyNothing},
    Option{"upstream-threads", "PYROSCOPE_UPSTREAM_THREADS", "N", "Each server has one thread",
           kNoEffect, kSampling, ApplyNothing},
    Option{"log-level", "PYROSCOPE_LOG_LEVEL", "LEVEL",
           "Which lines of the agent's own go to stderr: debug, info, warn, error, none (default: "
           "warn)",
           kLines, kAllCommands, ApplyLogLevel},
    Option{"no-logging", "PYROSCOPE_NO_LOGGING", "", "No lines of the agent's own at all", kLines,
           kSampling,
           [](Settings& settings,
              const std::string& text) { return ApplySwitch(text, settings.no_logging); }},
};

}  // namespace

std::span<const Option> AllOptions() { return kOptions; }

std::vector<std::string_view> WithoutEffect(Command command, std::span<const std::string> given,
                                            const GetEnvironment& get_environment) {
  std::vector<std::string_view> names;
  for (const Option& option : AllOptions()) {
    if (option.group != kNoEffect || !option.in.Has(command)) continue;
    if (std::ranges::find(given, option.name) != given.end()) {
      names.push_back(option.name);
    } else if (get_environment(std::string(option.environment).c_str()) != nullptr) {
      names.push_back(option.environment);
    }
  }
  return names;
}

Result<Nanoseconds> ParseDuration(const std::string& text) {
  std::string_view number = text;
  double unit = 1e9;
  for (const auto& [suffix, nanoseconds] :
       {std::pair<std::string_view, double>{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}) {
    if (number.ends_with(suffix)) {
      number.remove_suffix(suffix.size());
      unit = nanoseconds;
      break;
    }
  }
  const std::optional<double> value = ParseReal(number);
  if (!value || *value <= 0 || *value * unit < 1 || *value * unit > 1e18) {
    return Fail(Errc::kInvalid, "must be a time more than zero, as 10s, 500ms or 2m");
  }
  return Nanoseconds(static_cast<std::int64_t>(*value * unit));
}

void ApplyEnvironment(Command command, std::span<const std::string> given,
                      const GetEnvironment& get_environment, Settings& settings) {
  for (const Option& option : AllOptions()) {
    if (option.environment.empty()) continue;
    if (!option.in.Has(command)) continue;
    if (std::ranges::find(given, option.name) != given.end()) continue;
    const char* text = get_environment(std::string(option.environment).c_str());
    if (text == nullptr || *text == '\0') continue;
    if (const Result<void> applied = option.apply(settings, text); !applied) {
      // An address may hold a password: only the reason is shown.
      LogWarn("{} is passed over: {}", option.environment, applied.error().Message());
    }
  }
}

}  // namespace agent
