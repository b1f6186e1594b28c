// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/command_line.h"

#include <map>

#include "agent/cli/shell_help.h"
#include "tests/support/catch.h"

using namespace agent;

namespace {

std::string Fault(const std::vector<std::string>& arguments) {
  const auto line = ParseCommandLine(arguments);
  return line ? "" : line.error().Message();
}

}  // namespace

TEST_CASE("everything behind the program's name is the program's") {
  const auto line = ParseCommandLine(
      {"exec", "--sample-rate", "50", "app", "-f", "1", "--sample-rate", "7", "-b=x", "--", "y"});
  REQUIRE(line);
  CHECK(line->settings.sample_rate == 50);
  CHECK(line->plain ==
        std::vector<std::string>{"app", "-f", "1", "--sample-rate", "7", "-b=x", "--", "y"});
}

TEST_CASE("flags may be written in all the ways of the old agent") {
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"-sample-rate", "50"},
                                                {"--sample-rate", "50"},
                                                {"-sample-rate=50"},
                                                {"--sample-rate=50"}}) {
    std::vector<std::string> arguments = {"exec", "-spy-name", "dotnetspy"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.insert(arguments.end(), {"-no-logging", "--", "/app/cartservice", "--x"});
    const auto line = ParseCommandLine(arguments);
    REQUIRE(line);
    CHECK(line->settings.sample_rate == 50);
    CHECK(line->settings.no_logging);
    CHECK(line->plain == std::vector<std::string>{"/app/cartservice", "--x"});
  }
}

TEST_CASE("tags are split at the first =, and repeat") {
  const auto line = ParseCommandLine({"exec", "-tag", "a=b=c", "--tag=d=e", "app"});
  REQUIRE(line);
  CHECK(line->settings.tags == Labels{{"a", "b=c"}, {"d", "e"}});
}

TEST_CASE("bad input names what was wrong") {
  for (const std::string rate : {"0", "-1", "abc", "2000000", "1e", "", "nan", "inf"}) {
    CHECK(Fault({"exec", "--sample-rate=" + rate, "app"}).find("--sample-rate") !=
          std::string::npos);
  }
  CHECK(Fault({"exec", "--frobnicate", "app"}).find("--frobnicate") != std::string::npos);
  CHECK(Fault({"exec", "--server-address", "ftp://x", "app"}).find("--server-address") !=
        std::string::npos);
  CHECK(Fault({"exec", "--tag", "novalue", "app"}).find("--tag") != std::string::npos);
  CHECK(Fault({"exec", "-o", "x.txt", "app"}).find(".pb.gz") != std::string::npos);
  CHECK(Fault({"exec", "--upload-interval", "-3s", "app"}).find("--upload-interval") !=
        std::string::npos);
  CHECK(Fault({"exec", "--log-level", "loud", "app"}).find("--log-level") != std::string::npos);
  CHECK(Fault({"exec", "--spy-name", "gospy", "app"}).find("--spy-name") != std::string::npos);
  CHECK(Fault({"exec", "--tag"}).find("missing value") != std::string::npos);
  CHECK(Fault({"exec", "--pid", "1", "app"}).find("--pid") != std::string::npos);
  CHECK_FALSE(Fault({"exec"}).empty());
  CHECK_FALSE(Fault({"connect"}).empty());
  CHECK_FALSE(Fault({"connect", "--pid", "x"}).empty());
  CHECK_FALSE(Fault({"run", "app"}).empty());
  CHECK_FALSE(Fault({}).empty());
}

TEST_CASE("the manual and the completions name every command and flag") {
  const std::string man = ManPage();
  const std::string bash = Completion("bash").value();
  const std::string zsh = Completion("zsh").value();
  const std::string fish = Completion("fish").value();
  for (const CommandInfo& info : AllCommands()) {
    INFO(info.name);
    for (const std::string& text : {man, bash, zsh, fish}) CHECK(text.contains(info.name));
  }
  for (const Option& option : AllOptions()) {
    INFO(option.name);
    for (const std::string& text : {bash, zsh, fish}) CHECK(text.contains(option.name));
  }
  CHECK_FALSE(Completion("tcsh"));
}

TEST_CASE("a mistyped word brings the one that was meant") {
  CHECK(Fault({"exec", "--sampel-rate", "5", "app"}).find("mean --sample-rate?") !=
        std::string::npos);
  CHECK(Fault({"conect", "5"}).find("mean agent connect?") != std::string::npos);
  CHECK(Fault({"exec", "--pid", "5", "app"}).find("mean") == std::string::npos);
}

TEST_CASE("a password in an address is not repeated") {
  const std::string fault = Fault({"exec", "--server-address", "ftp://user:geheim@x", "app"});
  CHECK(fault.find("geheim") == std::string::npos);
}

TEST_CASE("connect takes a pid with and without its flag") {
  CHECK(ParseCommandLine({"connect", "--pid", "12", "--duration", "500ms"})->settings.pid ==
        Pid{12});
  const auto bare = ParseCommandLine({"connect", "12"});
  REQUIRE(bare);
  CHECK(bare->settings.pid == Pid{12});
  const auto between = ParseCommandLine({"connect", "--wall", "12", "--duration=1s"});
  REQUIRE(between);
  CHECK(between->settings.pid == Pid{12});
  CHECK(between->settings.duration == std::chrono::seconds(1));
  CHECK(Fault({"connect", "12", "13"}).find("13") != std::string::npos);
}

