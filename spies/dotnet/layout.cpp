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

// Not known of arm64.
constexpr std::uint32_t kCollectorSlot = kCallPushes ? 18 : 0;

// 6 and 7 have never been run: their sources say it, and for what they share 8's measurements.
constexpr Layout k6 = {
    .code_ranges = {.is_list = true, .has_offset = true, .place = 0},
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 8, .remainder_bits = 14},
    .method_table = {.has_type_id_in_flags2 = false, .has_loader_module = true},
    .type_desc_argument = 0,
    .module = {.simple_name = 8, .ready_to_run = 0},
    .ready_to_run = {.composite = 32, .functions = 64, .method_buckets = 416},
    .collector = {},
    .debug_info = {.patchpoint_size = 20, .patchpoint_locals = 0, .packed_bounds = false}};

constexpr Layout k7 = {
    .code_ranges = {.is_list = true, .has_offset = false, .place = 0},
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 8, .remainder_bits = 13},
    .method_table = {.has_type_id_in_flags2 = false, .has_loader_module = true},
    .type_desc_argument = 0,
    .module = {.simple_name = 0x100, .ready_to_run = 0},
    .ready_to_run = {.composite = 40, .functions = 80, .method_buckets = 432},
    .collector = {},
    .debug_info = {.patchpoint_size = 32, .patchpoint_locals = 8, .packed_bounds = false}};

constexpr Layout k8 = {
    .code_ranges = {.is_list = false, .has_offset = false, .place = 0},
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 8, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = false, .has_loader_module = false},
    .type_desc_argument = 16,
    .module = {.simple_name = Behind(1, 0x108), .ready_to_run = Behind(5, 1152)},
    .ready_to_run = {.composite = 40, .functions = 80, .method_buckets = Behind(1, 448)},
    .collector = {.suspending_thread = 0, .slot = kCollectorSlot, .os_id = 424},
    .debug_info = {.patchpoint_size = 32, .patchpoint_locals = 8, .packed_bounds = false}};

constexpr Layout k9 = {
    .code_ranges = {.is_list = false, .has_offset = false, .place = 0},
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 16, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = true, .has_loader_module = false},
    .type_desc_argument = 16,
    .module = {.simple_name = Behind(1, 0x108), .ready_to_run = Behind(4, 984)},
    .ready_to_run = {.composite = 40, .functions = 80, .method_buckets = Behind(1, 448)},
    .collector = {.suspending_thread = 0, .slot = kCollectorSlot, .os_id = 296},
    .debug_info = {.patchpoint_size = 32, .patchpoint_locals = 8, .packed_bounds = false}};

constexpr Layout k10 = {
    .code_ranges = {.is_list = false, .has_offset = false, .place = 0},
    .nibble_map_has_pointers = true,
    .method_desc = {.size = 16, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = true, .has_loader_module = false},
    .type_desc_argument = 16,
    .module = {.simple_name = 0xc0, .ready_to_run = 704},
    .ready_to_run = {.composite = 40, .functions = 80, .method_buckets = 376},
    .collector = {},
    .debug_info = {.patchpoint_size = 40, .patchpoint_locals = 16, .packed_bounds = true}};

}  // namespace

const Layout* LayoutOf(unsigned major) {
  switch (major) {
    case 6:
      return &k6;
    case 7:
      return &k7;
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
