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

namespace agent {
namespace {

// Field numbers of profile.proto.
enum ProfileField : protozero::pbf_tag_type {
  kSampleType = 1,
  kSample = 2,
  kLocation = 4,
  kFunction = 5,
  kStringTable = 6,
  kTimeNanos = 9,
  kDurationNanos = 10,
  kPeriodType = 11,
  kPeriod = 12,
  kComment = 13,
  kDefaultSampleType = 14,
};
enum ValueTypeField : protozero::pbf_tag_type { kType = 1, kUnit = 2 };
enum SampleField : protozero::pbf_tag_type { kLocationId = 1, kValue = 2, kLabel = 3 };
enum LabelField : protozero::pbf_tag_type { kKey = 1, kStr = 2, kNum = 3, kNumUnit = 4 };
enum LocationField : protozero::pbf_tag_type { kLocationIdField = 1, kLine = 4 };
enum LineField : protozero::pbf_tag_type { kFunctionId = 1, kLineNumber = 2 };
enum FunctionField : protozero::pbf_tag_type {
  kFunctionIdField = 1,
  kName = 2,
  kSystemName = 3,
  kFilename = 4,
  kStartLine = 5,
};

class Encoder {
 public:
  Encoder(const Profile& profile, const PprofOptions& options)
      : profile_(profile), options_(options), writer_(data_) {
    String("");
  }

  std::string Encode() {
    AddValueType(kSampleType, "cpu", "nanoseconds");
    AddValueType(kSampleType, "samples", "count");
    AddSamples();
    writer_.add_int64(kTimeNanos, profile_.start().time_since_epoch().count());
    writer_.add_int64(kDurationNanos, profile_.duration().count());
    AddValueType(kPeriodType, "cpu", "nanoseconds");
    writer_.add_int64(kPeriod, profile_.period().count());
    AddComments();
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
      }
      SampleValue& sum = sums[id];
      sum.count += entry.value.count;
      sum.cpu_ns += entry.value.cpu_ns;
    }
    for (const auto& [id, value] : sums) AddSample(id, value);
  }

  void AddSample(const SampleId& id, const SampleValue& value) {
    const auto& [stack, thread, slice] = id;
    locations_.clear();
    for (const Frame& frame : profile_.StackFrames(stack)) locations_.push_back(Location(frame));
    std::string text;
    protozero::pbf_writer sample(text);
    sample.add_packed_uint64(kLocationId, locations_.begin(), locations_.end());
    const std::array<std::int64_t, 2> values = {value.cpu_ns, value.count};
    sample.add_packed_int64(kValue, values.begin(), values.end());
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

  std::uint64_t Location(const Frame& frame) {
    const auto [place, inserted] =
        location_ids_.try_emplace({frame.function, frame.line}, location_ids_.size() + 1);
    if (inserted) {
      const std::uint64_t function = FunctionOf(frame.function);
      protozero::pbf_writer location(writer_, kLocation);
      location.add_uint64(kLocationIdField, place->second);
      protozero::pbf_writer line(location, kLine);
      line.add_uint64(kFunctionId, function);
      line.add_int64(kLineNumber, frame.line);
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
        String(fmt::format("lost samples: torn {}, unreadable {}, not stopped in time {}, not "
                           "named in time {}; ticks left out {}; stacks cut {}, without callers {}, folded {}",
                           losses.torn, losses.unreadable, losses.stop_timeout, losses.dropped,
                           losses.late_ticks, losses.truncated, losses.incomplete, losses.folded)));
  }

  const Profile& profile_;
  const PprofOptions& options_;
  std::string data_;
  protozero::pbf_writer writer_;
  std::deque<std::string> strings_;
  std::unordered_map<std::string_view, std::int64_t> string_ids_;
  std::map<std::pair<const Function*, std::uint32_t>, std::uint64_t> location_ids_;
  std::unordered_map<const Function*, std::uint64_t> function_ids_;
  std::vector<std::uint64_t> locations_;
};

}  // namespace

std::string EncodePprof(const Profile& profile, const PprofOptions& options) {
  return Encoder(profile, options).Encode();
}

}  // namespace agent
