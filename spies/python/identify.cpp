// SPDX-License-Identifier: Apache-2.0
#include "spies/python/identify.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

#include "spies/python/debug_offsets.h"
#include "spies/python/version_text.h"

namespace agent::python {
namespace {

constexpr std::string_view kSupported = "3.7 to 3.15 are supported";

}  // namespace

std::unexpected<Refusal> Refuse(Refusal::Kind kind, std::string reason) {
  return std::unexpected(Refusal{kind, std::move(reason)});
}

std::unexpected<Refusal> RefuseFor(const Error& error) {
  switch (error.code) {
    case Errc::kGone:
      return Refuse(Refusal::Kind::kGone);
    case Errc::kNotPermitted:
      return Refuse(Refusal::Kind::kNotPermitted, error.Message());
    case Errc::kUnreadable:
    case Errc::kTimeout:
    case Errc::kMalformed:
    case Errc::kUnsupported:
    case Errc::kInvalid:
    case Errc::kLimit:
    case Errc::kSystem:
      break;
  }
  return Refuse(Refusal::Kind::kNotYet, error.Message());
}

std::expected<Version, Refusal> FindVersion(ProcessMemory& memory,
                                            const RuntimeLocation& location) {
  if (!location.runtime.IsNull()) {
    const Result<Version> own = ReadDebugOffsetsVersion(memory, location.runtime);
    if (own) return *own;
    if (own.error().code != Errc::kUnsupported) return RefuseFor(own.error());
  }
  if (!location.version.IsNull()) {
    const Result<std::uint32_t> hex = memory.ReadValue<std::uint32_t>(location.version);
    if (!hex) return RefuseFor(hex.error());
    return Version{*hex};
  }
  if (location.before_311.hex == 0) {
    return Refuse(Refusal::Kind::kUnsupported,
                  fmt::format("this CPython does not tell its version; {}", kSupported));
  }
  const std::optional<Version> full =
      FindVersionText(memory, location.before_311, location.variables, location.variables_size);
  return full.value_or(location.before_311);
}

std::expected<Layout, Refusal> FindLayout(ProcessMemory& memory, const RuntimeLocation& location,
                                          Version version) {
  if (const Layout* table = TableLayout(version)) return *table;
  if (location.runtime.IsNull()) {
    return Refuse(Refusal::Kind::kUnsupported,
                  fmt::format("CPython {} cannot be read; {}", version.Text(), kSupported));
  }
  const Result<Layout> layout = ReadDebugOffsets(memory, location.runtime);
  if (layout) return *layout;
  return Refuse(Refusal::Kind::kUnsupported,
                fmt::format("CPython {} cannot be read: {}; {}", version.Text(),
                            layout.error().Message(), kSupported));
}

}  // namespace agent::python
