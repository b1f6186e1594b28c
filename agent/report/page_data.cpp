// SPDX-License-Identifier: Apache-2.0
#include "agent/report/page_data.h"

#include <fmt/format.h>

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

class Encoder {
 public:
  Encoder() {
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
    std::string json = fmt::format(R"({{"compare":{},"runs":[{}],"nodes":{{)",
                                   !compare                      ? "null"
                                   : *compare == CompareBy::kCpu ? R"("cpu")"
                                                                 : R"("count")",
                                   list);
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
  // What samples are told apart by here: node, thread, slice, line.
  using Row = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

  std::int64_t String(std::string_view text) {
    const auto [place, inserted] =
        string_ids_.try_emplace(std::string(text), static_cast<std::int64_t>(strings_.size()));
    if (inserted) strings_.push_back(JsonString(text));
    return place->second;
  }

  // Runs of different tables may name the same function.
  std::int64_t FunctionOf(const Function& function) {
    const std::int64_t name = String(function.name);
    const std::int64_t file = String(function.file);
    const auto [place, inserted] = function_ids_.try_emplace(
        std::tuple{name, file, function.start_line}, static_cast<std::int64_t>(names_.size()));
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
    std::string json = fmt::format(R"({{"facts":{},"slice":{},)", FactsJson(run.profile, run.facts),
                                   run.profile.slice_length().count());
    json += R"("threads":{)";
    AddThreads(json, run.profile);
    json += R"(},"samples":{)";
    AddSamples(json, run.profile);
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

  std::map<Row, SampleValue> RowsOf(const Profile& profile) {
    std::unordered_map<const Function*, std::int64_t> known;
    std::map<StackId, std::int64_t> nodes;
    const std::vector<Profile::Entry> entries = profile.Entries();
    for (const Profile::Entry& entry : entries) nodes.emplace(entry.key.stack, 0);
    for (auto& [stack, node] : nodes) node = NodeOf(profile.StackFrames(stack), known);
    std::map<Row, SampleValue> rows;
    for (const Profile::Entry& entry : entries) {
      const std::span<const Frame> frames = profile.StackFrames(entry.key.stack);
      rows[{nodes.at(entry.key.stack), static_cast<std::int64_t>(entry.key.thread), entry.key.slice,
            frames.empty() ? 0 : frames.front().line}] += entry.value;
    }
    return rows;
  }

  void AddSamples(std::string& json, const Profile& profile) {
    Column node;
    Column thread;
    Column slice;
    Column line;
    Column count;
    Column cpu;
    Column wall;
    for (const auto& [row, value] : RowsOf(profile)) {
      node.push_back(std::get<0>(row));
      thread.push_back(std::get<1>(row));
      slice.push_back(std::get<2>(row));
      line.push_back(std::get<3>(row));
      count.push_back(value.count);
      cpu.push_back(value.cpu_ns);
      wall.push_back(value.wall_ns);
    }
    AddColumn(json, "node+", Differences(node));
    AddColumn(json, "thread", thread);
    AddColumn(json, "slice", slice);
    AddColumn(json, "line", line);
    AddColumn(json, "count", count);
    AddColumn(json, "cpu", cpu);
    if (profile.Total().wall_ns > 0) AddColumn(json, "wall", wall);
  }

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
  return Encoder().Encode(runs, compare);
}

}  // namespace agent
