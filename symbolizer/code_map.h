// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace agent {

/// Code that a just-in-time compiler has named.
struct JitCode {
  struct Row {
    std::uint64_t offset = 0;  ///< From the start of the code.
    std::uint32_t line = 0;
  };
  std::string name;
  std::string file;              ///< "" when unknown.
  std::uint32_t start_line = 0;  ///< 0 when unknown.
  std::vector<Row> rows;         ///< In the order of their offsets.
};

/// Which code is where in a process. What is added later takes the place of what was there.
class CodeMap {
 public:
  struct Found {
    std::shared_ptr<const JitCode> code;
    std::uint32_t line = 0;  ///< The line being run; 0 when unknown.
  };

  void Add(std::uint64_t start, std::uint64_t size, std::shared_ptr<const JitCode> code);
  /// The code that begins at `from` now lies at `to`. Nothing happens when there is none.
  void Move(std::uint64_t from, std::uint64_t to, std::uint64_t size);
  /// `code` is null when there is nothing at `address`.
  [[nodiscard]] Found Find(std::uint64_t address) const;
  [[nodiscard]] std::size_t size() const { return ranges_.size(); }
  void Clear() { ranges_.clear(); }

 private:
  // More pieces of code than this are not taken: a hostile file.
  static constexpr std::size_t kMaxRanges = 2u << 20;

  struct Range {
    std::uint64_t end;
    std::uint64_t code_start;  // lower than the key where the beginning was overwritten
    std::shared_ptr<const JitCode> code;
  };
  void Remove(std::uint64_t start, std::uint64_t end);

  std::map<std::uint64_t, Range> ranges_;  // by start; never overlapping
};

}  // namespace agent
