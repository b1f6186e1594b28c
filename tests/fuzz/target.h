// SPDX-License-Identifier: Apache-2.0
// One reader of hostile bytes, to be tried with any input: by libFuzzer (AGENT_FUZZ), which has one
// program for each target, or by fuzz_replay, which has all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace agent::fuzz {

using Input = std::span<const std::byte>;
using Target = void (*)(Input);

/// Makes `target` known to fuzz_replay; before main.
struct Registration {
  Registration(const char* name, Target target);
};

inline std::string_view TextOf(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

inline std::shared_ptr<const std::vector<std::byte>> ShareBytes(Input input) {
  return std::make_shared<const std::vector<std::byte>>(input.begin(), input.end());
}

}  // namespace agent::fuzz

/// Begins the function that is tried; `input` are the bytes. The name is that of the file.
#ifdef AGENT_FUZZ
#define AGENT_FUZZ_TARGET(name)                                                       \
  static void Try(agent::fuzz::Input input);                                          \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);  \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
    Try(std::as_bytes(std::span(data, size)));                                        \
    return 0;                                                                         \
  }                                                                                   \
  static void Try(agent::fuzz::Input input)
#else
#define AGENT_FUZZ_TARGET(name)                                    \
  static void Try(agent::fuzz::Input input);                       \
  static const agent::fuzz::Registration registration(#name, Try); \
  static void Try(agent::fuzz::Input input)
#endif
