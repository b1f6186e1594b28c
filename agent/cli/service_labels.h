// SPDX-License-Identifier: Apache-2.0
// Whose a process is, for `connect --all`: one series for each container or program.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/types.h"
#include "agent/profile/profile.h"

namespace agent {

/// What /proc tells of a process, as labels: service_name from its environment
/// (PYROSCOPE_APPLICATION_NAME, OTEL_SERVICE_NAME), else its container's name (CONTAINER_NAME),
/// else its pod's, else its program; pod, namespace and container where the environment (POD_NAME,
/// POD_NAMESPACE, in a pod HOSTNAME) and the cgroup say so. `node`: those of the machine and the
/// user's tags, which go before. One pointer for equal labels.
class ServiceLabels {
 public:
  explicit ServiceLabels(Labels node) : node_(std::move(node)) {}
  /// Null when it has ended.
  [[nodiscard]] std::shared_ptr<const Labels> Of(Pid process);

 private:
  const Labels node_;
  std::map<Labels, std::shared_ptr<const Labels>> known_;
};

/// The same from texts: `environment` as /proc/PID/environ, `cgroup` as /proc/PID/cgroup, `program`
/// the executable's path.
[[nodiscard]] Labels ServiceLabelsOf(std::string_view environment, std::string_view cgroup,
                                     std::string_view program);

/// `labels` with the process's id as "pid", in the place of one that they have: --tag-pid.
[[nodiscard]] std::shared_ptr<const Labels> WithPid(const Labels& labels, Pid process);

}  // namespace agent
