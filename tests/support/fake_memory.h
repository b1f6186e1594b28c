// SPDX-License-Identifier: Apache-2.0
// A target's memory for unit tests: bytes by address, in pages that come into being when written
// to.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <string_view>
#include <vector>

#include "agent/process/memory.h"

namespace agent {

class FakeMemory final : public ProcessMemory {
 public:
  template <typename T>
  void Put(std::uint64_t address, T value) {
    std::byte bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) At(address + i) = bytes[i];
  }
  void PutText(std::uint64_t address, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) At(address + i) = static_cast<std::byte>(text[i]);
  }
  void Unmap(std::uint64_t address) { pages_.erase(address / kPage); }

  /// Called before each range is read: a program that runs on meanwhile.
  std::function<void(int range)> between;

  Result<void> ReadRanges(std::span<const ReadRange> ranges) override {
    ++reads;
    int number = 0;
    for (const ReadRange& range : ranges) {
      if (between) between(number++);
      for (std::size_t i = 0; i < range.destination.size(); ++i) {
        const std::uint64_t address = range.address.value() + i;
        const auto page = pages_.find(address / kPage);
        if (page == pages_.end()) return Fail(Errc::kUnreadable, "not mapped");
        range.destination[i] = page->second[address % kPage];
      }
    }
    return {};
  }

  Result<std::size_t> ReadSome(RemoteAddress address, std::span<std::byte> destination) override {
    std::size_t got = 0;
    while (got < destination.size()) {
      const auto page = pages_.find((address.value() + got) / kPage);
      if (page == pages_.end()) break;
      destination[got] = page->second[(address.value() + got) % kPage];
      ++got;
    }
    if (got == 0) return Fail(Errc::kUnreadable, "not mapped");
    return got;
  }

  int reads = 0;

 private:
  static constexpr std::uint64_t kPage = 4096;

  std::byte& At(std::uint64_t address) {
    std::vector<std::byte>& page = pages_[address / kPage];
    page.resize(kPage);
    return page[address % kPage];
  }

  std::map<std::uint64_t, std::vector<std::byte>> pages_;
};

}  // namespace agent
