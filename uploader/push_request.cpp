// SPDX-License-Identifier: Apache-2.0
#include "uploader/push_request.h"

#include <fmt/format.h>

#include <protozero/pbf_writer.hpp>
#include <random>

namespace agent {
namespace {

enum PushRequestField : protozero::pbf_tag_type { kSeries = 1 };
enum SeriesField : protozero::pbf_tag_type { kLabels = 1, kSamples = 2 };
enum LabelPairField : protozero::pbf_tag_type { kName = 1, kValue = 2 };
enum RawSampleField : protozero::pbf_tag_type { kRawProfile = 1, kId = 2 };

void AddLabel(protozero::pbf_writer& series, std::string_view name, std::string_view value) {
  protozero::pbf_writer label(series, kLabels);
  label.add_string(kName, name.data(), name.size());
  label.add_string(kValue, value.data(), value.size());
}

}  // namespace

std::string FormatUuid(std::array<std::byte, 16> random) {
  random[6] = (random[6] & std::byte{0x0f}) | std::byte{0x40};
  random[8] = (random[8] & std::byte{0x3f}) | std::byte{0x80};
  std::string text;
  for (std::size_t i = 0; i < random.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", std::to_integer<unsigned>(random[i]));
  }
  return text;
}

std::array<std::byte, 16> RandomBytes() {
  std::random_device device;
  std::array<std::byte, 16> random{};
  for (std::byte& byte : random) byte = static_cast<std::byte>(device() & 0xff);
  return random;
}

std::string NewUuid() { return FormatUuid(RandomBytes()); }

std::string EncodePushRequest(const Labels& labels, std::string_view pprof, std::string_view id) {
  std::string data;
  protozero::pbf_writer request(data);
  protozero::pbf_writer series(request, kSeries);
  AddLabel(series, "__name__", "process_cpu");
  for (const auto& [name, value] : labels) AddLabel(series, name, value);
  {
    protozero::pbf_writer sample(series, kSamples);
    sample.add_bytes(kRawProfile, pprof.data(), pprof.size());
    sample.add_string(kId, id.data(), id.size());
  }
  series.commit();
  return data;
}

}  // namespace agent
