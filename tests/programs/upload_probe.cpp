// SPDX-License-Identifier: Apache-2.0
// Sends made-up windows by the agent's uploader and prints its counters as JSON.
//
// usage: upload_probe [NAME=VALUE...] ADDRESS...
//
// windows=1 stacks=3: that many windows of that many stacks (main;work_i), of 10 samples each;
// interval_ms=100: the time between them; age_s=10: how long ago they begin; finish_ms=5000: what
// Finish is given; queue_bytes, format, spool, token, token_file, user, password, tenant, ca, cert,
// key, skip_verify, header: as the agent's options. Also prints how long Finish took. With several
// addresses "servers" has the counters of each, in their order.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/log.h"
#include "agent/profile/profile.h"
#include "uploader/labels.h"
#include "uploader/uploader.h"

namespace {

using namespace agent;

// Each at a time of its own, as a sampler's are, however fast they are made.
Profile MakeWindow(FunctionTable& functions, int stacks, WallTime start) {
  Profile window(start, std::chrono::milliseconds(100));
  window.set_period(std::chrono::milliseconds(10));
  window.set_duration(std::chrono::seconds(10));
  const ThreadIndex thread = window.InternThread(
      {.pid = Pid{1}, .tid = Tid{1}, .process_name = "probe", .thread_name = "probe"});
  const Frame main{.function = functions.Intern("main", "/srv/app.py", 1), .line = 3};
  for (int i = 0; i < stacks; ++i) {
    const std::string name = "work_" + std::to_string(i);
    const Frame leaf{.function = functions.Intern(name, "/srv/app.py", 10), .line = 12};
    const std::vector<Frame> stack = {leaf, main};
    window.Add(window.InternStack(stack), thread, SampleKind::kCpu, window.start(),
               {.count = 10, .cpu_ns = 100'000'000});
  }
  return window;
}

nlohmann::json Describe(const UploadCounters& counters) {
  nlohmann::json causes = nlohmann::json::object();
  for (std::size_t i = 0; i < counters.lost.size(); ++i) {
    if (counters.lost[i].windows > 0) {
      causes[std::string(kLossCauseNames[i])] = counters.lost[i].samples;
    }
  }
  return {{"windows_sent", counters.sent.windows},
          {"samples_sent", counters.sent.samples},
          {"windows_retried", counters.retried},
          {"windows_merged", counters.merged},
          {"windows_lost", counters.AllLost().windows},
          {"samples_lost", counters.AllLost().samples},
          {"samples_lost_by_cause", causes},
          {"windows_unknown", counters.unknown.windows},
          {"samples_unknown", counters.unknown.samples},
          {"windows_kept", counters.kept.windows},
          {"samples_kept", counters.kept.samples},
          {"last_error", counters.last_error}};
}

class Arguments {
 public:
  Arguments(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      const std::size_t equals = word.find('=');
      if (word.find("://") < equals || equals == std::string::npos) {
        addresses.push_back(word);
      } else {
        values_[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
  }
  std::string Text(const std::string& name, const std::string& otherwise = "") const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  int Number(const std::string& name, int otherwise) const {
    return std::atoi(Text(name, std::to_string(otherwise)).c_str());
  }

  std::vector<std::string> addresses;

 private:
  std::map<std::string, std::string> values_;
};

UploadOptions OptionsOf(const Arguments& arguments) {
  UploadOptions options;
  options.servers = arguments.addresses;
  options.labels =
      MakeLabels("probe.service", {{"region", "a=b"}}, Labels{{"hostname", "probe-host"}});
  options.formats = ParseUploadFormat(arguments.Text("format", "push"));
  options.spool = arguments.Text("spool");
  options.queue_bytes = static_cast<std::size_t>(arguments.Number("queue_bytes", 16 << 20));
  HttpOptions& http = options.http;
  http.token = arguments.Text("token");
  http.token_file = arguments.Text("token_file");
  http.user = arguments.Text("user");
  http.password = arguments.Text("password");
  http.tenant = arguments.Text("tenant");
  http.ca_file = arguments.Text("ca");
  http.client_certificate = arguments.Text("cert");
  http.client_key = arguments.Text("key");
  http.skip_verify = arguments.Number("skip_verify", 0) != 0;
  http.request_limit = std::chrono::milliseconds(arguments.Number("request_ms", 10'000));
  if (const std::string value = arguments.Text("header"); !value.empty()) {
    http.headers.emplace_back("X-Probe", value);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments(argc, argv);
  if (arguments.addresses.empty()) return 2;
  SetLogLevel(LogLevel::kInfo);
  const int windows = arguments.Number("windows", 1);
  const int stacks = arguments.Number("stacks", 3);
  const std::chrono::milliseconds interval(arguments.Number("interval_ms", 0));
  const std::chrono::milliseconds finish(arguments.Number("finish_ms", 5000));
  const WallTime begin =
      std::chrono::system_clock::now() - std::chrono::seconds(arguments.Number("age_s", 10));
  FunctionTable functions;
  const auto uploader = Uploader::Start(OptionsOf(arguments));
  for (int i = 0; i < windows; ++i) {
    uploader->Write(MakeWindow(functions, stacks, begin + i * std::chrono::milliseconds(1)));
    std::this_thread::sleep_for(interval);
  }
  const auto before = std::chrono::steady_clock::now();
  const std::vector<ServerCounters> counters = uploader->Finish(before + finish);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
  nlohmann::json result = Describe(counters.front().counters);
  for (const ServerCounters& server : counters) {
    result["servers"].push_back(Describe(server.counters));
  }
  result["finish_seconds"] = took.count();
  std::puts(result.dump().c_str());
  std::fflush(stdout);
  ::_exit(0);  // as Finish demands
}
