// SPDX-License-Identifier: Apache-2.0
#include "agent/format/pprof_messages.h"

#include <protozero/exception.hpp>
#include <protozero/pbf_reader.hpp>
#include <utility>

#include "agent/format/pprof_fields.h"

namespace agent::pprof {
namespace {

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

void TakeField(protozero::pbf_reader& field, RawProfile& profile) {
  switch (field.tag()) {
    case kSampleType:
      profile.types.push_back(ReadValueType(Message(field)));
      break;
    case kSample:
      profile.samples.push_back(ReadSample(Message(field)));
      break;
    case kMapping:
      profile.mappings.insert(ReadMapping(Message(field)));
      break;
    case kLocation:
      profile.locations.insert(ReadLocation(Message(field)));
      break;
    case kFunction:
      profile.functions.insert(ReadFunction(Message(field)));
      break;
    case kStringTable: {
      const protozero::data_view text = View(field);
      profile.strings.emplace_back(text.data(), text.size());
      break;
    }
    case kTimeNanos:
      profile.time_ns = Number(field);
      break;
    case kDurationNanos:
      profile.duration_ns = Number(field);
      break;
    case kPeriod:
      profile.period = Number(field);
      break;
    case kComment:
      ReadNumbers(field, profile.comments);
      break;
    case kAgentFacts: {
      const protozero::data_view text = View(field);
      profile.agent_facts = {text.data(), text.size()};
      break;
    }
    default:
      field.skip();
  }
}

}  // namespace

RawProfile ReadRawProfile(std::string_view bytes) {
  RawProfile profile;
  ForEachField(protozero::pbf_reader(bytes.data(), bytes.size()),
               [&](protozero::pbf_reader& field) { TakeField(field, profile); });
  return profile;
}

}  // namespace agent::pprof
