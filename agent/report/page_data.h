// SPDX-License-Identifier: Apache-2.0
// What the page shows, as JSON. agent/report/page/data.ts reads it.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "agent/report/page_encoder.h"

namespace agent {

/// `runs`: one, or two to be compared (before, after), over one tree of calls. The columns of a
/// table are lists of the same length; "+" marks those that hold differences to the number before.
///   {"compare": null | "cpu" | "count",
///    "strings": [text],
///    "functions": {"name": [string], "file": [string], "line": [number]},
///    "nodes": {"back": [how many entries before is the caller], "function": [function]},
///      entry 0 is the root, which is no function; a caller comes before what it calls
///    "runs": [{"facts": FactsJson, "slice": length of a time slice in ns (0: times are not known),
///      "threads": {"pid": [], "tid": [], "process": [string], "thread": [string]},
///      "samples": {"node+": [], "thread": [], "slice": [],
///                  "count": [], "cpu": [ns], "wall": [ns; left out when there is none]},
///      "lines": {"function": [], "line": [], "count": [], "cpu": [], "wall": []}}]}
///        of functions alone, where the lines are known
[[nodiscard]] std::string PageDataJson(std::span<const Run> runs, std::optional<CompareBy> compare);

}  // namespace agent
