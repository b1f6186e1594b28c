// SPDX-License-Identifier: Apache-2.0
#include "agent/report/unnamed_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "agent/base/counted.h"

namespace agent {
namespace {

// A few unnamed addresses (hand-written assembly, padding) are in every run.
constexpr std::int64_t kSamplesPerUnnamed = 100;

// What the user can do; "" when there is nothing.
std::string Cure(const UnnamedCode& code) {
  switch (code.reason) {
    case UnnamedReason::kUnreadable:
      return "was it replaced or deleted while the program ran?";
    case UnnamedReason::kStripped:
      if (code.module->path.contains("/Microsoft.NETCore.App/")) {
        return fmt::format("fetch its debug file: dotnet-symbol --symbols {}", code.module->path);
      }
      // Only of what a distribution installed is there a package.
      if (code.module->path.starts_with("/usr/") || code.module->path.starts_with("/lib")) {
        return fmt::format(
            "install its debug symbols (Debian: the -dbgsym package of what "
            "\"dpkg -S {}\" names)",
            code.module->path);
      }
      return "keep its symbols (do not strip it), or put its debug file beside it";
    case UnnamedReason::kNoPerfMap:
      return "let the runtime write one (node --perf-basic-prof, DOTNET_PerfMapEnabled=1, "
             "python -X perf)";
    case UnnamedReason::kNoSymbol:
    case UnnamedReason::kNotInPerfMap:
      return "";
  }
  return "";
}

}  // namespace

std::string_view ReasonText(UnnamedReason reason) {
  switch (reason) {
    case UnnamedReason::kUnreadable:
      return "the file cannot be read";
    case UnnamedReason::kStripped:
      return "stripped, and no debug file was found";
    case UnnamedReason::kNoSymbol:
      return "outside of every symbol";
    case UnnamedReason::kNoPerfMap:
      return "made at run time, and no perf map or jitdump was found";
    case UnnamedReason::kNotInPerfMap:
      return "made at run time, and not in its perf map or jitdump";
  }
  return "";
}

std::string DescribeUnnamed(const UnnamedCode& code) {
  const Module& module = *code.module;
  return fmt::format(
      "{} ({}): {} without a name, {} in them: {}", module.path,
      module.build_id.empty() ? "no build id" : "build id " + module.build_id,
      code.addresses == 1 ? "1 address" : fmt::format("{} addresses", code.addresses),
      Counted(code.samples, "sample"), ReasonText(code.reason));
}

std::string UnnamedLine(std::span<const UnnamedCode> codes, std::int64_t samples) {
  std::int64_t unnamed = 0;
  for (const UnnamedCode& code : codes) unnamed += code.samples;
  if (unnamed == 0 || unnamed * kSamplesPerUnnamed < samples) return "";
  const UnnamedCode& most = *std::ranges::max_element(codes, {}, &UnnamedCode::samples);
  const auto share = [&](std::int64_t part) {
    return 100.0 * static_cast<double>(part) / static_cast<double>(samples);
  };
  std::string text =
      fmt::format("{:.1f} % of the samples are in code without a name, ", share(unnamed));
  text += most.samples == unnamed ? "all" : fmt::format("{:.1f} %", share(most.samples));
  text += fmt::format(" in {}: {}", most.module->path, ReasonText(most.reason));
  if (const std::string cure = Cure(most); !cure.empty()) text += "; " + cure;
  return text;
}

}  // namespace agent
