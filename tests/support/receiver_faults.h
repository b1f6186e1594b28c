// SPDX-License-Identifier: Apache-2.0
// How the test receiver misbehaves; receiver.cpp lists the kinds.
#pragma once

#include <string>

#include "tests/support/receiver_state.h"

namespace httplib {
struct Request;
struct Response;
}  // namespace httplib

namespace receiver {

/// Whether the request is judged and its profile taken before, or in spite of, the fault.
[[nodiscard]] bool TakesProfile(const std::string& fault);

/// Shows it. True if the request has got its answer; else it is judged, and AfterJudging called.
[[nodiscard]] bool ShowFault(const std::string& fault, State& state,
                             const httplib::Request& request, httplib::Response& response);
/// For faults that take the profile: spoils the answer that is there.
void AfterJudging(const std::string& fault, const httplib::Request& request,
                  httplib::Response& response);

/// A Connect error (https://connectrpc.com/docs/protocol/#error-end-stream).
void AnswerError(int status, const std::string& code, const std::string& message,
                 httplib::Response& response);

}  // namespace receiver
