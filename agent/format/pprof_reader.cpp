// SPDX-License-Identifier: Apache-2.0
#include "agent/format/pprof_reader.h"

#include <algorithm>
#include <array>
#include <optional>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/parse_number.h"
#include "agent/format/pprof_fields.h"

namespace agent {
namespace {

using namespace pprof;
using protozero::pbf_reader;

// Bounds on what a file may make us hold; the server's own are far below.
constexpr std::size_t kMaxDepth = 4096;
constexpr std::size_t kMaxSamples = 4u << 20;

struct LabelText {
  std::string_view key;
  std::string_view text;
  std::int64_t number = 0;
};

// The messages in the order in which they refer to each other; in the file they may stand in any.
struct Messages {
  std::vector<std::string_view> strings;
  std::vector<pbf_reader> types;
  std::vector<pbf_reader> samples;
  std::vector<pbf_reader> mappings;
  std::vector<pbf_reader> locations;
  std::vector<pbf_reader> functions;
  std::vector<std::int64_t> comments;
  std::int64_t time_ns = 0;
  std::int64_t duration_ns = 0;
  std::int64_t period = 0;
};

std::string_view Text(const protozero::data_view& view) { return {view.data(), view.size()}; }

Messages Collect(std::string_view data) {
  Messages found;
  pbf_reader reader(data.data(), data.size());
  while (reader.next()) {
    switch (reader.tag()) {
      case kSampleType:
        found.types.push_back(reader.get_message());
        break;
      case kSample:
        found.samples.push_back(reader.get_message());
        break;
      case kMapping:
        found.mappings.push_back(reader.get_message());
        break;
      case kLocation:
        found.locations.push_back(reader.get_message());
        break;
      case kFunction:
        found.functions.push_back(reader.get_message());
        break;
      case kStringTable:
        found.strings.push_back(Text(reader.get_view()));
        break;
      case kTimeNanos:
        found.time_ns = reader.get_int64();
        break;
      case kDurationNanos:
        found.duration_ns = reader.get_int64();
        break;
      case kPeriod:
        found.period = reader.get_int64();
        break;
      case kComment:
        if (reader.wire_type() == protozero::pbf_wire_type::varint) {
          found.comments.push_back(reader.get_int64());
        } else {
          for (const std::int64_t comment : reader.get_packed_int64()) {
            found.comments.push_back(comment);
          }
        }
        break;
      default:
        reader.skip();
    }
  }
  return found;
}

class Reader {
 public:
  Reader(std::string_view data, PprofContents& contents)
      : messages_(Collect(data)), contents_(contents) {}

  Result<void> Read() {
    AGENT_CHECK_OK(ReadTypes());
    if (messages_.samples.size() > kMaxSamples) {
      return Fail(Errc::kLimit, "the profile has too many samples");
    }
    Cover(WallTime(Nanoseconds(messages_.time_ns)),
          Nanoseconds(std::max<std::int64_t>(0, messages_.duration_ns)));
    for (const pbf_reader& mapping : messages_.mappings) ReadMapping(mapping);
    for (const pbf_reader& function : messages_.functions) ReadFunction(function);
    for (const pbf_reader& location : messages_.locations) AGENT_CHECK_OK(ReadLocation(location));
    for (const pbf_reader& sample : messages_.samples) AGENT_CHECK_OK(ReadSample(sample));
    for (const std::int64_t comment : messages_.comments) ReadComment(String(comment));
    return {};
  }

 private:
  void Cover(WallTime start, Nanoseconds duration) {
    Profile& profile = contents_.profile;
    if (profile.start() == WallTime::max()) {
      profile = Profile(start, Nanoseconds(0));
      profile.set_duration(duration);
      profile.set_period(Nanoseconds(std::max<std::int64_t>(0, messages_.period)));
      return;
    }
    const WallTime end = std::max(profile.start() + profile.duration(), start + duration);
    if (start < profile.start()) {
      Profile earlier(start, Nanoseconds(0));
      earlier.set_period(profile.period());
      earlier.Merge(profile);
      profile = std::move(earlier);
    }
    profile.set_duration(end - profile.start());
  }

  std::string_view String(std::int64_t index) const {
    const bool known = index >= 0 && static_cast<std::size_t>(index) < messages_.strings.size();
    return known ? messages_.strings[static_cast<std::size_t>(index)] : std::string_view();
  }

