// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace agent {

/// Ranges of addresses that may overlap, each with a value. Fill, Seal, then look up.
template <typename Value>
class RangeTable {
 public:
  struct Entry {
    std::uint64_t low = 0;
    std::uint64_t high = 0;  ///< First address behind it.
    Value value{};
  };

  void Add(std::uint64_t low, std::uint64_t high, Value value) {
    if (low < high) entries_.push_back({low, high, std::move(value)});
  }

  /// Of ranges with one start, what is added later is found first.
  void Seal() {
    std::ranges::stable_sort(entries_, {}, &Entry::low);
    highest_.resize(entries_.size());
    std::uint64_t highest = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      highest = std::max(highest, entries_[i].high);
      highest_[i] = highest;
    }
  }

  /// Calls `visit` with the entries that contain `address`, those that begin last first, until it
  /// returns true; returns whether it did.
  template <typename Visit>
  bool Find(std::uint64_t address, Visit&& visit) const {
    auto place = std::ranges::upper_bound(entries_, address, {}, &Entry::low);
    for (std::size_t steps = 0; place != entries_.begin() && steps < kMaxSteps; ++steps) {
      --place;
      if (highest_[static_cast<std::size_t>(place - entries_.begin())] <= address) return false;
      if (address < place->high && visit(*place)) return true;
    }
    return false;
  }

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  // Bounds the look-up where a file claims one huge range and many small ones within.
  static constexpr std::size_t kMaxSteps = 256;

  std::vector<Entry> entries_;
  std::vector<std::uint64_t> highest_;  // of all entries up to this one
};

}  // namespace agent
