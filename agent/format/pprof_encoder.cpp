// SPDX-License-Identifier: Apache-2.0
#include "agent/format/pprof_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "agent/base/utf8.h"
#include "agent/format/pprof_fields.h"

namespace agent {
namespace {

using namespace pprof;

struct FramesLess {
  bool operator()(const std::vector<Frame>& a, const std::vector<Frame>& b) const {
    return std::ranges::lexicographical_compare(a, b, {}, Key, Key);
  }
  static std::tuple<const Function*, std::uint32_t, const Module*, std::uint64_t> Key(
      const Frame& frame) {
    return {frame.function, frame.line, frame.module, frame.address};
  }
};

class Encoder {
 public:
  Encoder(const Profile& profile, const PprofOptions& options)
      : profile_(profile),
        options_(options),
        has_wall_(profile.Total().wall_ns > 0),
        writer_(data_) {
    String("");
  }

  std::string Encode() {
    AddValueType(kSampleType, "cpu", "nanoseconds");
    AddValueType(kSampleType, "samples", "count");
    if (has_wall_) AddValueType(kSampleType, "wall", "nanoseconds");
    AddSamples();
    writer_.add_int64(kTimeNanos, profile_.start().time_since_epoch().count());
    writer_.add_int64(kDurationNanos, profile_.duration().count());
    AddValueType(kPeriodType, "cpu", "nanoseconds");
    writer_.add_int64(kPeriod, profile_.period().count());
    AddComments();
    if (!options_.facts.empty()) writer_.add_string(kAgentFacts, options_.facts);
    writer_.add_int64(kDefaultSampleType, String("cpu"));
    for (const std::string& text : strings_) writer_.add_string(kStringTable, text);
    return std::move(data_);
  }

 private:
  // Stack, and what else the samples of this file are told apart by.
  using SampleId = std::tuple<StackId, std::uint32_t, std::uint32_t>;

  std::int64_t String(std::string_view text) {
    const auto found = string_ids_.find(text);
    if (found != string_ids_.end()) return found->second;
    const std::string& kept = strings_.emplace_back(ReplaceNonUtf8(text));
    const auto id = static_cast<std::int64_t>(strings_.size()) - 1;
    string_ids_.emplace(kept, id);
    return id;
  }

  void AddValueType(protozero::pbf_tag_type field, std::string_view type, std::string_view unit) {
    protozero::pbf_writer value(writer_, field);
    value.add_int64(kType, String(type));
    value.add_int64(kUnit, String(unit));
  }

  void AddSamples() {
    std::map<SampleId, SampleValue> sums;
    for (const Profile::Entry& entry : profile_.Entries()) {
      SampleId id{entry.key.stack, 0, 0};
      if (options_.sample_labels) {
        id = {entry.key.stack, static_cast<std::uint32_t>(entry.key.thread), entry.key.slice};
      } else if (options_.thread_labels) {
        id = {entry.key.stack, static_cast<std::uint32_t>(entry.key.thread), 0};
      }
      sums[id] += entry.value;
    }
    for (const auto& [id, value] : sums) AddSample(id, value);
  }

  void AddSample(const SampleId& id, const SampleValue& value) {
    const auto& [stack, thread, slice] = id;
    locations_.clear();
    std::span<const Frame> frames = profile_.StackFrames(stack);
    while (!frames.empty()) {
      std::size_t count = 1;
      while (count < frames.size() && frames[count - 1].inlined) ++count;
      locations_.push_back(Location(frames.first(count)));
      frames = frames.subspan(count);
    }
    std::string text;
    protozero::pbf_writer sample(text);
    sample.add_packed_uint64(kLocationId, locations_.begin(), locations_.end());
    const std::array<std::int64_t, 3> values = {value.cpu_ns, value.count, value.wall_ns};
    sample.add_packed_int64(kValue, values.begin(), values.end() - (has_wall_ ? 0 : 1));
    if (options_.thread_labels) {
      const ThreadInfo& info = profile_.Thread(ThreadIndex{thread});
      AddLabel(sample, "thread_name", info.thread_name);
      AddLabel(sample, "thread_id", fmt::format("{}", static_cast<pid_t>(info.tid)));
    }
    if (options_.sample_labels) {
      const ThreadInfo& info = profile_.Thread(ThreadIndex{thread});
      AddLabel(sample, "process", info.process_name);
      AddLabel(sample, "thread", info.thread_name);
      AddNumber(sample, "pid", static_cast<std::int64_t>(info.pid), "");
      AddNumber(sample, "tid", static_cast<std::int64_t>(info.tid), "");
      const WallTime at = profile_.start() + profile_.slice_length() * std::int64_t{slice};
      AddNumber(sample, "time_ns", at.time_since_epoch().count(), "nanoseconds");
    }
    writer_.add_message(kSample, text);
  }

