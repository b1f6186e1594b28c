-- SPDX-License-Identifier: Apache-2.0
-- For wrk: asks for the paths that stand after its "--" in turn, and prints what came of it as one line of JSON.

local requests, turn = {}, 0

function init(paths)
  for _, path in ipairs(paths) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format('{"replies": %d, "seconds": %.6f, "longest_ms": %.3f, "p99_ms": %.3f, ' ..
    '"failed": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}',
    summary.requests, summary.duration / 1e6, latency.max / 1e3, latency:percentile(99) / 1e3,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