  Result<void> ReadTypes() {
    for (std::size_t i = 0; i < messages_.types.size(); ++i) {
      pbf_reader reader = messages_.types[i];
      std::string_view type;
      std::string_view unit;
      while (reader.next()) {
        if (reader.tag() == kType) {
          type = String(reader.get_int64());
        } else if (reader.tag() == kUnit) {
          unit = String(reader.get_int64());
        } else {
          reader.skip();
        }
      }
      if (type == "cpu" && unit == "nanoseconds") cpu_ = i;
      if (type == "samples" && unit == "count") count_ = i;
      if (type == "wall" && unit == "nanoseconds") wall_ = i;
    }
    if (cpu_ || count_ || wall_) return {};
    return Fail(Errc::kMalformed, "no profile of CPU or wall time");
  }

  void ReadMapping(pbf_reader reader) {
    std::uint64_t id = 0;
    Module module;
    while (reader.next()) {
      switch (reader.tag()) {
        case kMappingIdField:
          id = reader.get_uint64();
          break;
        case kMemoryStart:
          module.start = reader.get_uint64();
          break;
        case kMemoryLimit:
          module.end = reader.get_uint64();
          break;
        case kFileOffset:
          module.file_offset = reader.get_uint64();
          break;
        case kMappingFilename:
          module.path = String(reader.get_int64());
          break;
        case kBuildId:
          module.build_id = String(reader.get_int64());
          break;
        default:
          reader.skip();
      }
    }
    const auto known = std::ranges::find_if(contents_.modules, [&](const Module& other) {
      return other.path == module.path && other.build_id == module.build_id &&
             other.start == module.start && other.file_offset == module.file_offset;
    });
    modules_[id] = known != contents_.modules.end()
                       ? &*known
                       : &contents_.modules.emplace_back(std::move(module));
  }

  void ReadFunction(pbf_reader reader) {
    std::uint64_t id = 0;
    std::string_view name;
    std::string_view file;
    std::int64_t line = 0;
    while (reader.next()) {
      switch (reader.tag()) {
        case kFunctionIdField:
          id = reader.get_uint64();
          break;
        case kName:
          name = String(reader.get_int64());
          break;
        case kFilename:
          file = String(reader.get_int64());
          break;
        case kStartLine:
          line = reader.get_int64();
          break;
        default:
          reader.skip();
      }
    }
    functions_[id] = contents_.functions->Intern(name, file, static_cast<std::uint32_t>(line));
  }

  Result<void> ReadLocation(pbf_reader reader) {
    std::uint64_t id = 0;
    std::vector<Frame> frames;
    const Module* module = nullptr;
    std::uint64_t address = 0;
    while (reader.next()) {
      switch (reader.tag()) {
        case kLocationIdField:
          id = reader.get_uint64();
          break;
        case kLocationMapping:
          module = Find(modules_, reader.get_uint64());
          break;
        case kLocationAddress:
          address = reader.get_uint64();
          break;
        case kLine:
          frames.push_back(ReadLine(reader.get_message()));
          break;
        default:
          reader.skip();
      }
    }
    if (frames.empty()) frames.push_back({.function = contents_.functions->Marker("[unnamed]")});
    if (frames.size() > kMaxDepth) return Fail(Errc::kMalformed, "a location has too many lines");
    for (Frame& frame : frames) frame.inlined = true;
    frames.back().inlined = false;
    frames.back().module = module;
    frames.back().address = address;
    locations_[id] = std::move(frames);
    return {};
  }

  Frame ReadLine(pbf_reader reader) {
    Frame frame;
    while (reader.next()) {
      if (reader.tag() == kFunctionId) {
        frame.function = Find(functions_, reader.get_uint64());
      } else if (reader.tag() == kLineNumber) {
        frame.line = static_cast<std::uint32_t>(reader.get_int64());
      } else {
        reader.skip();
      }
    }
    if (frame.function == nullptr) frame.function = contents_.functions->Marker("[unnamed]");
    return frame;
  }

