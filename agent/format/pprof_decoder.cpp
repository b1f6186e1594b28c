// SPDX-License-Identifier: Apache-2.0
// pprof to a profile. What a file of another tool leaves out is left out here.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <protozero/exception.hpp>
#include <protozero/pbf_reader.hpp>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/parse_number.h"
#include "agent/base/path.h"
#include "agent/format/loaded_profile.h"
#include "agent/format/pprof_fields.h"

namespace agent {
namespace {

using namespace pprof;

struct ValueType {
  std::int64_t type = 0;
  std::int64_t unit = 0;
};

struct RawFunction {
  std::int64_t name = 0;
  std::int64_t file = 0;
  std::int64_t start_line = 0;
};

struct RawLine {
  std::uint64_t function = 0;
  std::int64_t line = 0;
};

struct RawLocation {
  std::uint64_t mapping = 0;
  std::uint64_t address = 0;
  std::vector<RawLine> lines;  // innermost first
};

struct RawMapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;
  std::int64_t path = 0;
  std::int64_t build_id = 0;
};

struct RawLabel {
  std::int64_t key = 0;
  std::int64_t text = 0;
  std::int64_t number = 0;
};

struct RawSample {
  std::vector<std::uint64_t> locations;
  std::vector<std::int64_t> values;
  std::vector<RawLabel> labels;
};

// The getters of protozero take a field's type for granted.
void Require(const protozero::pbf_reader& field, protozero::pbf_wire_type type) {
  if (field.wire_type() != type) throw protozero::unknown_pbf_wire_type_exception();
}

std::int64_t Number(protozero::pbf_reader& field) {
  Require(field, protozero::pbf_wire_type::varint);
  return field.get_int64();
}

std::uint64_t Unsigned(protozero::pbf_reader& field) {
  return static_cast<std::uint64_t>(Number(field));
}

protozero::data_view View(protozero::pbf_reader& field) {
  Require(field, protozero::pbf_wire_type::length_delimited);
  return field.get_view();
}

protozero::pbf_reader Message(protozero::pbf_reader& field) {
  return protozero::pbf_reader(View(field));
}

// Numbers come packed or one by one.
template <typename T>
void ReadNumbers(protozero::pbf_reader& reader, std::vector<T>& numbers) {
  if (reader.wire_type() == protozero::pbf_wire_type::length_delimited) {
    for (const auto number : reader.get_packed_uint64()) numbers.push_back(static_cast<T>(number));
  } else {
    numbers.push_back(static_cast<T>(Number(reader)));
  }
}

// Calls `take` with each field; it must read or skip it.
template <typename Take>
void ForEachField(protozero::pbf_reader reader, const Take& take) {
  while (reader.next()) take(reader);
}

ValueType ReadValueType(protozero::pbf_reader message) {
  ValueType value;
  ForEachField(message, [&](protozero::pbf_reader& field) {
    if (field.tag() == kType) {
      value.type = Number(field);
    } else if (field.tag() == kUnit) {
      value.unit = Number(field);
    } else {
      field.skip();
    }
  });
  return value;
}

RawLabel ReadLabel(protozero::pbf_reader message) {
  RawLabel label;
  ForEachField(message, [&](protozero::pbf_reader& field) {
    if (field.tag() == kKey) {
      label.key = Number(field);
    } else if (field.tag() == kStr) {
      label.text = Number(field);
    } else if (field.tag() == kNum) {
      label.number = Number(field);
    } else {
      field.skip();
    }
  });
  return label;
}

RawSample ReadSample(protozero::pbf_reader message) {
  RawSample sample;
  ForEachField(message, [&](protozero::pbf_reader& field) {
    if (field.tag() == kLocationId) {
      ReadNumbers(field, sample.locations);
    } else if (field.tag() == kValue) {
      ReadNumbers(field, sample.values);
    } else if (field.tag() == kLabel) {
      sample.labels.push_back(ReadLabel(Message(field)));
    } else {
      field.skip();
    }
  });
  return sample;
}

std::pair<std::uint64_t, RawMapping> ReadMapping(protozero::pbf_reader message) {
  std::uint64_t id = 0;
  RawMapping mapping;
  ForEachField(message, [&](protozero::pbf_reader& field) {
    switch (field.tag()) {
      case kMappingIdField:
        id = Unsigned(field);
        break;
      case kMemoryStart:
        mapping.start = Unsigned(field);
        break;
      case kMemoryLimit:
        mapping.end = Unsigned(field);
        break;
      case kFileOffset:
        mapping.offset = Unsigned(field);
        break;
      case kMappingFilename:
        mapping.path = Number(field);
        break;
      case kBuildId:
        mapping.build_id = Number(field);
        break;
      default:
        field.skip();
    }
  });
  return {id, mapping};
}

RawLine ReadLine(protozero::pbf_reader message) {
  RawLine line;
  ForEachField(message, [&](protozero::pbf_reader& field) {
    if (field.tag() == kFunctionId) {
      line.function = Unsigned(field);
    } else if (field.tag() == kLineNumber) {
      line.line = Number(field);
    } else {
      field.skip();
    }
  });
  return line;
}

std::pair<std::uint64_t, RawLocation> ReadLocation(protozero::pbf_reader message) {
  std::uint64_t id = 0;
  RawLocation location;
  ForEachField(message, [&](protozero::pbf_reader& field) {
    switch (field.tag()) {
      case kLocationIdField:
        id = Unsigned(field);
        break;
      case kLocationMapping:
        location.mapping = Unsigned(field);
        break;
      case kLocationAddress:
        location.address = Unsigned(field);
        break;
      case kLine:
        location.lines.push_back(ReadLine(Message(field)));
        break;
      default:
        field.skip();
    }
  });
  return {id, std::move(location)};
}

std::pair<std::uint64_t, RawFunction> ReadFunction(protozero::pbf_reader message) {
  std::uint64_t id = 0;
  RawFunction function;
  std::int64_t system_name = 0;
  ForEachField(message, [&](protozero::pbf_reader& field) {
    switch (field.tag()) {
      case kFunctionIdField:
        id = Unsigned(field);
        break;
      case kName:
        function.name = Number(field);
        break;
      case kSystemName:
        system_name = Number(field);
        break;
      case kFilename:
        function.file = Number(field);
        break;
      case kStartLine:
        function.start_line = Number(field);
        break;
      default:
        field.skip();
    }
  });
  if (function.name == 0) function.name = system_name;
  return {id, function};
}

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
    // The message's parts come in any order: the strings mostly last.
    ForEachField(protozero::pbf_reader(bytes.data(), bytes.size()),
                 [&](protozero::pbf_reader& field) { TakeField(field); });
    if (strings_.empty() || types_.empty()) {
      return Fail(Errc::kMalformed, "not a pprof profile");
    }
    AGENT_TRY(const Columns columns, FindColumns());
    result_->profile = Profile(WallTime(Nanoseconds(time_)), result_->profile.slice_length());
    result_->profile.set_duration(Nanoseconds(duration_));
    result_->profile.set_period(Nanoseconds(period_));
    for (const std::int64_t comment : comments_) TakeComment(Text(comment));
    for (const RawSample& sample : samples_) AGENT_CHECK_OK(AddSample(sample, columns));
    return std::move(result_);
  }

 private:
  void TakeField(protozero::pbf_reader& field) {
    switch (field.tag()) {
      case kSampleType:
        types_.push_back(ReadValueType(Message(field)));
        break;
      case kSample:
        samples_.push_back(ReadSample(Message(field)));
        break;
      case kMapping:
        mappings_.insert(ReadMapping(Message(field)));
        break;
      case kLocation:
        locations_.insert(ReadLocation(Message(field)));
        break;
      case kFunction:
        functions_.insert(ReadFunction(Message(field)));
        break;
      case kStringTable: {
        const protozero::data_view text = View(field);
        strings_.emplace_back(text.data(), text.size());
        break;
      }
      case kTimeNanos:
        time_ = Number(field);
        break;
      case kDurationNanos:
        duration_ = Number(field);
        break;
      case kPeriod:
        period_ = Number(field);
        break;
      case kComment:
        ReadNumbers(field, comments_);
        break;
      case kAgentFacts: {
        const protozero::data_view text = View(field);
        result_->facts.assign(text.data(), text.size());
        break;
      }
      default:
        field.skip();
    }
  }

  [[nodiscard]] std::string_view Text(std::int64_t id) const {
    const auto index = static_cast<std::uint64_t>(id);
    return index < strings_.size() ? strings_[index] : std::string_view();
  }

  Result<Columns> FindColumns() const {
    Columns columns;
    std::string seen;
    for (std::size_t i = 0; i < types_.size(); ++i) {
      const std::string_view type = Text(types_[i].type);
      const std::string_view unit = Text(types_[i].unit);
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
    return value > 0 && value <= INT64_MAX / 4 / unit ? value * unit : 0;
  }

  Result<void> AddSample(const RawSample& sample, const Columns& columns) {
    frames_.clear();
    for (const std::uint64_t id : sample.locations) {
      const auto found = locations_.find(id);
      if (found == locations_.end()) return Fail(Errc::kMalformed, "a sample without its location");
      AGENT_CHECK_OK(AddFrames(found->second));
      if (frames_.size() > kMostFrames) return Fail(Errc::kLimit, "a stack of too many frames");
    }
    if (result_->profile.ApproximateBytes() > kMostProfileBytes) {
      return Fail(Errc::kLimit, "too many stacks");
    }
    ThreadInfo thread;
    WallTime at = result_->profile.start();
    for (const RawLabel& label : sample.labels) TakeLabel(label, thread, at);
    Profile& profile = result_->profile;
    profile.Add(profile.InternStack(frames_), profile.InternThread(thread), SampleKind::kCpu, at,
                {.count = ValueIn(sample, columns.count, 1),
                 .cpu_ns = ValueIn(sample, columns.cpu, columns.cpu_unit),
                 .wall_ns = ValueIn(sample, columns.wall, columns.wall_unit)});
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
    const std::string_view key = Text(label.key);
    if (key == "process") {
      thread.process_name = Text(label.text);
    } else if (key == "thread" || key == "thread_name") {
      thread.thread_name = Text(label.text);
    } else if (key == "pid") {
      thread.pid = Pid{static_cast<pid_t>(label.number)};
    } else if (key == "thread_id") {
      thread.tid = Tid{ParseNumber<pid_t>(Text(label.text)).value_or(0)};
    } else if (key == "tid") {
      thread.tid = Tid{static_cast<pid_t>(label.number)};
    } else if (key == "time_ns") {
      // A year: times that are out of all reason must not make slices without end.
      constexpr Nanoseconds kLongest = std::chrono::hours(24 * 366);
      const std::int64_t since = label.number > time_ ? label.number - time_ : 0;
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
      const auto found = functions_.find(line.function);
      if (found == functions_.end()) return Fail(Errc::kMalformed, "a line without its function");
      const RawFunction& function = found->second;
      const bool last = i + 1 == location.lines.size();
      frames_.push_back(
          {.function = result_->functions.Intern(Text(function.name), Text(function.file),
                                                 LineNumber(function.start_line)),
           .line = LineNumber(line.line),
           .inlined = !last,
           .module = last ? module : nullptr,
           .address = last && module != nullptr ? location.address : 0});
    }
    return {};
  }

  const Module* ModuleOf(std::uint64_t id) {
    const auto raw = mappings_.find(id);
    if (raw == mappings_.end()) return nullptr;
    const auto [place, inserted] = modules_.try_emplace(id, nullptr);
    if (inserted) {
      place->second =
          &result_->modules.emplace_back(Module{.path = std::string(Text(raw->second.path)),
                                                .build_id = std::string(Text(raw->second.build_id)),
                                                .start = raw->second.start,
                                                .end = raw->second.end,
                                                .file_offset = raw->second.offset});
    }
    return place->second;
  }

  std::unique_ptr<LoadedProfile> result_ = std::make_unique<LoadedProfile>();
  std::vector<std::string_view> strings_;
  std::vector<ValueType> types_;
  std::vector<RawSample> samples_;
  std::vector<std::int64_t> comments_;
  std::unordered_map<std::uint64_t, RawMapping> mappings_;
  std::unordered_map<std::uint64_t, RawLocation> locations_;
  std::unordered_map<std::uint64_t, RawFunction> functions_;
  std::unordered_map<std::uint64_t, const Module*> modules_;
  std::int64_t time_ = 0;
  std::int64_t duration_ = 0;
  std::int64_t period_ = 0;
  std::vector<Frame> frames_;  // of the sample under way
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
