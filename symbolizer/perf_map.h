// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "symbolizer/code_map.h"

namespace agent {

/// A name as just-in-time compilers write it, taken apart where the form is known:
/// - V8: `JS:*foo /srv/a.js:12:3` is foo, /srv/a.js, 12. The mark of the tier (`~` interpreted,
///   `^` baseline, `+` Maglev, `*` optimized) is left out: one function, not four. A function
///   without a name is "(anonymous)". `Builtin:...`, `BytecodeHandler:...` and the like stay as
///   they are.
/// - CPython 3.12 (-X perf): `py::f:/srv/a.py`.
/// - .NET: without the tier at the end (`[QuickJitted]`, `[OptimizedTier1]`, ...).
[[nodiscard]] JitCode ParseJitName(std::string_view name);

/// Whether V8 has written this name (before ParseJitName).
[[nodiscard]] bool IsV8Name(std::string_view name);

/// Adds the lines of a perf map (Linux, tools/perf/Documentation/jit-interface.txt: "START SIZE
/// name", hexadecimal). Lines of another form are passed over. Returns how many bytes were taken: a
/// last line that is not complete yet is left for the next time.
std::size_t AddPerfMap(std::string_view text, CodeMap& map);

}  // namespace agent
