// SPDX-License-Identifier: Apache-2.0
#include "agent/format/otlp_encoder.h"

#include <deque>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/utf8.h"

namespace agent {
namespace {

using protozero::pbf_writer;
using Tag = protozero::pbf_tag_type;

enum RequestField : Tag { kResourceProfiles = 1, kDictionary = 2 };
enum ResourceProfilesField : Tag { kResource = 1, kScopeProfiles = 2 };
enum ResourceField : Tag { kAttributes = 1 };
enum ScopeProfilesField : Tag { kScope = 1, kProfiles = 2 };
enum ScopeField : Tag { kScopeName = 1 };
enum ProfileField : Tag {
  kSampleType = 1,
  kSamples = 2,
  kTimeUnixNano = 3,
  kDurationNano = 4,
  kPeriodType = 5,
  kPeriod = 6,
  kProfileId = 7,
};
enum SampleField : Tag { kStackIndex = 1, kSampleAttributes = 2, kValues = 4 };
enum ValueTypeField : Tag { kType = 1, kUnit = 2 };
enum DictionaryField : Tag {
  kMappingTable = 1,
  kLocationTable = 2,
  kFunctionTable = 3,
  kLinkTable = 4,
  kStringTable = 5,
  kAttributeTable = 6,
  kStackTable = 7,
};
enum MappingField : Tag {
  kMemoryStart = 1,
  kMemoryLimit = 2,
  kFileOffset = 3,
  kMappingFile = 4,
  kMappingAttributes = 5,
};
enum LocationField : Tag { kMappingIndex = 1, kAddress = 2, kLines = 3 };
enum LineField : Tag { kFunctionIndex = 1, kLineNumber = 2 };
enum FunctionField : Tag { kName = 1, kSystemName = 2, kFile = 3, kStartLine = 4 };
enum StackField : Tag { kLocationIndices = 1 };
enum TableAttributeField : Tag { kKeyIndex = 1, kTableValue = 2 };
enum KeyValueField : Tag { kKey = 1, kValue = 2 };
enum AnyValueField : Tag { kStringValue = 1, kIntValue = 3 };

// Entry 0 of every table stands for nothing.
template <typename Key>
class Table {
 public:
  // The entry's index; `write` appends it when it is new.
  template <typename Write>
  std::int32_t Index(const Key& key, Write write) {
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    std::string text;
    pbf_writer writer(text);
    write(writer);
    messages_.push_back(std::move(text));
    const auto index = static_cast<std::int32_t>(messages_.size());
    known_.emplace(key, index);
    return index;
  }

  void WriteTo(pbf_writer& dictionary, Tag tag) const {
    dictionary.add_message(tag, std::string());
    for (const std::string& message : messages_) dictionary.add_message(tag, message);
  }

 private:
  std::map<Key, std::int32_t> known_;
  std::vector<std::string> messages_;
};

class Encoder {
 public:
  explicit Encoder(const Profile& profile) : profile_(profile) { String(""); }

  std::string Encode(const Labels& labels, std::array<std::byte, 16> id) {
    std::string data;
    pbf_writer request(data);
    {
      pbf_writer resource_profiles(request, kResourceProfiles);
      WriteResource(resource_profiles, labels);
      pbf_writer scope_profiles(resource_profiles, kScopeProfiles);
      {
        pbf_writer scope(scope_profiles, kScope);
        scope.add_string(kScopeName, "agent");
      }
      WriteProfile(scope_profiles, "cpu", "nanoseconds", &SampleValue::cpu_ns, id);
      WriteProfile(scope_profiles, "samples", "count", &SampleValue::count, Next(id));
      if (profile_.Total().wall_ns > 0) {
        WriteProfile(scope_profiles, "wall", "nanoseconds", &SampleValue::wall_ns, Next(Next(id)));
      }
    }
    WriteDictionary(request);
    return data;
  }

 private:
  using LocationKey =
      std::vector<std::tuple<const Function*, std::uint32_t, const Module*, std::uint64_t>>;

  static std::array<std::byte, 16> Next(std::array<std::byte, 16> id) {
    id.back() = static_cast<std::byte>(std::to_integer<unsigned>(id.back()) + 1);
    return id;
  }

  std::int32_t String(std::string_view text) {
    const auto found = string_ids_.find(text);
    if (found != string_ids_.end()) return found->second;
    const std::string& kept = strings_.emplace_back(ReplaceNonUtf8(text));
    const auto id = static_cast<std::int32_t>(strings_.size() - 1);
    string_ids_.emplace(kept, id);
    return id;
  }

  static void WriteResource(pbf_writer& resource_profiles, const Labels& labels) {
    pbf_writer resource(resource_profiles, kResource);
    for (const auto& [name, value] : labels) {
      pbf_writer attribute(resource, kAttributes);
      attribute.add_string(kKey, name == "service_name" ? "service.name" : name);
      pbf_writer any(attribute, kValue);
      any.add_string(kStringValue, value);
    }
  }

  void WriteType(pbf_writer& profile, Tag tag, std::string_view type, std::string_view unit) {
    pbf_writer writer(profile, tag);
    writer.add_int32(kType, String(type));
    writer.add_int32(kUnit, String(unit));
  }

