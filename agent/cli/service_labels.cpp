// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/service_labels.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/path.h"
#include "agent/base/utf8.h"
#include "agent/process/proc_file.h"
#include "uploader/labels.h"

namespace agent {
namespace {

constexpr std::size_t kMostBytes = 1u << 20;
constexpr std::size_t kMostValue = 600;   // U+FFFD has three bytes: the server takes 2,048
constexpr std::size_t kMostKnown = 5000;  // a program could invent names for ever

// The value of NAME=value among words that each end in a zero; "" when there is none.
std::string ValueOf(std::string_view environment, std::string_view name) {
  while (!environment.empty()) {
    const std::size_t end = std::min(environment.find('\0'), environment.size());
    const std::string_view word = environment.substr(0, end);
    if (word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=') {
      return ReplaceNonUtf8(word.substr(name.size() + 1, kMostValue));
    }
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return "";
}

std::string ProgramOf(const std::string& folder) {
  std::array<char, 4096> path;  // NOLINT: readlink fills it
  const ssize_t size = ::readlink((folder + "/exe").c_str(), path.data(), path.size());
  if (size <= 0) return "";
  std::string_view text(path.data(), static_cast<std::size_t>(size));
  constexpr std::string_view kDeleted = " (deleted)";
  if (text.ends_with(kDeleted)) text.remove_suffix(kDeleted.size());
  return std::string(text);
}

void SetLabel(Labels& labels, std::string_view key, std::string value) {
  if (value.empty()) return;
  std::erase_if(labels, [&](const auto& label) { return label.first == key; });
  labels.emplace_back(key, std::move(value));
}

}  // namespace

Labels ServiceLabelsOf(std::string_view environment, std::string_view cgroup,
                       std::string_view program) {
  const auto value = [&](std::string_view name) { return ValueOf(environment, name); };
  const bool in_pod = !value("KUBERNETES_SERVICE_HOST").empty();
  std::string pod = value("POD_NAME");
  if (pod.empty() && in_pod) pod = value("HOSTNAME");
  std::string container = value("CONTAINER_NAME");
  std::string service;
  Labels labels;
  for (const std::string& name : {value("PYROSCOPE_APPLICATION_NAME"), value("OTEL_SERVICE_NAME"),
                                  container, pod, std::string(BaseName(program))}) {
    const auto parsed = ParseApplicationName(MakeServiceName(name.substr(0, name.find('{'))));
    if (!parsed) continue;
    service = parsed->service;
    break;
  }
  SetLabel(labels, "service_name", service.empty() ? "unknown" : service);
  SetLabel(labels, "pod", pod);
  SetLabel(labels, "namespace", value("POD_NAMESPACE"));
  SetLabel(labels, "container", container.empty() ? FindContainerId(cgroup) : container);
  std::ranges::sort(labels);
  return labels;
}

std::shared_ptr<const Labels> ServiceLabels::Of(Pid process) {
  const std::string folder = fmt::format("/proc/{}", static_cast<pid_t>(process));
  const std::string environment =
      ReadProcFile(folder + "/environ", kMostBytes).value_or(std::string());
  const auto cgroup = ReadProcFile(folder + "/cgroup");
  const std::string program = ProgramOf(folder);
  if (environment.empty() && program.empty()) return nullptr;
  Labels labels = ServiceLabelsOf(environment, cgroup.value_or(""), program);
  for (const auto& [key, value] : node_) SetLabel(labels, key, value);
  std::ranges::sort(labels);
  if (known_.size() >= kMostKnown) known_.clear();
  std::shared_ptr<const Labels>& known = known_[labels];
  if (known == nullptr) known = std::make_shared<const Labels>(labels);
  return known;
}

std::shared_ptr<const Labels> WithPid(const Labels& labels, Pid process) {
  Labels with = labels;
  SetLabel(with, "pid", fmt::format("{}", static_cast<pid_t>(process)));
  std::ranges::sort(with);
  return std::make_shared<const Labels>(std::move(with));
}

}  // namespace agent
