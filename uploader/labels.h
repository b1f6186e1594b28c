// SPDX-License-Identifier: Apache-2.0
// What the profiles of a run are labelled with, and how users write it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/profile/profile.h"

namespace agent {

/// "key=value", split at the first '='. The key is [A-Za-z_][A-Za-z0-9_]* without "__" in front,
/// the value UTF-8 of at most 2,048 bytes (the server's limit). kInvalid with a text that names the
/// tag.
[[nodiscard]] Result<std::pair<std::string, std::string>> ParseTag(std::string_view text);

struct ApplicationName {
  std::string service;
  Labels labels;
};

/// "name" or "name{key=value,...}", as the old agent took it; the name is of [A-Za-z0-9_.-/], what
/// its server took. kInvalid as for tags.
[[nodiscard]] Result<ApplicationName> ParseApplicationName(std::string_view text);

/// "key=value,key=value", as PYROSCOPE_LABELS and OTEL_RESOURCE_ATTRIBUTES have it; `percent`: the
/// values are percent-encoded, as in the latter. Keys are made valid ("k8s.pod.name" is
/// k8s_pod_name); pairs that cannot be are left out.
[[nodiscard]] Labels ParseLabelList(std::string_view text, bool percent);

/// `text` with every character that an application name cannot have as '_'.
[[nodiscard]] std::string MakeServiceName(std::string_view text);

/// Where the agent runs, as labels that tell replicas apart (the server drops a profile that has
/// the labels and the time of another one): "pod", "namespace", "node" and "container" by the names
/// that the downward API usually gives them (POD_NAME, POD_NAMESPACE or the service account's,
/// NODE_NAME, CONTAINER_NAME), "hostname" outside of a pod, and the container's id by the cgroup
/// where it has no name. `root`: "" but in tests.
[[nodiscard]] Labels FindPlace(const std::function<const char*(const char*)>& get_environment,
                               const std::string& root = "");

/// service_name, `place`, what `application_name` carries in braces, and `tags`, the later before
/// the earlier. Sorted by key. At most what the server takes; tags past that are left out and
/// warned of.
[[nodiscard]] Labels MakeLabels(std::string_view application_name, const Labels& tags,
                                const Labels& place);

}  // namespace agent
