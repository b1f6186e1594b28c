// SPDX-License-Identifier: Apache-2.0
#include "tests/support/receiver_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <expected>
#include <protozero/pbf_reader.hpp>
#include <set>

#include "agent/base/utf8.h"

namespace receiver {
namespace {

constexpr std::size_t kMaxLabels = 30;
constexpr std::size_t kMaxName = 1024;
constexpr std::size_t kMaxValue = 2048;
constexpr std::size_t kMaxLine = 64u << 10;  // bufio.Scanner's
constexpr std::int64_t kSecond = 1'000'000'000;

Verdict Refusal(int status, std::string code, std::string message) {
  return {.status = status, .code = std::move(code), .message = std::move(message), .profiles = {}};
}

Verdict Invalid(std::string message) {
  return Refusal(400, "invalid_argument", std::move(message));
}

bool IsName(std::string_view name) {
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_';
         });
}

// "" or the rule that is broken.
std::string LabelFault(const Labels& labels) {
  if (labels.size() > kMaxLabels) return "more than 30 label names";
  std::set<std::string> names;
  for (const auto& [name, value] : labels) {
    if (name.size() > kMaxName || !IsName(name)) return fmt::format("label name \"{}\"", name);
    if (value.size() > kMaxValue) return fmt::format("the value of label {} is too long", name);
    if (!agent::IsUtf8(value)) return fmt::format("the value of label {} is not UTF-8", name);
    if (!names.insert(name).second) return fmt::format("label {} is there twice", name);
  }
  if (!names.contains("__name__")) return "there is no label __name__";
  if (!names.contains("service_name")) return "there is no label service_name";
  return "";
}

std::string AgeFault(std::int64_t time, std::int64_t now) {
  if (time < now - 3600 * kSecond) return "the profile is older than 1h";
  if (time > now + 600 * kSecond) return "the profile is newer than 10m";
  return "";
}

bool IsUuid(std::string_view id) {
  if (id.size() != 36) return false;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f');
    if (dash ? id[i] != '-' : !hex) return false;
  }
  return true;
}

std::pair<std::string, std::string> ReadPair(protozero::pbf_reader reader) {
  std::pair<std::string, std::string> result;
  while (reader.next()) {
    if (reader.tag() == 1) {
      result.first = reader.get_string();
    } else if (reader.tag() == 2) {
      result.second = reader.get_string();
    } else {
      reader.skip();
    }
  }
  return result;
}

struct RawSample {
  std::string profile;
  std::string id;
};

struct Series {
  Labels labels;
  std::vector<RawSample> samples;
};

Series ReadSeries(protozero::pbf_reader reader) {
  Series series;
  while (reader.next()) {
    if (reader.tag() == 1) {
      series.labels.push_back(ReadPair(reader.get_message()));
    } else if (reader.tag() == 2) {
      auto [profile, id] = ReadPair(reader.get_message());  // the same form
      series.samples.push_back({.profile = std::move(profile), .id = std::move(id)});
    } else {
      reader.skip();
    }
  }
  return series;
}

// Adds what is accepted to `verdict`; every series is tried, the errors are joined.
void JudgeSeries(const Series& series, std::int64_t now, Verdict& verdict) {
  const auto refuse = [&](std::string_view why) {
    verdict.status = 400;
    verdict.code = "invalid_argument";
    verdict.message += (verdict.message.empty() ? "" : "; ") + std::string(why);
  };
  if (const std::string fault = LabelFault(series.labels); !fault.empty()) return refuse(fault);
  if (series.samples.empty()) return refuse("a series without a profile");
  for (const RawSample& sample : series.samples) {
    if (!IsUuid(sample.id)) {
      refuse("the ID is not a UUID");
      continue;
    }
    auto profile = CheckPprof(sample.profile);
    const std::string fault = profile ? AgeFault(profile->time_ns, now) : profile.error();
    if (!fault.empty()) {
      refuse(fault);
      continue;
    }
    verdict.profiles.push_back(
        {.labels = series.labels, .id = sample.id, .profile = *std::move(profile)});
  }
}

