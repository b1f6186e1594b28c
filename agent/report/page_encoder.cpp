// SPDX-License-Identifier: Apache-2.0
#include "agent/report/page_encoder.h"

#include <array>
#include <cstdlib>
#include <span>
#include <string_view>

#include "agent/format/gzip.h"
#include "agent/report/page_data.h"
#include "agent/report/page_template.h"

namespace agent {
namespace {

constexpr std::string_view kPlaceOfData = "<!--data-->";
constexpr std::size_t kMaxTemplate = 4u << 20;

std::string Base64(std::string_view data) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((data.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < data.size(); i += 3) {
    const std::string_view group = data.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < group.size() ? static_cast<unsigned char>(group[j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += j <= group.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

// Compressed and in base64 the data has no character that means anything to HTML.
std::string Page(std::string_view json) {
  Result<std::string> page = Gunzip(kPageTemplate, kMaxTemplate);
  if (!page) std::abort();  // it is part of this program
  const std::size_t place = page->find(kPlaceOfData);
  if (place == std::string::npos) std::abort();
  return page->replace(place, kPlaceOfData.size(), Base64(Gzip(json)));
}

}  // namespace

std::string EncodePage(const Profile& profile, const RunFacts& facts) {
  const std::array runs = {Run{profile, facts}};
  return Page(PageDataJson(runs, std::nullopt));
}

std::string EncodeDiffPage(const Run& before, const Run& after, CompareBy by) {
  const std::array runs = {before, after};
  return Page(PageDataJson(runs, by));
}

}  // namespace agent
