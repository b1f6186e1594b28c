// SPDX-License-Identifier: Apache-2.0
// Windows and replies for the tests of the delivery.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "uploader/reply.h"
#include "uploader/upload_window.h"
#include "uploader/window_parts.h"

namespace agent {

/// A window of ten seconds from `start` on: `stacks` stacks (main;work_i from `first` on), of
/// `count` samples of 10 ms each.
inline Profile MakeUploadProfile(FunctionTable& functions, WallTime start, int stacks,
                                 std::int64_t count = 10, int first = 0) {
  Profile window(start, Nanoseconds(0));
  window.set_period(std::chrono::milliseconds(10));
  window.set_duration(std::chrono::seconds(10));
  const Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 3};
  for (int i = first; i < first + stacks; ++i) {
    const std::string name = "work_" + std::to_string(i);
    const std::vector<Frame> stack = {{.function = functions.Intern(name, "/a.py", 10), .line = 12},
                                      main};
    window.Add(window.InternStack(stack), window.InternThread({}), SampleKind::kCpu, start,
               {.count = count, .cpu_ns = count * 10'000'000});
  }
  return window;
}

inline UploadWindow MakeUploadWindow(WallTime start, int stacks = 1, std::int64_t count = 10,
                                     int first = 0,
                                     const Labels& labels = {{"service_name", "s"}}) {
  FunctionTable functions;
  const Profile window = MakeUploadProfile(functions, start, stacks, count, first);
  return PackWindow(window, EncodeWindow(window).at(0), std::make_shared<const Labels>(labels));
}

inline Reply StatusReply(int status, std::string body = {}) {
  Reply reply;
  reply.status = status;
  reply.body = std::move(body);
  return reply;
}

/// No connection, or one that gave no answer.
inline Reply NoReply(bool reached) {
  Reply reply;
  reply.trouble = reached ? "no answer" : "connection refused";
  reply.reached = reached;
  return reply;
}

}  // namespace agent
