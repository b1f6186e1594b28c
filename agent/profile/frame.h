// SPDX-License-Identifier: Apache-2.0
// Frames, and the table of the functions that they name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace agent {

/// A function of a program, or a marker such as "[not sampled]" (then `file` is empty). Immutable.
struct Function {
  std::string name;              ///< Qualified, UTF-8.
  std::string file;              ///< As the runtime says it, UTF-8; "" when unknown.
  std::uint32_t start_line = 0;  ///< First line of the function; 0 when unknown.
};

/// A file, or a piece of memory, that code was loaded from. Addresses in it are the file's own
/// (ELF) ones, the same in every process; where there is no file, the process's. Immutable, lives
/// as long as the run.
struct Module {
  std::string path;      ///< As the target sees it; "[vdso]"; "[anonymous code]" without a file.
  std::string build_id;  ///< Lower-case hex; "" when it has none.
  // Its executable part, for a server that has the symbols: addresses, and where it is in the file.
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t file_offset = 0;
};

/// One level of a stack. Either `function` is set, or it is machine code that has no name yet:
/// `module` and `address` are set then, and the symbolizer names it before a window reaches a sink.
struct Frame {
  const Function* function = nullptr;  ///< Lives as long as its FunctionTable.
  std::uint32_t line = 0;              ///< The line being run; 0 when unknown.
  /// Was compiled into the next frame (its caller) and has no frame of its own on the stack.
  bool inlined = false;
  /// Of machine code that could not be named, so that a server can; null else, and for code that
  /// was named.
  const Module* module = nullptr;
  /// In `module`, of the instruction that runs (leaf) or calls: one less than the return address.
  std::uint64_t address = 0;
  friend bool operator==(const Frame&, const Frame&) = default;
};

/// Frames from the leaf (index 0) to the root.
using Stack = std::vector<Frame>;

/// Every function seen in a run, once. Pointers stay valid and the functions unchanged as long as
/// the table lives, so that frames may be handed to other threads; Intern itself is for one thread
/// only. Bounded (a hostile program could invent names for ever): past kMaxBytes, new functions all
/// become the marker "[too many functions]". Bytes that are not UTF-8 are replaced by U+FFFD, so
/// that what the table holds may be put into any format.
class FunctionTable {
 public:
  static constexpr std::size_t kMaxBytes = 32u << 20;

  const Function* Intern(std::string_view name, std::string_view file, std::uint32_t start_line);
  /// A function without a file that no program has: "[not sampled]".
  const Function* Marker(std::string_view name) { return Intern(name, {}, 0); }

 private:
  struct Key {
    std::string_view name;
    std::string_view file;
    std::uint32_t start_line;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };

  std::deque<Function> functions_;
  std::unordered_map<Key, const Function*, KeyHash> index_;
  std::size_t bytes_ = 0;
};

}  // namespace agent