  Result<void> ReadSample(pbf_reader reader) {
    std::vector<Frame> stack;
    std::vector<std::int64_t> values;
    ThreadInfo thread;
    while (reader.next()) {
      const bool single = reader.wire_type() == protozero::pbf_wire_type::varint;
      if (reader.tag() == kLocationId && single) {
        AGENT_CHECK_OK(AddLocation(reader.get_uint64(), stack));
      } else if (reader.tag() == kLocationId) {
        for (const std::uint64_t id : reader.get_packed_uint64()) {
          AGENT_CHECK_OK(AddLocation(id, stack));
        }
      } else if (reader.tag() == kValue && single) {
        values.push_back(reader.get_int64());
      } else if (reader.tag() == kValue) {
        for (const std::int64_t value : reader.get_packed_int64()) values.push_back(value);
      } else if (reader.tag() == kLabel) {
        ApplyLabel(ReadLabel(reader.get_message()), thread);
      } else {
        reader.skip();
      }
    }
    if (values.size() != messages_.types.size()) {
      return Fail(Errc::kMalformed, "a sample has another number of values than there are types");
    }
    const auto value = [&](const std::optional<std::size_t>& index) {
      return index ? values[*index] : 0;
    };
    Profile& profile = contents_.profile;
    profile.Add(profile.InternStack(stack), profile.InternThread(thread), SampleKind::kCpu,
                profile.start(),
                {.count = value(count_), .cpu_ns = value(cpu_), .wall_ns = value(wall_)});
    return {};
  }

  Result<void> AddLocation(std::uint64_t id, std::vector<Frame>& stack) const {
    const auto found = locations_.find(id);
    if (found == locations_.end()) return Fail(Errc::kMalformed, "a sample has no such location");
    stack.insert(stack.end(), found->second.begin(), found->second.end());
    if (stack.size() > kMaxDepth) return Fail(Errc::kMalformed, "a stack is too deep");
    return {};
  }

  LabelText ReadLabel(pbf_reader reader) const {
    LabelText label;
    while (reader.next()) {
      if (reader.tag() == kKey) {
        label.key = String(reader.get_int64());
      } else if (reader.tag() == kStr) {
        label.text = String(reader.get_int64());
      } else if (reader.tag() == kNum) {
        label.number = reader.get_int64();
      } else {
        reader.skip();
      }
    }
    return label;
  }

  static void ApplyLabel(const LabelText& label, ThreadInfo& thread) {
    if (label.key == "thread_name" || label.key == "thread") thread.thread_name = label.text;
    if (label.key == "process") thread.process_name = label.text;
    if (label.key == "pid") thread.pid = Pid{static_cast<pid_t>(label.number)};
    if (label.key == "tid") thread.tid = Tid{static_cast<pid_t>(label.number)};
    if (label.key == "thread_id") thread.tid = Tid{ParseNumber<pid_t>(label.text).value_or(0)};
  }

  // As EncodePprof writes it: a word and a number, in the order of the members.
  void ReadComment(std::string_view text) {
    if (!text.starts_with(kLossComment)) return;
    LossCounters losses;
    const std::array members = {&losses.torn,       &losses.unreadable, &losses.stop_timeout,
                                &losses.dropped,    &losses.late_ticks, &losses.truncated,
                                &losses.incomplete, &losses.folded};
    for (std::uint64_t* member : members) {
      const std::size_t begin = text.find_first_of("0123456789");
      if (begin == std::string_view::npos) return;
      text.remove_prefix(begin);
      const std::size_t size = std::min(text.find_first_not_of("0123456789"), text.size());
      *member = ParseNumber<std::uint64_t>(text.substr(0, size)).value_or(0);
      text.remove_prefix(size);
    }
    contents_.profile.losses() += losses;
  }

  template <typename T>
  static const T* Find(const std::unordered_map<std::uint64_t, const T*>& known, std::uint64_t id) {
    const auto found = known.find(id);
    return found == known.end() ? nullptr : found->second;
  }

  Messages messages_;
  std::optional<std::size_t> cpu_;
  std::optional<std::size_t> count_;
  std::optional<std::size_t> wall_;
  PprofContents& contents_;
  std::unordered_map<std::uint64_t, const Module*> modules_;
  std::unordered_map<std::uint64_t, const Function*> functions_;
  std::unordered_map<std::uint64_t, std::vector<Frame>> locations_;
};

}  // namespace

Result<void> AddPprof(std::string_view data, PprofContents& contents) {
  try {
    return Reader(data, contents).Read();
  } catch (const protozero::exception&) {
    return Fail(Errc::kMalformed, "no pprof profile");
  }
}

Result<PprofContents> ReadPprof(std::string_view data) {
  PprofContents contents;
  AGENT_CHECK_OK(AddPprof(data, contents));
  return contents;
}

}  // namespace agent