  void AddLabel(protozero::pbf_writer& sample, std::string_view key, std::string_view value) {
    protozero::pbf_writer label(sample, kLabel);
    label.add_int64(kKey, String(key));
    label.add_int64(kStr, String(value));
  }

  void AddNumber(protozero::pbf_writer& sample, std::string_view key, std::int64_t value,
                 std::string_view unit) {
    protozero::pbf_writer label(sample, kLabel);
    label.add_int64(kKey, String(key));
    label.add_int64(kNum, value);
    if (!unit.empty()) label.add_int64(kNumUnit, String(unit));
  }

  // One location for a run of inlined frames and the one that they were compiled into.
  std::uint64_t Location(std::span<const Frame> frames) {
    const auto [place, inserted] = location_ids_.try_emplace(
        std::vector<Frame>(frames.begin(), frames.end()), location_ids_.size() + 1);
    if (inserted) {
      lines_.clear();
      for (const Frame& frame : frames) lines_.emplace_back(FunctionOf(frame.function), frame.line);
      const Frame& outermost = frames.back();
      const std::uint64_t mapping = outermost.module != nullptr ? MappingOf(outermost.module) : 0;
      protozero::pbf_writer location(writer_, kLocation);
      location.add_uint64(kLocationIdField, place->second);
      if (mapping != 0) {
        location.add_uint64(kLocationMapping, mapping);
        location.add_uint64(kLocationAddress, outermost.address);
      }
      for (const auto& [function, number] : lines_) {
        protozero::pbf_writer line(location, kLine);
        line.add_uint64(kFunctionId, function);
        line.add_int64(kLineNumber, number);
      }
    }
    return place->second;
  }

  // Only of code without names: a server that has the symbols can finish them, since has_functions
  // stays false.
  std::uint64_t MappingOf(const Module* module) {
    const auto [place, inserted] = mapping_ids_.try_emplace(module, mapping_ids_.size() + 1);
    if (inserted) {
      const std::int64_t path = String(module->path);
      const std::int64_t build_id = String(module->build_id);
      protozero::pbf_writer mapping(writer_, kMapping);
      mapping.add_uint64(kMappingIdField, place->second);
      mapping.add_uint64(kMemoryStart, module->start);
      mapping.add_uint64(kMemoryLimit, module->end);
      mapping.add_uint64(kFileOffset, module->file_offset);
      mapping.add_int64(kMappingFilename, path);
      mapping.add_int64(kBuildId, build_id);
    }
    return place->second;
  }

  std::uint64_t FunctionOf(const Function* function) {
    const auto [place, inserted] = function_ids_.try_emplace(function, function_ids_.size() + 1);
    if (inserted) {
      const std::int64_t name = String(function->name);
      const std::int64_t file = String(function->file);
      protozero::pbf_writer message(writer_, kFunction);
      message.add_uint64(kFunctionIdField, place->second);
      message.add_int64(kName, name);
      message.add_int64(kSystemName, name);
      message.add_int64(kFilename, file);
      message.add_int64(kStartLine, function->start_line);
    }
    return place->second;
  }

  void AddComments() {
    const LossCounters& losses = profile_.losses();
    if (losses.LostSamples() == 0 && losses.late_ticks == 0 && losses.truncated == 0 &&
        losses.incomplete == 0 && losses.folded == 0) {
      return;
    }
    writer_.add_int64(
        kComment,
        String(fmt::format(
            "lost samples: torn {}, unreadable {}, not stopped in time {}, not "
            "named in time {}; ticks left out {}; stacks cut {}, without callers {}, folded {}",
            losses.torn, losses.unreadable, losses.stop_timeout, losses.dropped, losses.late_ticks,
            losses.truncated, losses.incomplete, losses.folded)));
  }

  const Profile& profile_;
  const PprofOptions& options_;
  const bool has_wall_;
  std::string data_;
  protozero::pbf_writer writer_;
  std::deque<std::string> strings_;
  std::unordered_map<std::string_view, std::int64_t> string_ids_;
  std::map<std::vector<Frame>, std::uint64_t, FramesLess> location_ids_;
  std::unordered_map<const Module*, std::uint64_t> mapping_ids_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> lines_;  // of the location under way
  std::unordered_map<const Function*, std::uint64_t> function_ids_;
  std::vector<std::uint64_t> locations_;
};

}  // namespace

std::string EncodePprof(const Profile& profile, const PprofOptions& options) {
  return Encoder(profile, options).Encode();
}

}  // namespace agent
