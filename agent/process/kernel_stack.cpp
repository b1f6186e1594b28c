// SPDX-License-Identifier: Apache-2.0
#include "agent/process/kernel_stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/process/proc_file.h"

namespace agent {
namespace {

// The kernel's own bound is MAX_STACK_TRACE_DEPTH, 64 (fs/proc/base.c).
constexpr std::size_t kMaxLevels = 64;
constexpr std::size_t kMaxName = 512;  // KSYM_NAME_LEN
constexpr std::size_t kMaxBytes = 64u << 10;

}  // namespace

std::vector<std::string> ParseKernelStack(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty() && names.size() < kMaxLevels) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t address_end = line.find("] ");
    if (!line.starts_with("[<") || address_end == std::string_view::npos) continue;
    line.remove_prefix(address_end + 2);
    const std::string_view name = line.substr(0, line.find_first_of("+ "));
    if (name.empty() || name.starts_with("0x") || name.size() > kMaxName) continue;
    names.emplace_back(name);
  }
  return names;
}

Result<KernelStacks> KernelStacks::Open(std::string proc) {
  AGENT_CHECK_OK(ReadProcFile(proc + "/self/stack", kMaxBytes));
  return KernelStacks(std::move(proc));
}

Result<std::vector<std::string>> KernelStacks::Read(Pid pid, Tid tid) const {
  AGENT_TRY(const std::string text,
            ReadProcFile(fmt::format("{}/{}/task/{}/stack", proc_, static_cast<pid_t>(pid),
                                     static_cast<pid_t>(tid)),
                         kMaxBytes));
  return ParseKernelStack(text);
}

}  // namespace agent
