// SPDX-License-Identifier: Apache-2.0
// speedscope's file format (www.speedscope.app/file-format-schema.json). It says how much time, not
// of which kind: wall time, unless the profile's name ends in "[cpu]", as ours do.
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "agent/format/loaded_profile.h"

namespace agent {
namespace {

using nlohmann::json;

constexpr std::string_view kNotSpeedscope = "not a speedscope file, or a damaged one";

// Nanoseconds in a unit; 0: the values are counts.
std::optional<double> Unit(const std::string& name) {
  if (name == "nanoseconds") return 1.0;
  if (name == "microseconds") return 1e3;
  if (name == "milliseconds") return 1e6;
  if (name == "seconds") return 1e9;
  if (name == "none") return 0.0;
  return std::nullopt;
}

class Decoder {
 public:
  explicit Decoder(const json& file) : file_(file) {}

  // Throws what nlohmann's accessors throw.
  Result<std::unique_ptr<LoadedProfile>> Decode() {
    for (const json& frame : file_.at("shared").at("frames")) {
      const std::string name = frame.at("name").get<std::string>();
      const std::string source = frame.value("file", "");
      const auto line = static_cast<std::uint32_t>(std::max(0, frame.value("line", 0)));
      frames_.push_back({.function = result_->functions.Intern(name, source, 0), .line = line});
    }
    for (const json& profile : file_.at("profiles")) AGENT_CHECK_OK(AddProfile(profile));
    return std::move(result_);
  }

 private:
  Result<void> AddProfile(const json& profile) {
    const std::string unit = profile.at("unit").get<std::string>();
    const std::optional<double> nanoseconds = Unit(unit);
    if (!nanoseconds) return Fail(Errc::kInvalid, "it has no times or samples, but", unit);
    nanoseconds_ = *nanoseconds;
    std::string name = profile.value("name", "");
    is_cpu_ = name.ends_with(" [cpu]");
    if (is_cpu_) name.resize(name.size() - 6);
    thread_ = result_->profile.InternThread(
        {.pid = {}, .tid = {}, .process_name = {}, .thread_name = name});
    at_ = 0;
    return profile.at("type") == "evented" ? AddEvents(profile) : AddSamples(profile);
  }

  Result<void> AddSamples(const json& profile) {
    const json& samples = profile.at("samples");
    const json& weights = profile.at("weights");
    if (samples.size() != weights.size()) return Fail(Errc::kMalformed, kNotSpeedscope);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      std::vector<std::size_t> stack = samples[i].get<std::vector<std::size_t>>();
      AGENT_CHECK_OK(Add(stack, weights[i].get<double>()));
    }
    return {};
  }

  // Frames opened and closed, at rising times.
  Result<void> AddEvents(const json& profile) {
    std::vector<std::size_t> open;
    double since = profile.value("startValue", 0.0);
    for (const json& event : profile.at("events")) {
      const double at = event.at("at").get<double>();
      if (at < since) return Fail(Errc::kMalformed, kNotSpeedscope);
      if (!open.empty() && at > since) AGENT_CHECK_OK(Add(open, at - since));
      since = at;
      if (event.at("type") == "O") {
        open.push_back(event.at("frame").get<std::size_t>());
      } else if (!open.empty() && open.back() == event.at("frame").get<std::size_t>()) {
        open.pop_back();
      } else {
        return Fail(Errc::kMalformed, kNotSpeedscope);
      }
    }
    return {};
  }

  // `stack` from the root on.
  Result<void> Add(const std::vector<std::size_t>& stack, double weight) {
    const double value = weight * (nanoseconds_ > 0 ? nanoseconds_ : 1);
    if (!(value >= 0 && value < 1e18)) return Fail(Errc::kMalformed, kNotSpeedscope);
    if (stack.size() > kMostFrames) return Fail(Errc::kLimit, "a stack of too many frames");
    if (result_->profile.ApproximateBytes() > kMostProfileBytes) {
      return Fail(Errc::kLimit, "too many stacks");
    }
    leaf_first_.clear();
    for (auto frame = stack.rbegin(); frame != stack.rend(); ++frame) {
      if (*frame >= frames_.size()) return Fail(Errc::kMalformed, kNotSpeedscope);
      leaf_first_.push_back(frames_[*frame]);
    }
    SampleValue sample;
    (nanoseconds_ == 0 ? sample.count
     : is_cpu_         ? sample.cpu_ns
                       : sample.wall_ns) = std::llround(value);
    AGENT_CHECK_OK(AddWithinLimit(total_, sample));
    Profile& run = result_->profile;
    run.Add(run.InternStack(leaf_first_), thread_, SampleKind::kCpu, run.start() + Nanoseconds(at_),
            sample);
    if (nanoseconds_ > 0) at_ = std::min<std::int64_t>(at_ + std::llround(value), INT64_MAX / 4);
    run.set_duration(std::max(run.duration(), Nanoseconds(at_)));
    return {};
  }

  const json& file_;
  std::unique_ptr<LoadedProfile> result_ = std::make_unique<LoadedProfile>();
  std::vector<Frame> frames_;
  SampleValue total_;
  // Of the profile under way.
  double nanoseconds_ = 0;
  bool is_cpu_ = false;
  ThreadIndex thread_{};
  std::int64_t at_ = 0;
  std::vector<Frame> leaf_first_;
};

}  // namespace

Result<std::unique_ptr<LoadedProfile>> DecodeSpeedscope(std::string_view text) {
  const json file = json::parse(text, nullptr, false);
  if (file.is_discarded()) return Fail(Errc::kMalformed, "not JSON, or cut off");
  try {
    return Decoder(file).Decode();
  } catch (const json::exception&) {
    return Fail(Errc::kMalformed, kNotSpeedscope);
  }
}

}  // namespace agent
