// SPDX-License-Identifier: Apache-2.0
#include "agent/report/page_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <ranges>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "agent/format/json.h"
#include "agent/report/facts_json.h"

namespace agent {
namespace {

// Keeps the page of an hour below 5 MB, and quick to open. Past it times are told less finely.
constexpr std::size_t kMaxRows = 500'000;

using Column = std::vector<std::int64_t>;

void AddColumn(std::string& json, std::string_view name, const Column& column) {
  if (json.back() != '{') json += ',';
  fmt::format_to(std::back_inserter(json), R"("{}":[{}])", name, fmt::join(column, ","));
}

Column Differences(const Column& column) {
  Column differences;
  differences.reserve(column.size());
  std::int64_t before = 0;
  for (const std::int64_t value : column) {
    differences.push_back(value - before);
    before = value;
  }
  return differences;
}

// What samples are told apart by here.
struct Row {
  std::int64_t node;
  std::uint32_t thread;
  std::uint32_t slice;
  SampleValue value;

  [[nodiscard]] std::tuple<std::int64_t, std::uint32_t, std::uint32_t> Key() const {
    return {node, thread, slice};
  }
};

// Rows in order, of which some have become the same.
void MergeEqual(std::vector<Row>& rows) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i > 0 && rows[i].Key() == rows[kept - 1].Key()) {
      rows[kept - 1].value += rows[i].value;
    } else {
      rows[kept++] = rows[i];
    }
  }
  rows.resize(kept);
}

template <typename Take>
Column ColumnOf(std::span<const Row> rows, Take take) {
  Column column;
  column.reserve(rows.size());
  for (const Row& row : rows) column.push_back(take(row));
  return column;
}

void AddValues(std::string& json, std::span<const Row> rows, bool has_wall) {
  AddColumn(json, "count", ColumnOf(rows, [](const Row& row) { return row.value.count; }));
  AddColumn(json, "cpu", ColumnOf(rows, [](const Row& row) { return row.value.cpu_ns; }));
  if (!has_wall) return;
  AddColumn(json, "wall", ColumnOf(rows, [](const Row& row) { return row.value.wall_ns; }));
}

std::string_view CompareJson(std::optional<CompareBy> compare) {
  if (!compare) return "null";
  switch (*compare) {
    case CompareBy::kCpu:
      return R"("cpu")";
    case CompareBy::kWall:
      return R"("wall")";
    case CompareBy::kCount:
      return R"("count")";
  }
  return "null";
}

class Encoder {
 public:
  explicit Encoder(bool compares) : compares_(compares) {
    String("");
    back_.push_back(0);
    node_functions_.push_back(0);
  }

  std::string Encode(std::span<const Run> runs, std::optional<CompareBy> compare) {
    std::string list;
    for (const Run& run : runs) {
      if (!list.empty()) list += ',';
      list += RunJson(run);
    }
    std::string json =
        fmt::format(R"({{"compare":{},"runs":[{}],"nodes":{{)", CompareJson(compare), list);
    AddColumn(json, "back", back_);
    AddColumn(json, "function", node_functions_);
    json += R"(},"functions":{)";
    AddColumn(json, "name", names_);
    AddColumn(json, "file", files_);
    AddColumn(json, "line", lines_);
    json += R"(},"strings":[)";
    for (const std::string& text : strings_) {
      if (json.back() != '[') json += ',';
      json += text;
    }
    return json + "]}";
  }

 private:
  std::int64_t String(std::string_view text) {
    const auto [place, inserted] =
        string_ids_.try_emplace(std::string(text), static_cast<std::int64_t>(strings_.size()));
    if (inserted) strings_.push_back(JsonString(text));
    return place->second;
  }

  // Runs of different tables may name the same function. Lines move when a program is edited: in a
  // comparison they do not tell functions apart.
  std::int64_t FunctionOf(const Function& function) {
    const std::int64_t name = String(function.name);
    const std::int64_t file = String(function.file);
    const auto [place, inserted] =
        function_ids_.try_emplace(std::tuple{name, file, compares_ ? 0 : function.start_line},
                                  static_cast<std::int64_t>(names_.size()));
    if (inserted) {
      names_.push_back(name);
      files_.push_back(file);
      lines_.push_back(function.start_line);
    }
    return place->second;
  }

  std::int64_t NodeOf(std::span<const Frame> leaf_first,
                      std::unordered_map<const Function*, std::int64_t>& known) {
    std::int64_t node = 0;
    for (const Frame& frame : std::views::reverse(leaf_first)) {
      const auto [cached, is_new] = known.try_emplace(frame.function, 0);
      if (is_new) cached->second = FunctionOf(*frame.function);
      const auto size = static_cast<std::int64_t>(back_.size());
      const auto [place, inserted] = node_ids_.try_emplace({node, cached->second}, size);
      if (inserted) {
        back_.push_back(size - node);
        node_functions_.push_back(cached->second);
      }
      node = place->second;
    }
    return node;
  }

