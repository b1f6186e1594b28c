// SPDX-License-Identifier: Apache-2.0
// What `agent top` shows: a model of the last seconds and of the whole run, and its picture as
// lines of text. No terminal, no clock.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/profile/profile.h"

namespace agent {

/// One thread at a time.
class TopView {
 public:
  /// Of these many windows the figures of "now" are.
  static constexpr std::size_t kRecentWindows = 5;

  /// `title`: the process. `folded`: the marker of folded stacks; outlives this.
  TopView(std::string title, const Function* folded);

  /// A window of the run, with names. Functions outlive this.
  void Add(const Profile& window);

  enum class Key { kUp, kDown, kEnter, kEscape, kBackspace, kCharacter };
  /// What the user pressed; `character` for kCharacter.
  void Press(Key key, char character = 0);
  [[nodiscard]] bool wants_to_quit() const { return quit_; }

  /// At most `rows` lines of at most `columns` columns; `selected` is the line that is to be
  /// marked, if one is.
  struct Picture {
    std::vector<std::string> lines;
    std::optional<std::size_t> selected;
  };
  [[nodiscard]] Picture Draw(std::size_t rows, std::size_t columns) const;
  /// For what is no terminal: the `functions` hottest of the last window, and a line above.
  [[nodiscard]] std::string PlainLines(std::size_t functions) const;

 private:
  struct Row {
    const Function* function = nullptr;
    double self_now = 0;  // of all CPU time, in percent
    double total_now = 0;
    double self_all = 0;
    double total_all = 0;
  };

  [[nodiscard]] Profile Recent() const;
  [[nodiscard]] std::vector<Row> Rows(const Profile& recent) const;
  [[nodiscard]] std::string HeadLine(const Profile& recent) const;
  [[nodiscard]] std::vector<std::string> FunctionLines() const;
  [[nodiscard]] std::vector<std::string> CallerLines() const;
  [[nodiscard]] std::vector<std::string> ThreadLines() const;
  void PressCommand(char character);

  const std::string title_;
  const Function* const folded_;
  std::deque<Profile> recent_;
  std::optional<Profile> all_;
  bool by_total_ = false;
  bool sort_by_all_ = false;
  bool shows_threads_ = false;
  bool paused_ = false;
  bool typing_ = false;  // the filter
  bool quit_ = false;
  std::string filter_;
  std::size_t selected_ = 0;
  const Function* callers_of_ = nullptr;
};

}  // namespace agent
