// SPDX-License-Identifier: Apache-2.0
#include "uploader/metrics.h"

#include <fmt/format.h>

#include <functional>
#include <string_view>

namespace agent {
namespace {

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

void AddHead(std::string_view name, std::string_view type, std::string_view help,
             std::string& text) {
  text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

// What became of windows or, by `member`, of samples.
void AddResults(std::string_view name, std::string_view help, std::uint64_t Tally::* member,
                std::span<const ServerCounters> servers, std::string& text) {
  AddHead(name, "counter", help, text);
  for (const ServerCounters& server : servers) {
    const auto add = [&](std::string_view result, std::string_view cause, const Tally& tally) {
      text += fmt::format("{}{{server=\"{}\",result=\"{}\",cause=\"{}\"}} {}\n", name,
                          Escaped(server.server), result, cause, tally.*member);
    };
    const UploadCounters& counters = server.counters;
    add("sent", "", counters.sent);
    for (std::size_t i = 0; i < counters.lost.size(); ++i) {
      add("lost", kLossCauseNames[i], counters.lost[i]);
    }
    add("unknown", "", counters.unknown);
  }
}

void AddNumber(std::string_view name, std::string_view type, std::string_view help,
               std::uint64_t UploadCounters::* member, std::span<const ServerCounters> servers,
               std::string& text) {
  AddHead(name, type, help, text);
  for (const ServerCounters& server : servers) {
    text += fmt::format("{}{{server=\"{}\"}} {}\n", name, Escaped(server.server),
                        server.counters.*member);
  }
}

}  // namespace

std::string FormatMetrics(std::uint64_t samples_taken, std::span<const ServerCounters> servers) {
  std::string text;
  AddHead("agent_samples_total", "counter", "Samples taken.", text);
  text += fmt::format("agent_samples_total {}\n", samples_taken);
  if (servers.empty()) return text;
  AddResults("agent_upload_profiles_total", "Profiles by what became of them.", &Tally::windows,
             servers, text);
  AddResults("agent_upload_samples_total", "Their samples.", &Tally::samples, servers, text);
  AddNumber("agent_upload_retries_total", "counter", "Tries after the first one.",
            &UploadCounters::retried, servers, text);
  AddNumber("agent_upload_merged_total", "counter", "Profiles that became part of another one.",
            &UploadCounters::merged, servers, text);
  AddNumber("agent_upload_queue_bytes", "gauge", "What waits to be sent.",
            &UploadCounters::queued_bytes, servers, text);
  return text;
}

}  // namespace agent