  std::string RunJson(const Run& run) {
    const Profile& profile = run.profile;
    const std::vector<Profile::Entry> entries = profile.Entries();
    const bool has_wall = profile.Total().wall_ns > 0;
    std::vector<Row> rows = RowsOf(profile, entries);
    Nanoseconds slice = profile.slice_length();
    while (rows.size() > kMaxRows && rows.back().slice > 0 && slice < profile.duration()) {
      slice *= 2;
      for (Row& row : rows) row.slice /= 2;
      MergeEqual(rows);
    }
    std::string json = fmt::format(R"({{"facts":{},"slice":{},"threads":{{)",
                                   FactsJson(profile, run.facts), slice.count());
    AddThreads(json, profile);
    json += R"(},"samples":{)";
    AddSamples(json, rows, has_wall);
    json += R"(},"lines":{)";
    AddLines(json, profile, entries, has_wall);
    return json + "}}";
  }

  void AddThreads(std::string& json, const Profile& profile) {
    Column pids;
    Column tids;
    Column processes;
    Column threads;
    for (std::size_t i = 0; i < profile.thread_count(); ++i) {
      const ThreadInfo& info = profile.Thread(ThreadIndex{static_cast<std::uint32_t>(i)});
      pids.push_back(static_cast<pid_t>(info.pid));
      tids.push_back(static_cast<pid_t>(info.tid));
      processes.push_back(String(info.process_name));
      threads.push_back(String(info.thread_name));
    }
    AddColumn(json, "pid", pids);
    AddColumn(json, "tid", tids);
    AddColumn(json, "process", processes);
    AddColumn(json, "thread", threads);
  }

  std::vector<Row> RowsOf(const Profile& profile, std::span<const Profile::Entry> entries) {
    std::unordered_map<const Function*, std::int64_t> known;
    std::map<StackId, std::int64_t> nodes;
    for (const Profile::Entry& entry : entries) nodes.emplace(entry.key.stack, 0);
    for (auto& [stack, node] : nodes) node = NodeOf(profile.StackFrames(stack), known);
    std::vector<Row> rows;
    rows.reserve(entries.size());
    for (const Profile::Entry& entry : entries) {
      rows.push_back({.node = nodes.at(entry.key.stack),
                      .thread = static_cast<std::uint32_t>(entry.key.thread),
                      .slice = entry.key.slice,
                      .value = entry.value});
    }
    std::ranges::sort(rows, {}, &Row::Key);
    MergeEqual(rows);
    return rows;
  }

  void AddSamples(std::string& json, std::span<const Row> rows, bool has_wall) {
    AddColumn(json, "node+", Differences(ColumnOf(rows, [](const Row& row) { return row.node; })));
    AddColumn(json, "thread", ColumnOf(rows, [](const Row& row) { return row.thread; }));
    AddColumn(json, "slice", ColumnOf(rows, [](const Row& row) { return row.slice; }));
    AddValues(json, rows, has_wall);
  }

  // A function's own cost by line; where lines are not known there is nothing to tell.
  void AddLines(std::string& json, const Profile& profile, std::span<const Profile::Entry> entries,
                bool has_wall) {
    std::map<std::pair<std::int64_t, std::uint32_t>, SampleValue> sums;
    for (const Profile::Entry& entry : entries) {
      const std::span<const Frame> frames = profile.StackFrames(entry.key.stack);
      if (frames.empty() || frames.front().line == 0) continue;
      sums[{FunctionOf(*frames.front().function), frames.front().line}] += entry.value;
    }
    std::vector<Row> rows;
    rows.reserve(sums.size());
    for (const auto& [place, value] : sums) {
      rows.push_back({.node = place.first, .thread = 0, .slice = place.second, .value = value});
    }
    AddColumn(json, "function", ColumnOf(rows, [](const Row& row) { return row.node; }));
    AddColumn(json, "line", ColumnOf(rows, [](const Row& row) { return row.slice; }));
    AddValues(json, rows, has_wall);
  }

  const bool compares_;
  std::vector<std::string> strings_;  // as JSON
  std::unordered_map<std::string, std::int64_t> string_ids_;
  Column names_;  // of functions
  Column files_;
  Column lines_;
  std::map<std::tuple<std::int64_t, std::int64_t, std::uint32_t>, std::int64_t> function_ids_;
  Column back_;  // of nodes
  Column node_functions_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> node_ids_;
};

}  // namespace

std::string PageDataJson(std::span<const Run> runs, std::optional<CompareBy> compare) {
  return Encoder(compare.has_value()).Encode(runs, compare);
}

}  // namespace agent
