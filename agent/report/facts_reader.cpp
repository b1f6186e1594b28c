// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "agent/report/facts_json.h"

namespace agent {
namespace {

using nlohmann::json;

Nanoseconds SecondsOf(const json& value) {
  return std::chrono::round<Nanoseconds>(std::chrono::duration<double>(value.get<double>()));
}

template <typename T>
void Take(const json& object, const char* key, T& target) {
  if (const json& value = object.at(key); !value.is_null()) target = value.get<T>();
}

void TakeLosses(const json& object, LossCounters& losses) {
  Take(object, "torn", losses.torn);
  Take(object, "unreadable", losses.unreadable);
  Take(object, "stop_timeout", losses.stop_timeout);
  Take(object, "late_ticks", losses.late_ticks);
  Take(object, "dropped", losses.dropped);
  Take(object, "truncated", losses.truncated);
  Take(object, "incomplete", losses.incomplete);
  Take(object, "folded", losses.folded);
}

// Throws what nlohmann's accessors throw.
void TakeFacts(const json& object, RunFacts& facts) {
  Take(object, "name", facts.name);
  Take(object, "command", facts.command);
  if (const json& pid = object.at("pid"); !pid.is_null()) facts.pid = Pid{pid.get<pid_t>()};
  Take(object, "host", facts.host);
  Take(object, "system", facts.system);
  Take(object, "cpus", facts.cpus);
  Take(object, "rate_achieved", facts.achieved_rate);
  for (const json& runtime : object.at("runtimes")) {
    facts.runtimes.push_back({.name = runtime.at("name").get<std::string>(),
                              .processes = runtime.at("processes").get<std::int64_t>()});
  }
  if (const json& cpu = object.at("kernel_cpu"); !cpu.is_null()) facts.kernel_cpu = SecondsOf(cpu);
  const json& pauses = object.at("pauses");
  facts.pauses = {.count = pauses.at("count").get<std::uint64_t>(),
                  .p50 = SecondsOf(pauses.at("p50")),
                  .p99 = SecondsOf(pauses.at("p99")),
                  .max = SecondsOf(pauses.at("max"))};
  if (const json& own = object.at("own"); !own.is_null()) {
    facts.own = {.cpu = SecondsOf(own.at("cpu")),
                 .peak_bytes = own.at("peak_bytes").get<std::uint64_t>()};
  }
  if (const json& throttling = object.at("throttling"); !throttling.is_null()) {
    facts.throttling = {
        .periods = throttling.at("periods").get<std::uint64_t>(),
        .throttled_periods = throttling.at("throttled_periods").get<std::uint64_t>(),
        .throttled = SecondsOf(throttling.at("throttled"))};
  }
}

}  // namespace

bool ReadFactsJson(std::string_view text, RunFacts& facts, LossCounters& losses) {
  const json object = json::parse(text, nullptr, false);
  try {
    RunFacts read;
    LossCounters lost;
    TakeFacts(object, read);
    TakeLosses(object.at("losses"), lost);
    facts = std::move(read);
    losses = lost;
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

}  // namespace agent
