// SPDX-License-Identifier: Apache-2.0
// What `agent top` shows, as lines of text, and what its keys do. No terminal, no clock.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/profile/profile.h"
#include "agent/report/top_model.h"

namespace agent {

/// One thread at a time.
class TopView {
 public:
  /// `process`: its number; `command`: what it runs. `folded`: the marker of folded stacks;
  /// outlives this.
  TopView(std::string process, std::string command, const Function* folded);

  /// A window of the run, with names. Functions outlive this.
  void Add(const Profile& window);

  enum class Key { kUp, kDown, kEnter, kEscape, kBackspace, kCharacter };
  /// What the user pressed; `character` for kCharacter.
  void Press(Key key, char character = 0);
  /// Whether the user wants to leave; true once for each time that he has said so.
  [[nodiscard]] bool TakeQuit() { return std::exchange(quit_, false); }

  /// At most `rows` lines of at most `columns` columns; `selected` is the line that is to be
  /// marked, if one is.
  struct Picture {
    std::vector<std::string> lines;
    std::optional<std::size_t> selected;
  };
  /// Costs as much as it is large, unless something has changed since the last one.
  [[nodiscard]] Picture Draw(std::size_t rows, std::size_t columns);
  /// For what is no terminal: the `functions` hottest of the last window, and a line above.
  [[nodiscard]] std::string PlainLines(std::size_t functions) const;

 private:
  using Share = TopModel::FunctionShare;
  // A row of the table. Where there is little room the place goes first, then the name's beginning.
  struct Line {
    std::string text;
    std::string name;
    std::string place;
    [[nodiscard]] std::string Within(std::size_t columns) const;
  };

  void Refresh();
  void PressCommand(char character);
  void Show(const Function* callers_of, bool threads);
  [[nodiscard]] std::vector<Share> SortedFunctions() const;
  [[nodiscard]] std::string HeadLine() const;
  [[nodiscard]] std::string KeysLine() const;
  [[nodiscard]] std::vector<std::string> TableHead() const;
  [[nodiscard]] static std::vector<Line> FunctionLines(const std::vector<Share>& shares);
  [[nodiscard]] std::vector<Line> CallerLines() const;
  [[nodiscard]] std::vector<Line> ThreadLines() const;

  const std::string process_;
  const std::string command_;
  TopModel model_;
  bool by_total_ = false;
  bool sort_by_all_ = false;
  bool shows_threads_ = false;
  bool paused_ = false;
  bool typing_ = false;  // the filter
  bool quit_ = false;
  bool is_ending_ = false;  // the user has said that he wants to leave
  std::string filter_;
  const Function* callers_of_ = nullptr;
  std::size_t selected_ = 0;  // in table_, once that is up to date

  // Follows from all above.
  bool is_stale_ = true;
  std::vector<std::string> head_;
  std::vector<Line> table_;
  std::vector<const Function*> rows_;  // of table_, where it shows functions
};

}  // namespace agent
