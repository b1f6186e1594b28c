// SPDX-License-Identifier: Apache-2.0
// What the profiles of a run are labelled with, and how users write it.
#pragma once

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

/// service_name, what `application_name` carries in braces, hostname (what tells replicas apart:
/// the server drops a profile that has the labels and the time of another one) and `tags`, the
/// later before the earlier. Sorted by key. At most what the server takes; tags past that are left
/// out and warned of.
[[nodiscard]] Labels MakeLabels(std::string_view application_name, const Labels& tags,
                                std::string_view host);
/// The same with the host being POD_NAME of the environment, the system's host name or HOSTNAME.
[[nodiscard]] Labels MakeLabels(std::string_view application_name, const Labels& tags);

}  // namespace agent
