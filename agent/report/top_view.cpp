// SPDX-License-Identifier: Apache-2.0
#include "agent/report/top_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/utf8.h"
#include "agent/report/printable.h"

namespace agent {
namespace {

double Seconds(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

// The first `columns` characters.
std::string Clipped(const std::string& line, std::size_t columns) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (!IsContinuation(line[i]) && ++characters > columns) return line.substr(0, i);
  }
  return line;
}

std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return !IsContinuation(c); }));
}

// "" where it is not known.
std::string PlaceOf(const Function& function) {
  if (function.file.empty()) return "";
  return fmt::format(" ({}:{})", Printable(function.file), function.start_line);
}

std::string Described(const Function& function) {
  return Printable(function.name) + PlaceOf(function);
}

}  // namespace

TopView::TopView(std::string process, std::string command, const Function* folded)
    : process_(std::move(process)), command_(std::move(command)), model_(folded) {}

void TopView::Add(const Profile& window) {
  model_.Add(window, !paused_);
  is_stale_ = true;
}

void TopView::Show(const Function* callers_of, bool threads) {
  callers_of_ = callers_of;
  shows_threads_ = threads;
  selected_ = 0;
}

void TopView::Press(Key key, char character) {
  if (is_stale_) Refresh();
  is_stale_ = true;
  switch (key) {
    case Key::kUp:
      if (selected_ > 0) --selected_;
      break;
    case Key::kDown:
      ++selected_;  // Refresh knows how many there are
      break;
    case Key::kEnter:
      if (std::exchange(typing_, false) || selected_ >= rows_.size()) break;
      Show(rows_[selected_], false);
      break;
    case Key::kEscape:
      // One step back.
      if (typing_ || (callers_of_ == nullptr && !shows_threads_)) filter_.clear();
      if (!std::exchange(typing_, false)) Show(nullptr, false);
      break;
    case Key::kBackspace:
      while (typing_ && !filter_.empty() && IsContinuation(filter_.back())) filter_.pop_back();
      if (typing_ && !filter_.empty()) filter_.pop_back();
      break;
    case Key::kCharacter:
      if (typing_) {
        filter_ += character;
        selected_ = 0;
      } else {
        PressCommand(character);
      }
      break;
  }
}

void TopView::PressCommand(char character) {
  switch (character) {
    case 'q':
      quit_ = is_ending_ = true;
      break;
    case 's':
      by_total_ = !by_total_;
      break;
    case 'a':
      sort_by_all_ = !sort_by_all_;
      break;
    case 't':
      Show(nullptr, !shows_threads_);
      break;
    case 'p':
      paused_ = !paused_;
      break;
    case '/':
      Show(nullptr, false);
      typing_ = true;
      filter_.clear();
      break;
    case 'k':
      Press(Key::kUp);
      break;
    case 'j':
      Press(Key::kDown);
      break;
    default:
      break;
  }
}

std::vector<TopView::Share> TopView::SortedFunctions() const {
  std::vector<Share> shares = model_.Functions();
  if (!filter_.empty()) {
    std::erase_if(
        shares, [&](const Share& share) { return !Described(*share.function).contains(filter_); });
  }
  double Share::* const now = by_total_ ? &Share::total_now : &Share::self_now;
  double Share::* const all = by_total_ ? &Share::total_all : &Share::self_all;
  const auto figures = [&](const Share& share) {
    return sort_by_all_ ? std::pair(share.*all, share.*now) : std::pair(share.*now, share.*all);
  };
  std::ranges::sort(shares, [&](const Share& a, const Share& b) {
    if (figures(a) != figures(b)) return figures(a) > figures(b);
    return a.function->name < b.function->name;
  });
  return shares;
}

std::string TopView::HeadLine() const {
  const TopModel::Sum recent = model_.Recent();
  const TopModel::Sum all = model_.All();
  const double seconds = Seconds(recent.duration.count());
  std::string text = process_;
  if (seconds > 0) {
    text += fmt::format(": {:.0f} % CPU, {:.0f} samples/s",
                        100 * Seconds(recent.value.cpu_ns) / seconds,
                        static_cast<double>(recent.value.count) / seconds);
  }
  if (all.duration > Nanoseconds(0)) {
    text += fmt::format("; {:.1f} s of CPU since {:.0f} s", Seconds(all.value.cpu_ns),
                        Seconds(all.duration.count()));
  }
  if (model_.lost() > 0) text += fmt::format("; {} samples lost", model_.lost());
  if (is_ending_) text += "; ENDING";
  if (paused_) text += "; PAUSED";
  return text + "; " + command_;  // the last, for where there is little room
}

std::string TopView::KeysLine() const {
  if (typing_) return fmt::format("filter: {}_  Enter done  Esc none", filter_);
  if (callers_of_ != nullptr || shows_threads_) return "Esc back  p pause  q quit";
  std::string text = "q quit  s self/total  a now/all  t threads  p pause  / filter  Enter callers";
  if (!filter_.empty()) text = fmt::format("filter: {}  Esc none  {}", filter_, text);
  return text;
}