  void WriteProfile(pbf_writer& scope, std::string_view type, std::string_view unit,
                    std::int64_t SampleValue::* value, std::array<std::byte, 16> id) {
    pbf_writer profile(scope, kProfiles);
    WriteType(profile, kSampleType, type, unit);
    std::map<std::pair<StackId, ThreadIndex>, std::int64_t> sums;
    for (const Profile::Entry& entry : profile_.Entries()) {
      sums[{entry.key.stack, entry.key.thread}] += entry.value.*value;
    }
    for (const auto& [key, sum] : sums) {
      if (sum == 0) continue;
      const std::int32_t stack = Stack(key.first);
      const std::vector<std::int32_t> attributes = AttributesOf(profile_.Thread(key.second));
      pbf_writer sample(profile, kSamples);
      sample.add_int32(kStackIndex, stack);
      sample.add_packed_int32(kSampleAttributes, attributes.begin(), attributes.end());
      sample.add_packed_int64(kValues, &sum, &sum + 1);
    }
    profile.add_fixed64(kTimeUnixNano,
                        static_cast<std::uint64_t>(profile_.start().time_since_epoch().count()));
    profile.add_uint64(kDurationNano, static_cast<std::uint64_t>(profile_.duration().count()));
    // Pyroscope turns samples with a period of CPU into CPU, samples times period, which would
    // stand beside the true one.
    if (value != &SampleValue::count) {
      WriteType(profile, kPeriodType, "cpu", "nanoseconds");
      profile.add_int64(kPeriod, profile_.period().count());
    }
    profile.add_bytes(kProfileId, reinterpret_cast<const char*>(id.data()), id.size());
  }

  std::vector<std::int32_t> AttributesOf(const ThreadInfo& thread) {
    if (thread.tid == Tid{}) return {};
    return {Attribute("thread.name", thread.thread_name),
            Attribute("thread.id", std::int64_t{static_cast<pid_t>(thread.tid)})};
  }

  template <typename Value>
  std::int32_t Attribute(std::string_view key, const Value& value) {
    std::string any_text;
    pbf_writer any(any_text);
    if constexpr (std::is_same_v<Value, std::int64_t>) {
      any.add_int64(kIntValue, value);
    } else {
      any.add_string(kStringValue, ReplaceNonUtf8(value));
    }
    const std::int32_t name = String(key);
    return attributes_.Index({name, any_text}, [&](pbf_writer& writer) {
      writer.add_int32(kKeyIndex, name);
      writer.add_message(kTableValue, any_text);
    });
  }

  std::int32_t Stack(StackId id) {
    return stacks_.Index(id, [&](pbf_writer& writer) {
      std::vector<std::int32_t> locations;
      std::span<const Frame> frames = profile_.StackFrames(id);
      while (!frames.empty()) {
        std::size_t count = 1;
        while (count < frames.size() && frames[count - 1].inlined) ++count;
        locations.push_back(Location(frames.first(count)));
        frames = frames.subspan(count);
      }
      writer.add_packed_int32(kLocationIndices, locations.begin(), locations.end());
    });
  }

  // A run of inlined frames and the one that they were compiled into.
  std::int32_t Location(std::span<const Frame> frames) {
    LocationKey key;
    for (const Frame& frame : frames) {
      key.emplace_back(frame.function, frame.line, frame.module, frame.address);
    }
    return locations_.Index(key, [&](pbf_writer& writer) {
      const Frame& outermost = frames.back();
      if (outermost.module != nullptr) {
        writer.add_int32(kMappingIndex, Mapping(*outermost.module));
        writer.add_uint64(kAddress, outermost.address);
      }
      for (const Frame& frame : frames) {
        const std::int32_t function = FunctionOf(*frame.function);
        pbf_writer line(writer, kLines);
        line.add_int32(kFunctionIndex, function);
        line.add_int64(kLineNumber, frame.line);
      }
    });
  }

  std::int32_t Mapping(const Module& module) {
    return mappings_.Index(&module, [&](pbf_writer& writer) {
      writer.add_uint64(kMemoryStart, module.start);
      writer.add_uint64(kMemoryLimit, module.end);
      writer.add_uint64(kFileOffset, module.file_offset);
      writer.add_int32(kMappingFile, String(module.path));
      if (module.build_id.empty()) return;
      const std::int32_t id = Attribute("process.executable.build_id.gnu", module.build_id);
      writer.add_packed_int32(kMappingAttributes, &id, &id + 1);
    });
  }

  std::int32_t FunctionOf(const Function& function) {
    return functions_.Index(&function, [&](pbf_writer& writer) {
      const std::int32_t name = String(function.name);
      writer.add_int32(kName, name);
      writer.add_int32(kSystemName, name);
      writer.add_int32(kFile, String(function.file));
      writer.add_int64(kStartLine, function.start_line);
    });
  }

  void WriteDictionary(pbf_writer& request) const {
    pbf_writer dictionary(request, kDictionary);
    mappings_.WriteTo(dictionary, kMappingTable);
    locations_.WriteTo(dictionary, kLocationTable);
    functions_.WriteTo(dictionary, kFunctionTable);
    dictionary.add_message(kLinkTable, std::string());
    for (const std::string& text : strings_) dictionary.add_string(kStringTable, text);
    attributes_.WriteTo(dictionary, kAttributeTable);
    stacks_.WriteTo(dictionary, kStackTable);
  }

  const Profile& profile_;
  std::deque<std::string> strings_;
  std::unordered_map<std::string_view, std::int32_t> string_ids_;
  Table<const Module*> mappings_;
  Table<LocationKey> locations_;
  Table<const Function*> functions_;
  Table<std::pair<std::int32_t, std::string>> attributes_;
  Table<StackId> stacks_;
};

}  // namespace

std::string EncodeOtlp(const Profile& profile, const Labels& labels, std::array<std::byte, 16> id) {
  return Encoder(profile).Encode(labels, id);
}

}  // namespace agent
