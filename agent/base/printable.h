// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace agent {

/// `text` for a terminal, which a hostile name must not drive: well-formed UTF-8 (see
/// ReplaceNonUtf8: some terminals take a lone byte 0x9B as the start of a command), with control
/// characters as \xNN: C0, DEL and C1 (U+0080 to U+009F).
[[nodiscard]] std::string Printable(std::string_view text);

}  // namespace agent
