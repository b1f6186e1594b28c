// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/verify_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/printable.h"
#include "agent/base/write_all.h"
#include "uploader/http_transport.h"
#include "uploader/labels.h"
#include "uploader/verification.h"

namespace agent {
namespace {

bool VerifyOne(const Settings& settings, const ServerAddress& address, const Labels& labels) {
  const SystemClock clock;
  const std::unique_ptr<Transport> transport = MakeHttpTransport(address, settings.http);
  const std::vector<VerificationLine> lines =
      VerifyServer(settings.upload_formats, labels,
                   {.transport = *transport, .clock = clock, .sleep = [](Nanoseconds time) {
                      std::this_thread::sleep_for(time);
                    }});
  std::string text = address.Shown() + "\n";
  bool good = true;
  for (const VerificationLine& line : lines) {
    text += fmt::format("  {:<26}{}\n", line.what, Printable(line.result));
    good &= line.good;
  }
  static_cast<void>(WriteAll(STDOUT_FILENO, text));
  return good;
}

}  // namespace

int RunVerify(const Settings& settings) {
  constexpr int kUsageError = 125;
  if (settings.servers.empty()) {
    LogError("which server? agent verify --server-address URL, or set PYROSCOPE_SERVER_ADDRESS");
    return kUsageError;
  }
  const std::string name =
      settings.application_name.empty() ? "agent.verify" : settings.application_name;
  const Labels labels = MakeLabels(
      name, settings.tags, FindPlace([](const char* variable) { return std::getenv(variable); }));
  bool good = true;
  for (const std::string& server : settings.servers) {
    const Result<ServerAddress> address = ParseServerAddress(server);
    good &= address && VerifyOne(settings, *address, labels);
  }
  return good ? 0 : 1;
}

}  // namespace agent
