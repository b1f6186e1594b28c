// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <vector>

#include "agent/format/timeline.h"
#include "agent/format/timeline_encoders.h"
#include "agent/profile/measure.h"

namespace agent {
namespace {

using nlohmann::json;

struct FrameHash {
  std::size_t operator()(const std::pair<const Function*, std::uint32_t>& frame) const {
    return std::hash<const Function*>()(frame.first) ^ (std::size_t{frame.second} << 20);
  }
};

class FrameTable {
 public:
  std::size_t IndexOf(const Frame& frame) {
    const auto [place, inserted] =
        indexes_.try_emplace({frame.function, frame.line}, frames_.size());
    if (inserted) {
      json shown = {{"name", frame.function->name}};
      if (!frame.function->file.empty()) shown["file"] = frame.function->file;
      if (frame.line > 0) shown["line"] = frame.line;
      frames_.push_back(std::move(shown));
    }
    return place->second;
  }
  json Take() { return std::move(frames_); }

 private:
  json frames_ = json::array();
  std::unordered_map<std::pair<const Function*, std::uint32_t>, std::size_t, FrameHash> indexes_;
};

}  // namespace

std::string EncodeSpeedscope(const Profile& profile) {
  const Measure measure = MainMeasure(profile.Total());
  const bool is_count = measure.value == kSampleCount.value;
  const std::string mark = is_count ? "" : fmt::format(" [{}]", measure.name);
  FrameTable frames;
  json profiles = json::array();
  for (const ThreadTimeline& line : Timelines(profile)) {
    json samples = json::array();
    json values = json::array();
    std::int64_t sum = 0;
    for (const ThreadTimeline::Sample& sample : line.samples) {
      const std::int64_t value = sample.value.*measure.value;
      if (value <= 0) continue;
      std::vector<std::size_t> stack;
      for (const Frame& frame : profile.StackFrames(sample.stack)) {
        stack.push_back(frames.IndexOf(frame));
      }
      std::ranges::reverse(stack);
      samples.push_back(std::move(stack));
      values.push_back(value);
      sum += value;
    }
    profiles.push_back({{"type", "sampled"},
                        {"name", line.name + mark},
                        {"unit", is_count ? "none" : "nanoseconds"},
                        {"startValue", 0},
                        {"endValue", sum},
                        {"samples", std::move(samples)},
                        {"weights", std::move(values)}});
  }
  const json file = {{"$schema", "https://www.speedscope.app/file-format-schema.json"},
                     {"exporter", "agent"},
                     {"activeProfileIndex", 0},
                     {"shared", {{"frames", frames.Take()}}},
                     {"profiles", std::move(profiles)}};
  return file.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace agent
