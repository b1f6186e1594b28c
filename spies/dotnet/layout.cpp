// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/layout.h"

namespace agent::dotnet {
namespace {

constexpr Layout k8 = {
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 8, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = false},
    .module = {.simple_name = 0x108, .ready_to_run = 1152},
    .ready_to_run = {.method_buckets = 448},
    .collector = {},
    .debug_info = {.patchpoint_size = 32, .patchpoint_locals = 8, .packed_bounds = false}};

constexpr Layout k9 = {
    .nibble_map_has_pointers = false,
    .method_desc = {.size = 16, .remainder_bits = 12},
    .method_table = {.has_type_id_in_flags2 = true},
    .module = {.simple_name = 0x108, .ready_to_run = 984},
    .ready_to_run = {.method_buckets = 448},
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