std::vector<std::string> TopView::TableHead() const {
  if (shows_threads_) return {" CPU %  GIL %   GC %  JIT %       tid  thread"};
  if (callers_of_ != nullptr) {
    return {fmt::format("callers of {}, nearest first", Described(*callers_of_))};
  }
  // What is sorted by is in capitals.
  const std::string_view sorted = by_total_ ? "  self  TOTAL" : "  SELF  total";
  constexpr std::string_view kOthers = "  self  total";
  return {fmt::format("{:>13}  {:>13}", fmt::format("last {} s, %", TopModel::kRecentWindows),
                      "since start"),
          fmt::format("{}  {}  function", sort_by_all_ ? kOthers : sorted,
                      sort_by_all_ ? sorted : kOthers)};
}

std::string TopView::Line::Within(std::size_t columns) const {
  const std::size_t room = columns - std::min(columns, Width(text));
  if (Width(name) + Width(place) <= room) return Clipped(text + name + place, columns);
  constexpr std::size_t kLeastPlace = 16;
  if (Width(name) + kLeastPlace <= room) return text + name + Fitted(place, room - Width(name));
  return Clipped(text + Fitted(name, std::max<std::size_t>(room, 1)), columns);
}

std::vector<TopView::Line> TopView::FunctionLines(const std::vector<Share>& shares) {
  std::vector<Line> lines;
  lines.reserve(shares.size());
  for (const Share& share : shares) {
    lines.push_back({.text = fmt::format("{:6.1f} {:6.1f}  {:6.1f} {:6.1f}  ", share.self_now,
                                         share.total_now, share.self_all, share.total_all),
                     .name = Printable(share.function->name),
                     .place = PlaceOf(*share.function)});
  }
  return lines;
}

std::vector<TopView::Line> TopView::CallerLines() const {
  std::vector<Line> lines;
  for (const TopModel::CallerShare& share : model_.CallersOf(callers_of_)) {
    std::string callers;
    for (const Function* caller : share.callers) {
      callers += fmt::format("{}{}", callers.empty() ? "" : " < ", Printable(caller->name));
    }
    lines.push_back({.text = fmt::format("{:6.1f} %  {}", share.share,
                                         callers.empty() ? "(no caller)" : callers),
                     .name = "",
                     .place = ""});
  }
  return lines;
}

std::vector<TopView::Line> TopView::ThreadLines() const {
  std::vector<Line> lines;
  const auto figure = [](bool is_known, double share) {
    return is_known ? fmt::format("{:6.1f}", share) : "     -";
  };
  const TopModel::Known& known = model_.known();
  for (const TopModel::ThreadShare& share : model_.Threads()) {
    lines.push_back({.text = fmt::format(
                         "{:6.1f} {} {} {}  {:>8}  ", share.cpu, figure(known.gil, share.gil),
                         figure(known.collecting, share.collecting),
                         figure(known.compiling, share.compiling), static_cast<pid_t>(share.tid)),
                     .name = Printable(share.name),
                     .place = ""});
  }
  return lines;
}

void TopView::Refresh() {
  is_stale_ = false;
  head_ = {HeadLine(), KeysLine()};
  for (std::string& line : TableHead()) head_.push_back(std::move(line));
  rows_.clear();
  if (shows_threads_) {
    table_ = ThreadLines();
  } else if (callers_of_ != nullptr) {
    table_ = CallerLines();
  } else {
    const std::vector<Share> shares = SortedFunctions();
    table_ = FunctionLines(shares);
    for (const Share& share : shares) rows_.push_back(share.function);
  }
  selected_ = table_.empty() ? 0 : std::min(selected_, table_.size() - 1);
}

TopView::Picture TopView::Draw(std::size_t rows, std::size_t columns) {
  if (is_stale_) Refresh();
  Picture picture{.lines = head_, .selected = std::nullopt};
  const std::size_t room = rows > head_.size() ? rows - head_.size() : 0;
  const std::size_t first = selected_ >= room && room > 0 ? selected_ - room + 1 : 0;
  for (std::size_t i = first; i < std::min(table_.size(), first + room); ++i) {
    if (i == selected_) picture.selected = picture.lines.size();
    picture.lines.push_back(table_[i].Within(columns));
  }
  if (picture.lines.size() > rows) picture.lines.resize(rows);
  for (std::string& line : picture.lines) line = Clipped(line, columns);
  return picture;
}

std::string TopView::PlainLines(std::size_t functions) const {
  std::string text = HeadLine() + "\n";
  std::vector<Share> shares = SortedFunctions();
  shares.resize(std::min(shares.size(), functions));
  for (const Share& share : shares) {
    text += fmt::format("  {:5.1f} % self {:5.1f} % total  {}\n", share.self_now, share.total_now,
                        Described(*share.function));
  }
  return text;
}

}  // namespace agent
