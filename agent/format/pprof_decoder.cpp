// SPDX-License-Identifier: Apache-2.0
// pprof to a profile. What a file of another tool leaves out is left out here.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <protozero/exception.hpp>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/parse_number.h"
#include "agent/base/path.h"
#include "agent/format/loaded_profile.h"
#include "agent/format/pprof_messages.h"

namespace agent {
namespace {

using namespace pprof;

// Nanoseconds in a unit of time.
std::optional<std::int64_t> UnitOfTime(std::string_view unit) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 4> kUnits = {
      {{"nanoseconds", 1},
       {"microseconds", 1000},
       {"milliseconds", 1'000'000},
       {"seconds", 1'000'000'000}}};
  const auto found = std::ranges::find(kUnits, unit, &decltype(kUnits)::value_type::first);
  if (found == kUnits.end()) return std::nullopt;
  return found->second;
}

std::uint32_t LineNumber(std::int64_t line) {
  return line > 0 && line <= INT32_MAX ? static_cast<std::uint32_t>(line) : 0;
}

// Which of a sample's values is what; -1: none.
struct Columns {
  std::ptrdiff_t cpu = -1;
  std::int64_t cpu_unit = 1;
  std::ptrdiff_t wall = -1;
  std::int64_t wall_unit = 1;
  std::ptrdiff_t count = -1;
};

class Decoder {
 public:
  Result<std::unique_ptr<LoadedProfile>> Decode(std::string_view bytes) {
    raw_ = ReadRawProfile(bytes);
    if (raw_.strings.empty() || raw_.types.empty()) {
      return Fail(Errc::kMalformed, "not a pprof profile");
    }
    AGENT_TRY(const Columns columns, FindColumns());
    // A time before 1970 is not known, and there must be room to add them.
    raw_.time_ns = std::clamp<std::int64_t>(raw_.time_ns, 0, INT64_MAX / 4);
    raw_.duration_ns = std::clamp<std::int64_t>(raw_.duration_ns, 0, INT64_MAX / 4);
    result_->profile =
        Profile(WallTime(Nanoseconds(raw_.time_ns)), result_->profile.slice_length());
    result_->profile.set_duration(Nanoseconds(raw_.duration_ns));
    result_->profile.set_period(Nanoseconds(raw_.period));
    result_->facts = raw_.agent_facts;
    for (const std::int64_t comment : raw_.comments) TakeComment(raw_.Text(comment));
    for (const RawSample& sample : raw_.samples) AGENT_CHECK_OK(AddSample(sample, columns));
    return std::move(result_);
  }

 private:
  Result<Columns> FindColumns() const {
    Columns columns;
    std::string seen;
    for (std::size_t i = 0; i < raw_.types.size(); ++i) {
      const std::string_view type = raw_.Text(raw_.types[i].type);
      const std::string_view unit = raw_.Text(raw_.types[i].unit);
      const auto column = static_cast<std::ptrdiff_t>(i);
      const std::optional<std::int64_t> time = UnitOfTime(unit);
      if (time && type == "cpu") {
        columns.cpu = column;
        columns.cpu_unit = *time;
      } else if (time && type == "wall") {
        columns.wall = column;
        columns.wall_unit = *time;
      } else if (unit == "count" && (type == "samples" || type == "sample")) {
        columns.count = column;
      }
      seen += fmt::format("{}{} in {}", seen.empty() ? "" : ", ", type, unit);
    }
    if (columns.cpu < 0 && columns.wall < 0 && columns.count < 0) {
      return Fail(Errc::kInvalid, "it has no CPU time, wall time or samples, but", seen);
    }
    return columns;
  }

  static std::int64_t ValueIn(const RawSample& sample, std::ptrdiff_t column, std::int64_t unit) {
    if (column < 0 || static_cast<std::size_t>(column) >= sample.values.size()) return 0;
    const std::int64_t value = sample.values[static_cast<std::size_t>(column)];
    if (value > INT64_MAX / 4 / unit) return INT64_MAX / 4 + 1;  // refused
    return std::max<std::int64_t>(value, 0) * unit;
  }

  Result<void> AddSample(const RawSample& sample, const Columns& columns) {
    frames_.clear();
    for (const std::uint64_t id : sample.locations) {
      const auto found = raw_.locations.find(id);
      if (found == raw_.locations.end()) {
        return Fail(Errc::kMalformed, "a sample without its location");
      }
      AGENT_CHECK_OK(AddFrames(found->second));
      if (frames_.size() > kMostFrames) return Fail(Errc::kLimit, "a stack of too many frames");
    }
    if (result_->profile.ApproximateBytes() > kMostProfileBytes) {
      return Fail(Errc::kLimit, "too many stacks");
    }
    ThreadInfo thread;
    WallTime at = result_->profile.start();
    for (const RawLabel& label : sample.labels) TakeLabel(label, thread, at);
    const SampleValue value{.count = ValueIn(sample, columns.count, 1),
                            .cpu_ns = ValueIn(sample, columns.cpu, columns.cpu_unit),
                            .wall_ns = ValueIn(sample, columns.wall, columns.wall_unit)};
    AGENT_CHECK_OK(AddWithinLimit(total_, value));
    Profile& profile = result_->profile;
    profile.Add(profile.InternStack(frames_), profile.InternThread(thread), SampleKind::kCpu, at,
                value);
    return {};
  }

  // That of the losses as EncodePprof writes it: words and numbers, in the members' order.
  void TakeComment(std::string_view text) {
    result_->comments.emplace_back(text);
    if (!text.starts_with("lost samples: ")) return;
    LossCounters losses;
    for (std::uint64_t* member :
         {&losses.torn, &losses.unreadable, &losses.stop_timeout, &losses.dropped,
          &losses.late_ticks, &losses.truncated, &losses.incomplete, &losses.folded}) {
      constexpr std::string_view kDigits = "0123456789";
      text.remove_prefix(std::min(text.find_first_of(kDigits), text.size()));
      const std::size_t size = std::min(text.find_first_not_of(kDigits), text.size());
      *member = ParseNumber<std::uint64_t>(text.substr(0, size)).value_or(0);
      text.remove_prefix(size);
    }
    result_->profile.losses() += losses;
  }

  void TakeLabel(const RawLabel& label, ThreadInfo& thread, WallTime& at) const {
    const std::string_view key = raw_.Text(label.key);
    if (key == "process") {
      thread.process_name = raw_.Text(label.text);
    } else if (key == "thread" || key == "thread_name") {
      thread.thread_name = raw_.Text(label.text);
    } else if (key == "pid") {
      thread.pid = Pid{static_cast<pid_t>(label.number)};
    } else if (key == "thread_id") {
      thread.tid = Tid{ParseNumber<pid_t>(raw_.Text(label.text)).value_or(0)};
    } else if (key == "tid") {
      thread.tid = Tid{static_cast<pid_t>(label.number)};
    } else if (key == "time_ns") {
      // A year: times that are out of all reason must not make slices without end.
      constexpr Nanoseconds kLongest = std::chrono::hours(24 * 366);
      const std::int64_t since = label.number > raw_.time_ns ? label.number - raw_.time_ns : 0;
      at += std::min(Nanoseconds(since), kLongest);
    }
  }

  Result<void> AddFrames(const RawLocation& location) {
    const Module* module = ModuleOf(location.mapping);
    if (location.lines.empty()) {
      const std::string name =
          module == nullptr ? fmt::format("0x{:x}", location.address)
                            : fmt::format("{}+0x{:x}", BaseName(module->path), location.address);
      frames_.push_back({.function = result_->functions.Intern(name, "", 0),
                         .line = 0,
                         .inlined = false,
                         .module = module,
                         .address = location.address});
      return {};
    }
    for (std::size_t i = 0; i < location.lines.size(); ++i) {
      const RawLine& line = location.lines[i];
      const auto found = raw_.functions.find(line.function);
      if (found == raw_.functions.end()) {
        return Fail(Errc::kMalformed, "a line without its function");
      }
      const RawFunction& function = found->second;
      const bool last = i + 1 == location.lines.size();
      frames_.push_back(
          {.function = result_->functions.Intern(raw_.Text(function.name), raw_.Text(function.file),
                                                 LineNumber(function.start_line)),
           .line = LineNumber(line.line),
           .inlined = !last,
           .module = last ? module : nullptr,
           .address = last && module != nullptr ? location.address : 0});
    }
    return {};
  }

  const Module* ModuleOf(std::uint64_t id) {
    const auto raw = raw_.mappings.find(id);
    if (raw == raw_.mappings.end()) return nullptr;
    const auto [place, inserted] = modules_.try_emplace(id, nullptr);
    if (inserted) {
      place->second = &result_->modules.emplace_back(
          Module{.path = std::string(raw_.Text(raw->second.path)),
                 .build_id = std::string(raw_.Text(raw->second.build_id)),
                 .start = raw->second.start,
                 .end = raw->second.end,
                 .file_offset = raw->second.offset});
    }
    return place->second;
  }

  std::unique_ptr<LoadedProfile> result_ = std::make_unique<LoadedProfile>();
  RawProfile raw_;
  std::unordered_map<std::uint64_t, const Module*> modules_;
  std::vector<Frame> frames_;  // of the sample under way
  SampleValue total_;
};

}  // namespace

Result<std::unique_ptr<LoadedProfile>> DecodePprof(std::string_view bytes) {
  try {
    return Decoder().Decode(bytes);
  } catch (const protozero::exception&) {
    return Fail(Errc::kMalformed, "not a pprof profile, or a damaged one");
  }
}

}  // namespace agent