// "app{k=v}" as /ingest takes it; the labels hold service_name.
std::expected<Labels, std::string> ParseName(std::string_view name) {
  const std::size_t brace = std::min(name.find('{'), name.size());
  const std::string_view service = name.substr(0, brace);
  const bool plain = std::ranges::all_of(service, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_.-/").find(c) != std::string_view::npos;
  });
  if (service.empty() || !plain) return std::unexpected("invalid application name");
  Labels labels = {{"__name__", "process_cpu"}, {"service_name", std::string(service)}};
  std::string_view rest = name.substr(brace);
  if (rest.empty()) return labels;
  if (!rest.ends_with('}')) return std::unexpected("invalid application name");
  rest = rest.substr(1, rest.size() - 2);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find(','));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return std::unexpected("invalid label");
    labels.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
  }
  return labels;
}

void AddFolded(std::string_view stack, std::int64_t count, std::int64_t ns_each,
               PprofSummary& summary) {
  ++summary.sample_count;
  summary.total.samples += count;
  summary.total.cpu_ns += count * ns_each;
  std::set<std::string> names;
  while (!stack.empty()) {
    const std::string_view name = stack.substr(0, stack.find(';'));
    names.emplace(name);
    stack.remove_prefix(std::min(name.size() + 1, stack.size()));
  }
  for (const std::string& name : names) {
    summary.functions[name].samples += count;
    summary.functions[name].cpu_ns += count * ns_each;
  }
}

}  // namespace

Verdict JudgePush(std::string_view body, std::int64_t now) {
  Verdict verdict;
  try {
    protozero::pbf_reader reader(body.data(), body.size());
    bool has_series = false;
    while (reader.next()) {
      if (reader.tag() != 1)
        return Invalid(fmt::format("PushRequest has a field {}", reader.tag()));
      has_series = true;
      JudgeSeries(ReadSeries(reader.get_message()), now, verdict);
    }
    if (!has_series) return Invalid("no series");
  } catch (const protozero::exception& error) {
    return Invalid(std::string("not a PushRequest: ") + error.what());
  }
  return verdict;
}

Verdict JudgeIngestPprof(std::string_view name, std::string_view pprof, std::int64_t now) {
  auto labels = ParseName(name);
  if (!labels) return Invalid(labels.error());
  auto profile = CheckPprof(pprof);
  std::string fault = profile ? AgeFault(profile->time_ns, now) : profile.error();
  if (fault.empty()) fault = LabelFault(*labels);
  if (!fault.empty()) return Refusal(422, "invalid_argument", fault);
  Verdict verdict;
  verdict.profiles.push_back({.labels = *labels, .id = "", .profile = *std::move(profile)});
  return verdict;
}

std::int64_t IngestTime(const std::string& text) {
  std::int64_t time = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), time);
  if (error != std::errc() || stop != text.data() + text.size()) return 0;
  for (std::size_t digits = text.size(); digits < 19; ++digits) time *= 10;
  return time;
}

Verdict JudgeIngestFolded(std::string_view name, std::string_view body, std::int64_t from,
                          std::int64_t sample_rate) {
  const std::string_view app = name.substr(0, name.find('{'));
  const std::size_t dot = app.rfind('.');
  // The last part of the name is the profile's type here.
  if (dot != std::string_view::npos && app.substr(dot + 1) != "cpu") {
    return Invalid(fmt::format("unknown profile type: {}", app.substr(dot + 1)));
  }
  std::string bare(name);
  if (dot != std::string_view::npos) bare.erase(dot, 4);
  auto labels = ParseName(bare);
  if (!labels) return Invalid(labels.error());
  PprofSummary summary;
  summary.time_ns = from;
  while (!body.empty()) {
    const std::string_view line = body.substr(0, body.find('\n'));
    body.remove_prefix(std::min(line.size() + 1, body.size()));
    // As there: the rest is lost without a word.
    if (line.size() >= kMaxLine) break;
    const std::size_t space = line.rfind(' ');
    if (space == std::string_view::npos) continue;
    std::int64_t count = 0;
    const char* const end = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data() + space + 1, end, count);
    if (error != std::errc() || stop != end) {
      return Refusal(422, "invalid_argument", "a count is not a whole number");
    }
    AddFolded(line.substr(0, space), count, kSecond / sample_rate, summary);
  }
  Verdict verdict;
  verdict.profiles.push_back({.labels = *labels, .id = "", .profile = std::move(summary)});
  return verdict;
}

}  // namespace receiver