TEST_CASE("flags may stand behind files") {
  const auto report = ParseCommandLine({"report", "a.pb.gz", "-o", "b.html"});
  REQUIRE(report);
  CHECK(report->plain == std::vector<std::string>{"a.pb.gz"});
  CHECK(report->settings.outputs == std::vector<std::string>{"b.html"});
}

TEST_CASE("help is asked for, not an error") {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"-h"},
                                                    {"--version"},
                                                    {"exec", "--help"},
                                                    {"connect", "-h"}}) {
    const auto line = ParseCommandLine(arguments);
    REQUIRE(line);
    CHECK_FALSE(line->help.empty());
  }
}

TEST_CASE("the command line goes before the environment, the environment before the default") {
  const std::map<std::string, std::string> environment = {
      {"PYROSCOPE_SAMPLE_RATE", "25"},
      {"PYROSCOPE_APPLICATION_NAME", "email.service"},
      {"PYROSCOPE_LOG_LEVEL", "loud"},
      {"PYROSCOPE_TAG_PID", "true"},
      {"PYROSCOPE_UPLOAD_INTERVAL", ""}};
  const auto get = [&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  };
  SetLogLevel(LogLevel::kNone);  // the bad level is warned of
  Settings settings;
  ApplyEnvironment(Command::kExec, {}, get, settings);
  CHECK(settings.sample_rate == 25);
  CHECK(settings.application_name == "email.service");
  CHECK(settings.tag_pid);
  CHECK(settings.log_level == LogLevel::kWarn);
  Settings own;
  own.sample_rate = 50;
  const std::vector<std::string> given = {"sample-rate"};
  ApplyEnvironment(Command::kExec, given, get, own);
  CHECK(own.sample_rate == 50);
  SetLogLevel(LogLevel::kWarn);
}

TEST_CASE("durations") {
  CHECK(ParseDuration("10s").value() == std::chrono::seconds(10));
  CHECK(ParseDuration("500ms").value() == std::chrono::milliseconds(500));
  CHECK(ParseDuration("1.5m").value() == std::chrono::seconds(90));
  CHECK(ParseDuration("2").value() == std::chrono::seconds(2));
  for (const std::string bad : {"", "0", "-1s", "s", "10x", "1e30h"})
    CHECK_FALSE(ParseDuration(bad));
}

TEST_CASE("every flag of the old agent is taken") {
  const auto line = ParseCommandLine(
      {"exec", "-log-level=debug", "-no-logging", "-application-name=a", "-sample-rate=0",
       "-spy-name=debugspy", "-detect-subprocesses=false", "-pyspy-blocking", "-rbspy-blocking",
       "-php-spy-args", "direct_mem=true,php_awk_pattern=libphp", "-server-address=http://x/",
       "-upstream-threads=4", "-upstream-request-timeout=10s", "-tag=a=b", "-no-root-drop",
       "-user-name=shop", "-group-name=shop", "app"},
      true);
  REQUIRE(line);
  CHECK(!line->settings.sample_rate);
  CHECK_FALSE(line->settings.detect_subprocesses);
  CHECK(line->settings.user_name == "shop");
  CHECK(line->settings.group_name == "shop");
  const auto get = [](const char* name) -> const char* {
    return std::string_view(name) == "PYROSCOPE_PHP_SPY_ARGS" ? "x" : nullptr;
  };
  CHECK(WithoutEffect(Command::kExec, line->given, get) ==
        std::vector<std::string_view>{"rbspy-blocking", "php-spy-args", "no-root-drop",
                                      "upstream-threads"});
  CHECK(WithoutEffect(Command::kConnect, {}, get) ==
        std::vector<std::string_view>{"PYROSCOPE_PHP_SPY_ARGS"});
}

TEST_CASE("top and doctor take a pid or a program") {
  for (const std::string command : {"top", "doctor"}) {
    INFO(command);
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"12"}, {"--pid", "12"}, {"--pid=12"}}) {
      std::vector<std::string> arguments = {command};
      arguments.insert(arguments.end(), words.begin(), words.end());
      const auto line = ParseCommandLine(arguments);
      REQUIRE(line);
      CHECK(line->settings.pid == Pid{12});
      CHECK(line->plain.empty());
    }
    const auto program = ParseCommandLine({command, "--", "app", "-x", "7"});
    REQUIRE(program);
    CHECK(program->plain == std::vector<std::string>{"app", "-x", "7"});
    CHECK(ParseCommandLine({command, "--", "12"})->plain == std::vector<std::string>{"12"});
    CHECK(ParseCommandLine({command, "./app", "--", "12"})->plain.size() == 3);
    CHECK(Fault({command, "--pid", "12", "--", "app"}).contains("not both"));
    CHECK(Fault({command, "12", "app"}).contains("not both"));
    CHECK(Fault({command, "12", "13"}).contains("one process only"));
  }
  CHECK(ParseCommandLine({"top", "12", "--native"})->settings.native);
  CHECK(Fault({"top"}).contains("no process given"));
  CHECK(ParseCommandLine({"doctor"}));
}
