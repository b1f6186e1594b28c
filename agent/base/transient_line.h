// SPDX-License-Identifier: Apache-2.0
// The last line of a terminal on stderr, which is rewritten again and again.
#pragma once

#include <string_view>

namespace agent {

/// Shows `text`, which fits the line, in the place of the text before; "" takes it away. LogLine
/// and ClearTransientLine take it away too. Safe from every thread; one at a time has a line.
void ShowTransientLine(std::string_view text);
inline void ClearTransientLine() { ShowTransientLine({}); }

}  // namespace agent
