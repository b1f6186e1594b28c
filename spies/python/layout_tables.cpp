// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "spies/python/layout.h"

namespace agent::python {
namespace {

// x86-64 and arm64, measured against each version's own headers: Include/frameobject.h,
// Include/code.h (3.7), Include/cpython/{frameobject,code,pystate,unicodeobject}.h, and
// Include/internal/pycore_{runtime,interp,pystate,frame}.h. Checked against the process at attach
// (member_check.h).
// Of a pthread_mutex_t, against x86-64: the GIL's lies before what tells its holder.
#if defined(__aarch64__)
constexpr std::uint32_t kLongerMutex = 16;
#else
constexpr std::uint32_t kLongerMutex = 0;
#endif

constexpr Layout k37 = {
    .runtime = {.interpreters_head = 24},
    .interpreter = {.id = 16, .next = 0, .threads_head = 8},
    .thread = {.next = 8,
               .interp = 16,
               .frame = 24,
               .frame_is_in_cframe = false,
               .cframe_current_frame = 0,
               .native_thread_id = 0,
               .thread_id = 176},
    .frame = {.size = 112,
              .previous = 24,
              .executable = 32,
              .instruction = 104,
              .owner = 0,
              .first_shim_owner = 0xff,
              .is_entry = 0,
              .is_linked = true,
              .bytes_per_index = 1},
    .code = {.first_line = 36,
             .filename = 96,
             .name = 104,
             .qualname = 104,
             .line_table = 112,
             .instructions = 0,
             .line_format = LineFormat::kPairs},
    .unicode = {.length = 16, .state = 32, .ascii_data = 48, .compact_data = 72},
    .bytes = {.size = 16, .data = 32},
    .gil = {.runtime_holder = 1480 + kLongerMutex, .runtime_switches = 1288},
    .gc = {},
    .names = {.interpreter_modules = 40},
    .coroutine = {},
};

// To 3.7.3 the runtime state had less before it.
constexpr Layout Make373() {
  Layout layout = k37;
  layout.gil = {.runtime_holder = 1392 + kLongerMutex};
  return layout;
}
constexpr Layout k373 = Make373();

// co_posonlyargcount came in.
constexpr Layout Make38() {
  Layout layout = k37;
  layout.runtime.interpreters_head = 32;
  layout.code.first_line = 40;
  layout.code.filename = 104;
  layout.code.name = layout.code.qualname = 112;
  layout.code.line_table = 120;
  layout.gil = {.runtime_holder = 1368 + kLongerMutex, .runtime_switches = 1176};
  layout.names.interpreter_modules = 56;
  return layout;
}
constexpr Layout k38 = Make38();

constexpr Layout Make39() {
  Layout layout = k38;
  layout.interpreter.id = 24;
  layout.gil = {.runtime_holder = 568 + kLongerMutex, .runtime_switches = 376};
  layout.names.interpreter_modules = 856;
  return layout;
}
constexpr Layout k39 = Make39();

constexpr Layout Make310() {
  Layout layout = k39;
  layout.frame.instruction = 96;
  layout.frame.bytes_per_index = 2;
  layout.code.line_format = LineFormat::kRanges;
  // Of 3.7 to 3.9 it is not used: with it more was shown than was collected, by the finalizers'
  // share.
  layout.gc = {.interpreter_collecting = 816};
  return layout;
}
constexpr Layout k310 = Make310();

constexpr Layout k311 = {
    .runtime = {.interpreters_head = 40},
    .interpreter = {.id = 48, .next = 0, .threads_head = 16},
    .thread = {.next = 8,
               .interp = 16,
               .frame = 56,
               .frame_is_in_cframe = true,
               .cframe_current_frame = 8,
               .native_thread_id = 160,
               .thread_id = 152},
    .frame = {.size = 72,
              .previous = 48,
              .executable = 32,
              .instruction = 56,
              .owner = 69,
              .first_shim_owner = 0xff,
              .is_entry = 68},
    .code = {.first_line = 72,
             .filename = 112,
             .name = 120,
             .qualname = 128,
             .line_table = 136,
             .instructions = 184,
             .warmup = 52},
    .unicode = {.length = 16, .state = 32, .ascii_data = 48, .compact_data = 72},
    .bytes = {.size = 16, .data = 32},
    .gil = {.runtime_holder = 576 + kLongerMutex, .runtime_switches = 384},
    .gc = {.interpreter_collecting = 848},
    .names = {.interpreter_modules = 888,
              .objects = ObjectForm::kValuesBeside,
              .dict_before = 24,
              .cached_keys = 872},
    .coroutine = {},
};

constexpr Layout k312 = {
    .runtime = {.interpreters_head = 40},
    .interpreter = {.id = 8, .next = 0, .threads_head = 72},
    .thread = {.next = 8,
               .interp = 16,
               .frame = 56,
               .frame_is_in_cframe = true,
               .cframe_current_frame = 0,
               .native_thread_id = 144,
               .thread_id = 136},
    .frame = {.size = 72,
              .previous = 8,
              .executable = 0,
              .instruction = 56,
              .owner = 70,
              .first_shim_owner = 3,
              .is_entry = 0},
    .code = {.first_line = 68,
             .filename = 112,
             .name = 120,
             .qualname = 128,
             .line_table = 136,
             .instructions = 192},
    .unicode = {.length = 16, .state = 32, .ascii_data = 40, .compact_data = 56},
    .bytes = {.size = 16, .data = 32},
    .gil = {.interpreter_gil = 384, .last_holder = 8, .locked = 16},
    .gc = {.interpreter_collecting = 312},
    .names = {.interpreter_modules = 944,
              .objects = ObjectForm::kTaggedValues,
              .dict_before = 24,
              .cached_keys = 880},
    .coroutine = {},
};

}  // namespace

std::string Version::Text() const {
  if (level() == 0) return fmt::format("{}.{}", major(), minor());
  std::string text = fmt::format("{}.{}.{}", major(), minor(), micro());
  constexpr unsigned kAlpha = 0xa;
  constexpr unsigned kFinal = 0xf;
  if (level() != kFinal) {
    text += level() == kAlpha ? "a" : level() == kAlpha + 1 ? "b" : "rc";
    text += fmt::format("{}", hex & 0xf);
  }
  return text;
}

const Layout* TableLayout(Version version) {
  if (version.major() != 3) return nullptr;
  switch (version.minor()) {
    case 7:
      return version.micro() < 4 && version.level() != 0 ? &k373 : &k37;
    case 8:
      return &k38;
    case 9:
      return &k39;
    case 10:
      return &k310;
    case 11:
      return &k311;
    case 12:
      return &k312;
    default:
      return nullptr;
  }
}

}  // namespace agent::python
