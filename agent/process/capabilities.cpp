// SPDX-License-Identifier: Apache-2.0
#include "agent/process/capabilities.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace agent {
namespace {

using CapabilityData = std::array<__user_cap_data_struct, 2>;

}  // namespace

bool HasCapability(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilityData data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  const auto bit = static_cast<unsigned>(capability);
  return (data.at(bit / 32).effective & (1u << (bit % 32))) != 0;
}

void DropCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const CapabilityData none{};
  ::syscall(SYS_capset, &header, none.data());
}

}  // namespace agent
