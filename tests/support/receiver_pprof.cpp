// SPDX-License-Identifier: Apache-2.0
#include "tests/support/receiver_pprof.h"

#include <fmt/format.h>
#include <zlib.h>

#include <protozero/pbf_reader.hpp>
#include <set>

#include "agent/base/utf8.h"

namespace receiver {
namespace {

// Pyroscope's defaults, pkg/validation/limits.go.
constexpr std::size_t kMaxBytes = 4u << 20;
constexpr std::size_t kMaxSamples = 16'000;
constexpr std::size_t kMaxSampleLabels = 100;
constexpr std::size_t kMaxDepth = 1000;  // deeper ones are cut at the leaf

struct Broken {
  std::string rule;
};

struct ValueType {
  std::int64_t type = 0;
  std::int64_t unit = 0;
};

struct Label {
  std::int64_t key = 0;
  std::int64_t text = 0;
  std::int64_t unit = 0;
};

struct Sample {
  std::vector<std::uint64_t> locations;
  std::vector<std::int64_t> values;
  std::vector<Label> labels;
};

struct Message {
  std::vector<std::string> strings;
  std::vector<ValueType> types;
  std::vector<Sample> samples;
  std::map<std::uint64_t, std::vector<std::uint64_t>> locations;  // id → function ids
  std::map<std::uint64_t, std::vector<std::int64_t>> functions;   // id → its strings, name first
  std::vector<std::int64_t> comments;
  ValueType period_type;
  bool has_period_type = false;
  std::int64_t time = 0;
  std::int64_t duration = 0;
  std::int64_t period = 0;
  std::int64_t default_type = 0;
};

[[noreturn]] void Unknown(std::string_view message, protozero::pbf_tag_type tag) {
  throw Broken{fmt::format("{} has a field {}", message, tag)};
}

ValueType ReadValueType(protozero::pbf_reader reader) {
  ValueType value;
  while (reader.next()) {
    if (reader.tag() == 1) {
      value.type = reader.get_int64();
    } else if (reader.tag() == 2) {
      value.unit = reader.get_int64();
    } else {
      Unknown("ValueType", reader.tag());
    }
  }
  return value;
}

Label ReadLabel(protozero::pbf_reader reader) {
  Label label;
  while (reader.next()) {
    switch (reader.tag()) {
      case 1:
        label.key = reader.get_int64();
        break;
      case 2:
        label.text = reader.get_int64();
        break;
      case 3:
        reader.skip();
        break;
      case 4:
        label.unit = reader.get_int64();
        break;
      default:
        Unknown("Label", reader.tag());
    }
  }
  return label;
}

// Repeated numbers come packed or one by one.
template <typename T>
void ReadNumbers(protozero::pbf_reader& reader, std::vector<T>& numbers) {
  if (reader.wire_type() == protozero::pbf_wire_type::length_delimited) {
    for (const auto number : reader.get_packed_uint64()) numbers.push_back(static_cast<T>(number));
  } else {
    numbers.push_back(static_cast<T>(reader.get_uint64()));
  }
}

Sample ReadSample(protozero::pbf_reader reader) {
  Sample sample;
  while (reader.next()) {
    if (reader.tag() == 1) {
      ReadNumbers(reader, sample.locations);
    } else if (reader.tag() == 2) {
      ReadNumbers(reader, sample.values);
    } else if (reader.tag() == 3) {
      sample.labels.push_back(ReadLabel(reader.get_message()));
    } else {
      Unknown("Sample", reader.tag());
    }
  }
  return sample;
}

std::uint64_t ReadLine(protozero::pbf_reader reader) {
  std::uint64_t function = 0;
  while (reader.next()) {
    if (reader.tag() == 1) {
      function = reader.get_uint64();
    } else if (reader.tag() == 2 || reader.tag() == 3) {
      reader.skip();
    } else {
      Unknown("Line", reader.tag());
    }
  }
  return function;
}

void ReadLocation(protozero::pbf_reader reader, Message& message) {
  std::uint64_t id = 0;
  std::vector<std::uint64_t> functions;
  while (reader.next()) {
    if (reader.tag() == 1) {
      id = reader.get_uint64();
    } else if (reader.tag() == 4) {
      functions.push_back(ReadLine(reader.get_message()));
    } else if (reader.tag() == 2 || reader.tag() == 3 || reader.tag() == 5) {
      reader.skip();
    } else {
      Unknown("Location", reader.tag());
    }
  }
  if (id == 0) throw Broken{"a location has the id 0"};
  if (!message.locations.emplace(id, functions).second)
    throw Broken{"a location's id is not unique"};
}

void ReadFunction(protozero::pbf_reader reader, Message& message) {
  std::uint64_t id = 0;
  std::vector<std::int64_t> strings(3);
  while (reader.next()) {
    if (reader.tag() == 1) {
      id = reader.get_uint64();
    } else if (reader.tag() >= 2 && reader.tag() <= 4) {
      strings[reader.tag() - 2] = reader.get_int64();
    } else if (reader.tag() == 5) {
      reader.skip();
    } else {
      Unknown("Function", reader.tag());
    }
  }
  if (id == 0) throw Broken{"a function has the id 0"};
  if (!message.functions.emplace(id, strings).second) throw Broken{"a function's id is not unique"};
}

Message Read(std::string_view data) {
  Message message;
  protozero::pbf_reader reader(data.data(), data.size());
  while (reader.next()) {
    switch (reader.tag()) {
      case 1:
        message.types.push_back(ReadValueType(reader.get_message()));
        break;
      case 2:
        message.samples.push_back(ReadSample(reader.get_message()));
        break;
      case 4:
        ReadLocation(reader.get_message(), message);
        break;
      case 5:
        ReadFunction(reader.get_message(), message);
        break;
      case 6:
        message.strings.push_back(reader.get_string());
        break;
      case 9:
        message.time = reader.get_int64();
        break;
      case 10:
        message.duration = reader.get_int64();
        break;
      case 11:
        message.period_type = ReadValueType(reader.get_message());
        message.has_period_type = true;
        break;
      case 12:
        message.period = reader.get_int64();
        break;
      case 13:
        ReadNumbers(reader, message.comments);
        break;
      case 14:
        message.default_type = reader.get_int64();
        break;
      case 3:
      case 7:
      case 8:
        reader.skip();
        break;
      default:
        Unknown("Profile", reader.tag());
    }
  }
  return message;
}

const std::string& StringOf(const Message& message, std::int64_t index) {
  if (index < 0 || static_cast<std::size_t>(index) >= message.strings.size()) {
    throw Broken{fmt::format("string {} is not in the string table", index)};
  }
  return message.strings[static_cast<std::size_t>(index)];
}

std::string TypeOf(const Message& message, const ValueType& type) {
  return StringOf(message, type.type) + "/" + StringOf(message, type.unit);
}

void CheckTypes(const Message& message) {
  if (message.strings.empty() || !message.strings[0].empty()) {
    throw Broken{"the string table does not begin with an empty string"};
  }
  for (const std::string& text : message.strings) {
    if (!agent::IsUtf8(text)) throw Broken{"invalid utf8 in the string table"};
  }
  if (message.types.empty()) throw Broken{"there is no sample type"};
  for (const ValueType& type : message.types) {
    if (TypeOf(message, type).find('-') != std::string::npos) {
      throw Broken{"a sample type contains '-'"};
    }
  }
  // Without it Pyroscope takes the profile, as one of another type.
  if (!message.has_period_type || TypeOf(message, message.period_type) == "/") {
    throw Broken{"there is no period type"};
  }
  if (message.period <= 0) throw Broken{"there is no period"};
  StringOf(message, message.default_type);
}

const std::string& NameOf(const Message& message, std::uint64_t function) {
  const auto found = message.functions.find(function);
  if (found == message.functions.end()) {
    throw Broken{fmt::format("function {} is missing", function)};
  }
  for (const std::int64_t text : found->second) StringOf(message, text);
  return StringOf(message, found->second[0]);
}

// Also of those that no sample has.
void CheckLocations(const Message& message) {
  for (const auto& [id, functions] : message.locations) {
    for (const std::uint64_t function : functions) NameOf(message, function);
  }
}

// The sample's value of the first type with this name; 0 when there is none.
std::int64_t ValueOf(const Message& message, const Sample& sample, std::string_view type) {
  for (std::size_t i = 0; i < message.types.size(); ++i) {
    if (StringOf(message, message.types[i].type) == type) return sample.values[i];
  }
  return 0;
}

void AddSample(const Message& message, const Sample& sample, PprofSummary& summary) {
  if (sample.values.size() != message.types.size()) {
    throw Broken{"a sample's values are not as many as the sample types"};
  }
  if (sample.labels.size() > kMaxSampleLabels) throw Broken{"a sample has more than 100 labels"};
  if (sample.locations.size() > kMaxDepth) ++summary.deep_stacks;
  for (const std::int64_t value : sample.values) {
    if (value < 0) throw Broken{"a sample's value is negative"};
  }
  const Values values{.samples = ValueOf(message, sample, "samples"),
                      .cpu_ns = ValueOf(message, sample, "cpu")};
  for (const Label& label : sample.labels) {
    if (StringOf(message, label.key).empty()) throw Broken{"a sample label has no key"};
    const std::string text(StringOf(message, label.text));
    StringOf(message, label.unit);
    if (text.empty()) continue;
    Values& sum = summary.by_label[fmt::format("{}={}", StringOf(message, label.key), text)];
    sum.samples += values.samples;
    sum.cpu_ns += values.cpu_ns;
  }
  summary.sample_labels += sample.labels.size();
  std::set<std::string> names;
  for (const std::uint64_t id : sample.locations) {
    const auto found = message.locations.find(id);
    if (found == message.locations.end()) throw Broken{fmt::format("location {} is missing", id)};
    for (const std::uint64_t function : found->second) names.insert(NameOf(message, function));
  }
  summary.total.samples += values.samples;
  summary.total.cpu_ns += values.cpu_ns;
  for (const std::string& name : names) {
    summary.functions[name].samples += values.samples;
    summary.functions[name].cpu_ns += values.cpu_ns;
  }
}

PprofSummary Check(std::string_view data) {
  if (data.size() > kMaxBytes) throw Broken{"the profile is larger than 4 MiB"};
  const Message message = Read(data);
  CheckTypes(message);
  if (message.samples.size() > kMaxSamples) throw Broken{"the profile has more than 16000 samples"};
  PprofSummary summary;
  summary.time_ns = message.time;
  summary.duration_ns = message.duration;
  summary.period = message.period;
  summary.sample_count = message.samples.size();
  for (const ValueType& type : message.types) summary.types.push_back(TypeOf(message, type));
  summary.period_type = TypeOf(message, message.period_type);
  CheckLocations(message);
  if (message.duration <= 0) throw Broken{"there is no duration"};
  for (const Sample& sample : message.samples) AddSample(message, sample, summary);
  for (const std::int64_t comment : message.comments) {
    summary.comments.push_back(StringOf(message, comment));
  }
  return summary;
}

}  // namespace

std::expected<std::string, std::string> Gunzip(std::string_view data, std::size_t max_bytes) {
  std::string packed(data);
  std::string text(max_bytes + 1, '\0');
  z_stream stream{};
  if (::inflateInit2(&stream, 15 + 16) != Z_OK) return std::unexpected("no memory");
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int result = ::inflate(&stream, Z_FINISH);
  text.resize(stream.total_out);
  ::inflateEnd(&stream);
  if (text.size() > max_bytes) return std::unexpected("too large when unpacked");
  if (result != Z_STREAM_END) return std::unexpected("not gzip");
  return text;
}

std::expected<PprofSummary, std::string> CheckPprof(std::string_view data) {
  std::string unpacked;
  if (data.starts_with("\x1f\x8b")) {
    auto text = Gunzip(data, kMaxBytes);
    if (!text) return std::unexpected(text.error());
    unpacked = *std::move(text);
    data = unpacked;
  }
  try {
    return Check(data);
  } catch (const Broken& broken) {
    return std::unexpected(broken.rule);
  } catch (const protozero::exception& error) {
    return std::unexpected(std::string("not protobuf: ") + error.what());
  }
}

}  // namespace receiver
