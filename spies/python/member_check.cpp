// SPDX-License-Identifier: Apache-2.0
#include "spies/python/member_check.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <span>
#include <string_view>

namespace agent::python {
namespace {

constexpr std::uint32_t kTpMembers = 224;  // PyTypeObject.tp_members behind the PyObject
constexpr std::size_t kMaxMembers = 64;
constexpr std::size_t kMaxName = 24;

struct MemberDef {  // PyMemberDef
  std::uint64_t name = 0;
  std::uint64_t type = 0;
  std::uint64_t offset = 0;
  std::uint64_t flags = 0;
  std::uint64_t doc = 0;
};

struct Field {
  std::string_view name;
  std::uint64_t offset;
};

Result<void> CheckType(ProcessMemory& memory, const Layout& layout, RemoteAddress type,
                       std::span<const Field> fields) {
  AGENT_TRY(auto next, memory.ReadValue<std::uint64_t>(type.Plus(layout.object_size + kTpMembers)));
  std::size_t found = 0;
  for (std::size_t i = 0; i < kMaxMembers; ++i, next += sizeof(MemberDef)) {
    AGENT_TRY(const auto member, memory.ReadValue<MemberDef>(RemoteAddress(next)));
    if (member.name == 0) break;
    std::array<std::byte, kMaxName> text{};
    AGENT_TRY(const std::size_t size, memory.ReadSome(RemoteAddress(member.name), text));
    for (const Field& field : fields) {
      if (size <= field.name.size() || text[field.name.size()] != std::byte{0} ||
          std::memcmp(text.data(), field.name.data(), field.name.size()) != 0) {
        continue;
      }
      if (member.offset != field.offset) {
        return Fail(Errc::kMalformed, "its structures are not those of this version",
                    fmt::format("{} is at {}, not at {}", field.name, member.offset, field.offset));
      }
      ++found;
    }
  }
  if (found == 0) return Fail(Errc::kMalformed, "its structures are not those of this version");
  return {};
}

}  // namespace

Result<void> CheckMembers(ProcessMemory& memory, const Layout& layout, RemoteAddress code_type,
                          RemoteAddress frame_type) {
  if (!code_type.IsNull()) {
    const Layout::Code& code = layout.code;
    const std::string_view lines =
        code.line_format == LineFormat::kPairs ? "co_lnotab" : "co_linetable";
    const std::array<Field, 4> fields = {{{"co_firstlineno", code.first_line},
                                          {"co_filename", code.filename},
                                          {"co_name", code.name},
                                          {lines, code.line_table}}};
    AGENT_CHECK_OK(CheckType(memory, layout, code_type, fields));
  }
  if (layout.frame.is_linked && !frame_type.IsNull()) {
    const Layout::Frame& frame = layout.frame;
    const std::array<Field, 3> fields = {
        {{"f_back", frame.previous}, {"f_code", frame.executable}, {"f_lasti", frame.instruction}}};
    AGENT_CHECK_OK(CheckType(memory, layout, frame_type, fields));
  }
  return {};
}

}  // namespace agent::python
