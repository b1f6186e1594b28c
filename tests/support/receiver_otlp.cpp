// SPDX-License-Identifier: Apache-2.0
// OTLP profiles, by the field numbers of opentelemetry-proto v1.10 (profiles/v1development), as
// Pyroscope's pkg/ingester/otlp takes them.
#include <protozero/pbf_reader.hpp>
#include <stdexcept>

#include "agent/base/utf8.h"
#include "tests/support/receiver_rules.h"

namespace receiver {
namespace {

using protozero::pbf_reader;

struct Dictionary {
  std::vector<std::string> strings;
  std::vector<std::vector<std::int32_t>> functions;  // one: the name
  std::vector<std::vector<std::int32_t>> locations;  // functions of its lines
  std::vector<std::vector<std::int32_t>> stacks;     // locations
  std::size_t mappings = 0;
  std::size_t links = 0;
  std::size_t attributes = 0;
};

// As there: a bad index is the server's own failure, 500.
template <typename T>
const T& At(const std::vector<T>& table, std::int32_t index) {
  if (index < 0 || static_cast<std::size_t>(index) >= table.size()) {
    throw std::out_of_range("an index is outside of its table");
  }
  return table[static_cast<std::size_t>(index)];
}

std::vector<std::int32_t> ReadIndices(pbf_reader reader, protozero::pbf_tag_type tag) {
  std::vector<std::int32_t> indices;
  while (reader.next()) {
    if (reader.tag() != tag) {
      reader.skip();
    } else if (reader.wire_type() == protozero::pbf_wire_type::varint) {
      indices.push_back(reader.get_int32());
    } else {
      for (const std::int32_t index : reader.get_packed_int32()) indices.push_back(index);
    }
  }
  return indices;
}

std::vector<std::int32_t> ReadLocation(pbf_reader reader) {
  std::vector<std::int32_t> functions;
  while (reader.next()) {
    if (reader.tag() == 3) {
      const auto line = ReadIndices(reader.get_message(), 1);
      functions.push_back(line.empty() ? 0 : line[0]);
    } else {
      reader.skip();
    }
  }
  return functions;
}

Dictionary ReadDictionary(pbf_reader reader) {
  Dictionary dictionary;
  while (reader.next()) {
    switch (reader.tag()) {
      case 1:
        ++dictionary.mappings;
        reader.skip();
        break;
      case 2:
        dictionary.locations.push_back(ReadLocation(reader.get_message()));
        break;
      case 3:
        dictionary.functions.push_back(ReadIndices(reader.get_message(), 1));
        break;
      case 4:
        ++dictionary.links;
        reader.skip();
        break;
      case 5:
        dictionary.strings.push_back(reader.get_string());
        break;
      case 6:
        ++dictionary.attributes;
        reader.skip();
        break;
      case 7:
        dictionary.stacks.push_back(ReadIndices(reader.get_message(), 1));
        break;
      default:
        reader.skip();
    }
  }
  return dictionary;
}

// "" or the rule that is broken.
std::string DictionaryFault(const Dictionary& dictionary) {
  if (dictionary.strings.empty() || !dictionary.strings[0].empty()) {
    return "string_table[0] is not empty";
  }
  if (dictionary.mappings == 0 || dictionary.locations.empty() || dictionary.functions.empty() ||
      dictionary.links == 0 || dictionary.attributes == 0 || dictionary.stacks.empty()) {
    return "a table has no entry 0";
  }
  if (!dictionary.locations[0].empty() || !dictionary.functions[0].empty() ||
      !dictionary.stacks[0].empty()) {
    return "entry 0 of a table stands for something";
  }
  for (const std::string& text : dictionary.strings) {
    if (!agent::IsUtf8(text)) return "a string is not UTF-8";
  }
  return "";
}

// `scale`: what each value is multiplied by.
void AddSample(pbf_reader reader, const Dictionary& dictionary, bool is_cpu, std::int64_t scale,
               PprofSummary& summary) {
  std::int32_t stack = 0;
  std::int64_t value = 0;
  while (reader.next()) {
    if (reader.tag() == 1) {
      stack = reader.get_int32();
    } else if (reader.tag() == 2) {
      for (const std::int32_t attribute : reader.get_packed_int32()) {
        if (static_cast<std::size_t>(attribute) >= dictionary.attributes) {
          throw std::out_of_range("an attribute is outside of its table");
        }
        ++summary.sample_labels;
      }
    } else if (reader.tag() == 4) {
      for (const std::int64_t each : reader.get_packed_int64()) value += each * scale;
    } else {
      reader.skip();
    }
  }
  ++summary.sample_count;
  const auto add = [&](Values& values) { (is_cpu ? values.cpu_ns : values.samples) += value; };
  add(summary.total);
  std::map<std::string, bool> names;
  for (const std::int32_t location : At(dictionary.stacks, stack)) {
    for (const std::int32_t function : At(dictionary.locations, location)) {
      const auto& name = At(dictionary.functions, function);
      names[name.empty() ? "" : At(dictionary.strings, name[0])] = true;
    }
  }
  for (const auto& [name, unused] : names) add(summary.functions[name]);
}

std::string TypeOf(pbf_reader reader, const Dictionary& dictionary) {
  std::string type;
  std::string unit;
  while (reader.next()) {
    if (reader.tag() == 1) {
      type = At(dictionary.strings, reader.get_int32());
    } else if (reader.tag() == 2) {
      unit = At(dictionary.strings, reader.get_int32());
    } else {
      reader.skip();
    }
  }
  return type + "/" + unit;
}

PprofSummary ReadProfile(pbf_reader reader, const Dictionary& dictionary) {
  PprofSummary summary;
  std::vector<pbf_reader> samples;
  while (reader.next()) {
    switch (reader.tag()) {
      case 1:
        summary.types.push_back(TypeOf(reader.get_message(), dictionary));
        break;
      case 2:
        samples.push_back(reader.get_message());
        break;
      case 3:
        summary.time_ns = static_cast<std::int64_t>(reader.get_fixed64());
        break;
      case 4:
        summary.duration_ns = static_cast<std::int64_t>(reader.get_uint64());
        break;
      case 5:
        summary.period_type = TypeOf(reader.get_message(), dictionary);
        break;
      case 6:
        summary.period = reader.get_int64();
        break;
      default:
        reader.skip();
    }
  }
  // As the server has it: counted samples with a period of CPU become CPU.
  const bool becomes_cpu = summary.types == std::vector<std::string>{"samples/count"} &&
                           summary.period_type == "cpu/nanoseconds";
  if (becomes_cpu) summary.types[0] = "cpu/nanoseconds";
  const bool is_cpu = !summary.types.empty() && summary.types[0] == "cpu/nanoseconds";
  for (const pbf_reader& sample : samples) {
    AddSample(sample, dictionary, is_cpu, becomes_cpu ? summary.period : 1, summary);
  }
  return summary;
}

std::pair<std::string, std::string> ReadAttribute(pbf_reader reader) {
  std::pair<std::string, std::string> attribute;
  while (reader.next()) {
    if (reader.tag() == 1) {
      attribute.first = reader.get_string();
    } else if (reader.tag() == 2) {
      pbf_reader value = reader.get_message();
      while (value.next()) {
        if (value.tag() == 1) {
          attribute.second = value.get_string();
        } else {
          value.skip();
        }
      }
    } else {
      reader.skip();
    }
  }
  return attribute;
}

Labels ReadResource(pbf_reader reader) {
  Labels labels;
  while (reader.next()) {
    if (reader.tag() == 1) {
      auto attribute = ReadAttribute(reader.get_message());
      if (attribute.first == "service.name") attribute.first = "service_name";
      labels.push_back(std::move(attribute));
    } else {
      reader.skip();
    }
  }
  return labels;
}

void ReadResourceProfiles(pbf_reader reader, const Dictionary& dictionary, Verdict& verdict) {
  Labels labels;
  std::vector<PprofSummary> profiles;
  while (reader.next()) {
    if (reader.tag() == 1) {
      labels = ReadResource(reader.get_message());
    } else if (reader.tag() == 2) {
      pbf_reader scope = reader.get_message();
      while (scope.next()) {
        if (scope.tag() == 2) {
          profiles.push_back(ReadProfile(scope.get_message(), dictionary));
        } else {
          scope.skip();
        }
      }
    } else {
      reader.skip();
    }
  }
  for (PprofSummary& profile : profiles) {
    Labels own = labels;
    own.emplace_back("__name__", profile.types.empty() ? "" : profile.types[0]);
    verdict.profiles.push_back({.labels = std::move(own), .id = "", .profile = std::move(profile)});
  }
}

}  // namespace

Verdict JudgeOtlp(std::string_view body) {
  Verdict verdict;
  try {
    std::vector<pbf_reader> resources;
    Dictionary dictionary;
    pbf_reader reader(body.data(), body.size());
    while (reader.next()) {
      if (reader.tag() == 1) {
        resources.push_back(reader.get_message());
      } else if (reader.tag() == 2) {
        dictionary = ReadDictionary(reader.get_message());
      } else {
        reader.skip();
      }
    }
    if (const std::string fault = DictionaryFault(dictionary); !fault.empty()) {
      return {.status = 400, .code = "invalid_argument", .message = fault, .profiles = {}};
    }
    for (const pbf_reader& resource : resources) {
      ReadResourceProfiles(resource, dictionary, verdict);
    }
  } catch (const protozero::exception& error) {
    return {.status = 400, .code = "invalid_argument", .message = error.what(), .profiles = {}};
  } catch (const std::out_of_range& error) {
    return {.status = 500, .code = "internal", .message = error.what(), .profiles = {}};
  }
  return verdict;
}

}  // namespace receiver
