// SPDX-License-Identifier: Apache-2.0
#include "agent/report/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "agent/base/utf8.h"
#include "agent/report/function_costs.h"
#include "agent/report/printable.h"

namespace agent {
namespace {

constexpr std::size_t kMostBytes = 16u << 20;  // of the whole run
constexpr std::string_view kCollector = "<gc>";
constexpr std::size_t kHeadLines = 3;

double Percent(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

// The first `columns` characters.
std::string Clipped(const std::string& line, std::size_t columns) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (!IsContinuation(line[i]) && ++characters > columns) return line.substr(0, i);
  }
  return line;
}

std::string Place(const Function& function) {
  if (function.file.empty()) return Printable(function.name);
  return fmt::format("{} ({}:{})", Printable(function.name), Printable(function.file),
                     function.start_line);
}

}  // namespace

TopView::TopView(std::string title, const Function* folded)
    : title_(std::move(title)), folded_(folded) {}

void TopView::Add(const Profile& window) {
  if (!all_) all_.emplace(window.start(), Nanoseconds(0));
  all_->Merge(window);
  all_->set_duration(window.start() + window.duration() - all_->start());
  all_->Shrink(kMostBytes, folded_);
  if (paused_) return;
  recent_.push_back(window);
  if (recent_.size() > kRecentWindows) recent_.pop_front();
}

void TopView::Press(Key key, char character) {
  switch (key) {
    case Key::kUp:
      if (selected_ > 0) --selected_;
      break;
    case Key::kDown:
      ++selected_;  // Draw knows how many there are
      break;
    case Key::kEnter:
      if (std::exchange(typing_, false) || callers_of_ != nullptr || shows_threads_) break;
      if (const std::vector<Row> rows = Rows(Recent()); !rows.empty()) {
        callers_of_ = rows[std::min(selected_, rows.size() - 1)].function;
        selected_ = 0;
      }
      break;
    case Key::kEscape:
      if (typing_) filter_.clear();
      typing_ = false;
      callers_of_ = nullptr;
      break;
    case Key::kBackspace:
      while (typing_ && !filter_.empty() && IsContinuation(filter_.back())) filter_.pop_back();
      if (typing_ && !filter_.empty()) filter_.pop_back();
      break;
    case Key::kCharacter:
      if (typing_) {
        filter_ += character;
      } else {
        PressCommand(character);
      }
      break;
  }
}

