// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace agent {

/// The page without data, gzipped: made from page/ when the agent is built.
extern const std::string_view kPageTemplate;

}  // namespace agent
