// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/session_facts.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <ranges>
#include <utility>

#include "agent/process/proc_file.h"

namespace agent {
namespace {

std::vector<std::string> ReadCommand(Pid pid) {
  const auto text = ReadProcFile(fmt::format("/proc/{}/cmdline", static_cast<pid_t>(pid)));
  std::vector<std::string> words;
  if (!text) return words;
  for (auto&& word : std::views::split(*text, '\0')) words.emplace_back(word.begin(), word.end());
  if (!words.empty() && words.back().empty()) words.pop_back();  // each word ends in a zero
  return words;
}

std::uint32_t UsableCpus(Pid pid) {
  cpu_set_t set;
  if (::sched_getaffinity(static_cast<pid_t>(pid), sizeof(set), &set) != 0) return 0;
  return static_cast<std::uint32_t>(CPU_COUNT(&set));
}

Nanoseconds DurationOf(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

SessionFacts::SessionFacts(const SamplerStart& start, std::string application_name,
                           std::vector<std::string> command)
    : cpu_stat_(FindCpuStat(start.target)), throttled_before_(ReadCpuThrottling(cpu_stat_)) {
  facts_.name = std::move(application_name);
  facts_.command = command.empty() ? ReadCommand(start.target) : std::move(command);
  facts_.pid = start.target;
  facts_.cpus = UsableCpus(start.target);
  utsname names{};
  if (::uname(&names) == 0) {
    facts_.host = names.nodename;
    facts_.system = fmt::format("{} {} {}", names.sysname, names.release, names.machine);
  }
}

RunFacts SessionFacts::AtEnd(const SamplerReport& report, std::vector<UnnamedCode> unnamed) const {
  RunFacts facts = facts_;
  for (const auto& [name, processes] : report.runtimes) facts.runtimes.push_back({name, processes});
  facts.kernel_cpu = report.kernel_cpu;
  facts.achieved_rate = report.achieved_rate;
  facts.pauses = {.count = report.pauses.count(),
                  .p50 = report.pauses.Quantile(0.5),
                  .p99 = report.pauses.Quantile(0.99),
                  .max = report.pauses.max(),
                  .total = report.pauses.total()};
  facts.unnamed = std::move(unnamed);
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    facts.own = {.cpu = DurationOf(usage.ru_utime) + DurationOf(usage.ru_stime),
                 .peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
  }
  if (const auto after = ReadCpuThrottling(cpu_stat_); after && throttled_before_) {
    facts.throttling = {
        .periods = after->periods - throttled_before_->periods,
        .throttled_periods = after->throttled_periods - throttled_before_->throttled_periods,
        .throttled = after->throttled - throttled_before_->throttled};
  }
  return facts;
}

}  // namespace agent
