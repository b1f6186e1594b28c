// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/layout.h"

#include "agent/process/registers.h"

namespace agent::dotnet {
namespace {

// A lock of 8 and 9 has 8 bytes more on arm64 (PAL_CS_NATIVE_DATA_SIZE, pal/inc/pal.h): how many
// of them lie before a field was seen in libcoreclr.so of 8.0.31 and 9.0.20 (x64), and in that of
// 9.0.23 for arm64, where the fields are.
constexpr std::uint32_t Behind(std::uint32_t locks, std::uint32_t on_x64) {
  constexpr std::uint32_t kMore = kCallPushes ? 0 : 8;
  return on_x64 + locks * kMore;
}

constexpr Layout k8 = {
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 8, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = false},
    .module = {.simple_name = Behind(1, 0x108), .ready_to_run = Behind(5, 1152)},
    .ready_to_run = {.method_buckets = Behind(1, 448)},
    .collector = {},
    .debug_info = {.patchpoint_size = 32, .patchpoint_locals = 8, .packed_bounds = false}};

constexpr Layout k9 = {
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 16, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = true},
    .module = {.simple_name = Behind(1, 0x108), .ready_to_run = Behind(4, 984)},
    .ready_to_run = {.method_buckets = Behind(1, 448)},
    .collector = {},
    .debug_info = {.patchpoint_size = 32, .patchpoint_locals = 8, .packed_bounds = false}};

constexpr Layout k10 = {
    .nibble_map_has_pointers = true,
    .method_desc = {.size = 16, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = true},
    .module = {.simple_name = 0xc0, .ready_to_run = 704},
    .ready_to_run = {.method_buckets = 376},
    .collector = {},
    .debug_info = {.patchpoint_size = 40, .patchpoint_locals = 16, .packed_bounds = true}};

}  // namespace

const Layout* LayoutOf(unsigned major) {
  switch (major) {
    case 8:
      return &k8;
    case 9:
      return &k9;
    case 10:
      return &k10;
    default:
      return nullptr;
  }
}

}  // namespace agent::dotnet