void TopView::PressCommand(char character) {
  switch (character) {
    case 'q':
      quit_ = true;
      break;
    case 's':
      by_total_ = !by_total_;
      break;
    case 'a':
      sort_by_all_ = !sort_by_all_;
      break;
    case 't':
      shows_threads_ = !shows_threads_;
      callers_of_ = nullptr;
      break;
    case 'p':
      paused_ = !paused_;
      break;
    case '/':
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

Profile TopView::Recent() const {
  Profile sum(recent_.empty() ? WallTime() : recent_.front().start(), Nanoseconds(0));
  for (const Profile& window : recent_) {
    sum.Merge(window);
    sum.set_duration(sum.duration() + window.duration());
  }
  return sum;
}

std::vector<TopView::Row> TopView::Rows(const Profile& recent) const {
  std::unordered_map<const Function*, Row> rows;
  if (all_) {
    const std::int64_t whole = all_->Total().cpu_ns;
    for (const FunctionCost& cost : CostsByFunction(*all_, kCpuTime)) {
      rows[cost.function] = {.function = cost.function,
                             .self_all = Percent(cost.self, whole),
                             .total_all = Percent(cost.total, whole)};
    }
  }
  const std::int64_t whole = recent.Total().cpu_ns;
  for (const FunctionCost& cost : CostsByFunction(recent, kCpuTime)) {
    Row& row = rows[cost.function];
    row.function = cost.function;
    row.self_now = Percent(cost.self, whole);
    row.total_now = Percent(cost.total, whole);
  }
  std::vector<Row> sorted;
  for (const auto& [function, row] : rows) {
    if (filter_.empty() || Place(*function).contains(filter_)) sorted.push_back(row);
  }
  double Row::* const now = by_total_ ? &Row::total_now : &Row::self_now;
  double Row::* const all = by_total_ ? &Row::total_all : &Row::self_all;
  const auto figures = [&](const Row& row) {
    return sort_by_all_ ? std::pair(row.*all, row.*now) : std::pair(row.*now, row.*all);
  };
  std::ranges::sort(sorted, [&](const Row& a, const Row& b) {
    if (figures(a) != figures(b)) return figures(a) > figures(b);
    return a.function->name < b.function->name;
  });
  return sorted;
}

std::string TopView::HeadLine(const Profile& recent) const {
  const SampleValue total = recent.Total();
  const double seconds = static_cast<double>(recent.duration().count()) / 1e9;
  std::string text = title_;
  if (seconds > 0) {
    text += fmt::format("; {:.0f} % CPU, {:.0f} samples/s",
                        Percent(total.cpu_ns, recent.duration().count()),
                        static_cast<double>(total.count) / seconds);
  }
  if (all_) {
    text += fmt::format("; {:.1f} s of CPU since {:.0f} s",
                        static_cast<double>(all_->Total().cpu_ns) / 1e9,
                        static_cast<double>(all_->duration().count()) / 1e9);
    if (const std::uint64_t lost = all_->losses().LostSamples(); lost > 0) {
      text += fmt::format("; {} samples lost", lost);
    }
  }
  return text + (paused_ ? "; PAUSED" : "");
}

std::vector<std::string> TopView::FunctionLines() const {
  const std::vector<Row> rows = Rows(Recent());
  std::vector<std::string> lines;
  lines.reserve(rows.size());
  for (const Row& row : rows) {
    lines.push_back(fmt::format("{:6.1f} {:6.1f}  {:6.1f} {:6.1f}  {}", row.self_now, row.total_now,
                                row.self_all, row.total_all, Place(*row.function)));
  }
  return lines;
}

// Who called it, over the whole run: each caller with the share of its time that went there.
std::vector<std::string> TopView::CallerLines() const {
  std::map<std::vector<const Function*>, std::int64_t> paths;
  std::int64_t whole = 0;
  if (all_) {
    for (const Profile::Entry& entry : all_->Entries()) {
      const std::span<const Frame> frames = all_->StackFrames(entry.key.stack);
      const auto at = std::ranges::find(frames, callers_of_, &Frame::function);
      if (at == frames.end()) continue;
      whole += entry.value.cpu_ns;
      std::vector<const Function*> callers;
      for (const Frame& frame : std::span(std::next(at), frames.end())) {
        callers.push_back(frame.function);
      }
      paths[callers] += entry.value.cpu_ns;
    }
  }
  std::vector<std::pair<std::int64_t, std::string>> sorted;
  sorted.reserve(paths.size());
  for (const auto& [callers, time] : paths) {
    std::string text;
    for (const Function* caller : callers) {
      text += fmt::format("{}{}", text.empty() ? "" : " < ", Printable(caller->name));
    }
    sorted.emplace_back(time, text.empty() ? "(no caller)" : text);
  }
  std::ranges::sort(sorted, std::greater());
  std::vector<std::string> lines;
  lines.reserve(sorted.size());
  for (const auto& [time, text] : sorted) {
    lines.push_back(fmt::format("{:6.1f} %  {}", Percent(time, whole), text));
  }
  return lines;
}

std::vector<std::string> TopView::ThreadLines() const {
  struct Cost {
    std::int64_t cpu = 0;
    std::int64_t collecting = 0;
  };
  const Profile recent = Recent();
  std::map<std::pair<Tid, std::string>, Cost> threads;
  for (const Profile::Entry& entry : recent.Entries()) {
    const ThreadInfo& thread = recent.Thread(entry.key.thread);
    Cost& cost = threads[{thread.tid, thread.thread_name}];
    cost.cpu += entry.value.cpu_ns;
    const std::span<const Frame> frames = recent.StackFrames(entry.key.stack);
    if (std::ranges::any_of(
            frames, [](const Frame& frame) { return frame.function->name == kCollector; })) {
      cost.collecting += entry.value.cpu_ns;
    }
  }
  std::vector<std::pair<std::int64_t, std::string>> sorted;
  sorted.reserve(threads.size());
  for (const auto& [thread, cost] : threads) {
    sorted.emplace_back(
        cost.cpu,
        fmt::format("{:6.1f} {:6.1f}  {:>8}  {}", Percent(cost.cpu, recent.duration().count()),
                    Percent(cost.collecting, cost.cpu), static_cast<pid_t>(thread.first),
                    Printable(thread.second)));
  }
  std::ranges::sort(sorted, std::greater());
  std::vector<std::string> lines;
  lines.reserve(sorted.size());
  for (auto& [time, line] : sorted) lines.push_back(std::move(line));
  return lines;
}

TopView::Picture TopView::Draw(std::size_t rows, std::size_t columns) const {
  Picture picture;
  std::vector<std::string> lines;
  std::string keys = "q quit  s self/total  a now/all  t threads  p pause  / filter  Enter callers";
  std::string header = by_total_ ? "  self  TOTAL    self  TOTAL" : "  SELF  total    SELF  total";
  header = fmt::format("{}  function ({} first, %: last {} s, since the start)", header,
                       sort_by_all_ ? "since the start" : "now", kRecentWindows);
  if (typing_ || !filter_.empty()) keys = fmt::format("filter: {}{}", filter_, typing_ ? "_" : "");
  if (shows_threads_) {
    header = " CPU %   gc %       tid  thread";
    lines = ThreadLines();
  } else if (callers_of_ != nullptr) {
    keys = "Esc back  q quit";
    header = fmt::format("callers of {}, nearest first", Place(*callers_of_));
    lines = CallerLines();
  } else {
    lines = FunctionLines();
  }
  picture.lines = {HeadLine(Recent()), keys, header};
  const std::size_t room = rows > kHeadLines ? rows - kHeadLines : 0;
  const std::size_t selected = lines.empty() ? 0 : std::min(selected_, lines.size() - 1);
  const std::size_t first = selected >= room && room > 0 ? selected - room + 1 : 0;
  for (std::size_t i = first; i < std::min(lines.size(), first + room); ++i) {
    if (i == selected) picture.selected = picture.lines.size();
    picture.lines.push_back(std::move(lines[i]));
  }
  if (picture.lines.size() > rows) picture.lines.resize(rows);
  for (std::string& line : picture.lines) line = Clipped(line, columns);
  return picture;
}

std::string TopView::PlainLines(std::size_t functions) const {
  const Profile recent = Recent();
  std::string text = HeadLine(recent) + "\n";
  std::vector<Row> rows = Rows(recent);
  rows.resize(std::min(rows.size(), functions));
  for (const Row& row : rows) {
    text += fmt::format("  {:5.1f} % self {:5.1f} % total  {}\n", row.self_now, row.total_now,
                        Place(*row.function));
  }
  return text;
}

}  // namespace agent
