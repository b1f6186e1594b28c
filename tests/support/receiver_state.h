// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "tests/support/receiver_rules.h"

namespace receiver {

/// The faults to show and the requests that came. Safe from every thread.
class State {
 public:
  /// The next `count` requests are answered with `kind`; count < 0: all of them.
  void SetFault(std::string kind, int count);
  /// The fault of the request that has come; "" when there is none.
  [[nodiscard]] std::string TakeFault();
  /// Blocks until the fault is set anew, or for a minute.
  void Hang();

  void Record(nlohmann::json request);
  /// The same for what `verdict` accepted: tells profiles whose labels and time were there before.
  void Record(nlohmann::json request, const Verdict& verdict);
  [[nodiscard]] std::string Received() const;

  /// What querier.v1 answers (api/querier/v1/querier.proto): SelectMergeStacktraces and Series, by
  /// a selector of one label, over the profiles in memory. Null: there is no such method.
  [[nodiscard]] nlohmann::json Query(const std::string& method,
                                     const nlohmann::json& question) const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string fault_;
  int fault_count_ = 0;
  unsigned fault_changes_ = 0;
  nlohmann::json received_ = nlohmann::json::array();
  std::set<std::string> known_;  // labels and time
};

}  // namespace receiver
