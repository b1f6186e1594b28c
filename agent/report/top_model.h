// SPDX-License-Identifier: Apache-2.0
// The figures of `agent top`: of the last seconds and of the whole run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/profile/profile.h"

namespace agent {

/// Sums are made when a window comes, each from that window alone, so that a look costs no walk
/// over the run's stacks. One thread at a time.
class TopModel {
 public:
  /// Of these many windows the figures of "now" are.
  static constexpr std::size_t kRecentWindows = 5;

  /// `folded`: the marker of folded stacks; outlives this.
  explicit TopModel(const Function* folded) : folded_(folded) {}

  /// A window of the run, with names, whose functions outlive this. `is_recent`: it belongs to
  /// "now" too.
  void Add(const Profile& window, bool is_recent);

  /// Shares of all CPU time, in percent.
  struct FunctionShare {
    const Function* function = nullptr;
    double self_now = 0;
    double total_now = 0;
    double self_all = 0;
    double total_all = 0;
  };
  /// All functions of the run, in no particular order.
  [[nodiscard]] std::vector<FunctionShare> Functions() const;

  struct CallerShare {
    double share = 0;                      ///< Of the function's own total, in percent.
    std::vector<const Function*> callers;  ///< The nearest first.
  };
  /// Who called it, over the whole run, the most costly first. Walks over all stacks.
  [[nodiscard]] std::vector<CallerShare> CallersOf(const Function* function) const;

  struct ThreadShare {
    Tid tid{};
    std::string name;
    double cpu = 0;  ///< Of one CPU, in percent.
    double gil = 0;  ///< The other three of the thread's own CPU time, in percent.
    double collecting = 0;
    double compiling = 0;
  };
  /// Of the last seconds, the busiest first.
  [[nodiscard]] std::vector<ThreadShare> Threads() const;
  /// Whether any sample told of it so far: what a runtime does not have is shown as no figure.
  struct Known {
    bool gil = false;
    bool collecting = false;
    bool compiling = false;
  };
  [[nodiscard]] const Known& known() const { return known_; }

  struct Sum {
    Nanoseconds duration{0};
    SampleValue value;
  };
  [[nodiscard]] Sum Recent() const;
  [[nodiscard]] Sum All() const { return all_sum_; }
  [[nodiscard]] std::uint64_t lost() const { return all_ ? all_->losses().LostSamples() : 0; }

 private:
  struct Cost {
    std::int64_t self = 0;
    std::int64_t total = 0;
  };
  using Costs = std::unordered_map<const Function*, Cost>;
  struct Activity {
    std::int64_t cpu = 0;
    std::int64_t gil = 0;
    std::int64_t collecting = 0;
    std::int64_t compiling = 0;
  };
  struct Window {
    Sum sum;
    Costs costs;
    std::map<std::pair<Tid, std::string>, Activity> threads;
  };

  Window SumUp(const Profile& window);

  const Function* const folded_;
  std::deque<Window> recent_;
  std::optional<Profile> all_;  // without the markers
  Costs all_costs_;
  Sum all_sum_;
  Known known_;
};

}  // namespace agent
