// SPDX-License-Identifier: Apache-2.0
#include "spies/python/debug_offsets.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace agent::python {
namespace {

// An array of 64-bit words behind an 8-byte cookie: groups of offsets, most of which begin with the
// size of the structure.
constexpr std::array<char, 8> kCookie = {'x', 'd', 'e', 'b', 'u', 'g', 'p', 'y'};
constexpr std::size_t kVersionWord = 1;
constexpr std::size_t kFreeThreadedWord = 2;
constexpr std::size_t kWords = 103;  // as many as are needed of the longest form

struct Field {
  std::size_t size_word;  // of the structure
  std::size_t word;
};

// Which word holds what. Include/internal/pycore_debug_offsets.h of each version, compared with
// living interpreters (3.13.0, 3.14.10, 3.15.2).
struct Form {
  Field interpreters_head;
  Field interpreter_id, interpreter_next, threads_head, code_generation;
  Field thread_next, thread_interp, current_frame, thread_id, native_id;
  Field previous, executable, instruction, owner, tlbc_index;
  Field filename, name, qualname, line_table, first_line, instructions, tlbc;
  Field object_type, tuple_size, list_size, float_value;
  Field bytes_size, bytes_data;
  Field unicode_state, unicode_length, ascii_size;
  Field gil_pointer, own_gil, gil_locked, gil_holder;
  Field gc, gc_collecting, gc_frame;
  Field modules;
  Field stack_top, coroutine_frame, coroutine_state;
  std::uint8_t awaits, awaited_below_top;  // Layout::Coroutine
  std::uint32_t cached_keys;               // of no group: PyHeapTypeObject.ht_cached_keys
};

constexpr Field kNone{0, 0};

constexpr Form k313 = {
    .interpreters_head = {3, 5},
    .interpreter_id = {6, 7},
    .interpreter_next = {6, 8},
    .threads_head = {6, 9},
    .code_generation = kNone,
    .thread_next = {19, 21},
    .thread_interp = {19, 22},
    .current_frame = {19, 23},
    .thread_id = {19, 24},
    .native_id = {19, 25},
    .previous = {28, 29},
    .executable = {28, 30},
    .instruction = {28, 31},
    .owner = {28, 33},
    .tlbc_index = kNone,
    .filename = {34, 35},
    .name = {34, 36},
    .qualname = {34, 37},
    .line_table = {34, 38},
    .first_line = {34, 39},
    .instructions = {34, 43},
    .tlbc = kNone,
    .object_type = {44, 45},
    .tuple_size = {50, 52},
    .list_size = {53, 55},
    .float_value = {59, 60},
    .bytes_size = {64, 65},
    .bytes_data = {64, 66},
    .unicode_state = {67, 68},
    .unicode_length = {67, 69},
    .ascii_size = {67, 70},
    .gil_pointer = {6, 14},
    .own_gil = {6, 15},
    .gil_locked = {6, 17},
    .gil_holder = {6, 18},
    .gc = {6, 10},
    .gc_collecting = {71, 72},
    .gc_frame = kNone,
    .modules = {6, 11},
    .stack_top = kNone,
    .coroutine_frame = kNone,
    .coroutine_state = kNone,
    .awaits = 0,
    .awaited_below_top = 0,
    .cached_keys = 880,
};

constexpr Form k314 = {
    .interpreters_head = {3, 5},
    .interpreter_id = {6, 7},
    .interpreter_next = {6, 8},
    .threads_head = {6, 9},
    .code_generation = {6, 20},
    .thread_next = {22, 24},
    .thread_interp = {22, 25},
    .current_frame = {22, 26},
    .thread_id = {22, 27},
    .native_id = {22, 28},
    .previous = {31, 32},
    .executable = {31, 33},
    .instruction = {31, 34},
    .owner = {31, 36},
    .tlbc_index = {31, 38},
    .filename = {39, 40},
    .name = {39, 41},
    .qualname = {39, 42},
    .line_table = {39, 43},
    .first_line = {39, 44},
    .instructions = {39, 48},
    .tlbc = {39, 49},
    .object_type = {50, 51},
    .tuple_size = {56, 58},
    .list_size = {59, 61},
    .float_value = {69, 70},
    .bytes_size = {74, 75},
    .bytes_data = {74, 76},
    .unicode_state = {77, 78},
    .unicode_length = {77, 79},
    .ascii_size = {77, 80},
    .gil_pointer = {6, 15},
    .own_gil = {6, 16},
    .gil_locked = {6, 18},
    .gil_holder = {6, 19},
    .gc = {6, 11},
    .gc_collecting = {81, 82},
    .gc_frame = kNone,
    .modules = {6, 12},
    .stack_top = {31, 37},
    .coroutine_frame = {83, 85},
    .coroutine_state = {83, 86},
    .awaits = 0xff,
    .awaited_below_top = 8,
    .cached_keys = 880,
};

constexpr Form k315 = {
    .interpreters_head = {3, 5},
    .interpreter_id = {6, 7},
    .interpreter_next = {6, 8},
    .threads_head = {6, 9},
    .code_generation = {6, 20},
    .thread_next = {22, 24},
    .thread_interp = {22, 25},
    .current_frame = {22, 26},
    .thread_id = {22, 30},
    .native_id = {22, 31},
    .previous = {39, 40},
    .executable = {39, 41},
    .instruction = {39, 42},
    .owner = {39, 44},
    .tlbc_index = {39, 46},
    .filename = {47, 48},
    .name = {47, 49},
    .qualname = {47, 50},
    .line_table = {47, 51},
    .first_line = {47, 52},
    .instructions = {47, 56},
    .tlbc = {47, 57},
    .object_type = {58, 59},
    .tuple_size = {68, 70},
    .list_size = {71, 73},
    .float_value = {81, 82},
    .bytes_size = {86, 87},
    .bytes_data = {86, 88},
    .unicode_state = {89, 90},
    .unicode_length = {89, 91},
    .ascii_size = {89, 92},
    .gil_pointer = {6, 15},
    .own_gil = {6, 16},
    .gil_locked = {6, 18},
    .gil_holder = {6, 19},
    .gc = {6, 11},
    .gc_collecting = {94, 95},
    .gc_frame = {94, 96},
    .modules = {6, 12},
    .stack_top = {39, 45},
    .coroutine_frame = {99, 101},
    .coroutine_state = {99, 102},
    .awaits = 2,
    .awaited_below_top = 16,
    .cached_keys = 888,
};

// That of a later version is tried as the last one known.
const Form& FormOf(Version version) {
  if (version.minor() == 13) return k313;
  if (version.minor() == 14) return k314;
  return k315;
}

// The largest structure, PyInterpreterState, has 108 to 384 KiB.
constexpr std::uint64_t kMaxStructure = 1u << 20;
using Words = std::array<std::uint64_t, kWords>;

// Collects fields; one that does not lie within its structure spoils all.
class FieldReader {
 public:
  explicit FieldReader(const Words& words) : words_(words) {}
  std::uint32_t Get(Field field) {
    if (field.word == 0) return 0;
    const std::uint64_t size = words_[field.size_word];
    const std::uint64_t offset = words_[field.word];
    if (size == 0 || size > kMaxStructure || offset > size) {
      ok_ = false;
      return 0;
    }
    return static_cast<std::uint32_t>(offset);
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  const Words& words_;
  bool ok_ = true;
};

// Offsets that follow from the size of PyObject, all over the array: a word that was added anywhere
// before shifts them.
bool HaveTheirPlaces(const Words& words, const Form& form, std::uint64_t object_size) {
  const auto is = [&](Field field, std::uint64_t offset) { return words[field.word] == offset; };
  return words[form.object_type.size_word] == object_size &&
         is(form.object_type, object_size - 8) && is(form.tuple_size, object_size) &&
         is(form.list_size, object_size) && is(form.float_value, object_size) &&
         is(form.bytes_size, object_size) && is(form.bytes_data, object_size + 16) &&
         is(form.unicode_length, object_size) && is(form.unicode_state, object_size + 16) &&
         is(form.ascii_size, object_size + 24);
}

// Nice to have: what does not hold good is left out.
Layout::Gil GilOf(const Words& words, const Form& at) {
  FieldReader fields(words);
  const std::uint32_t own = fields.Get(at.own_gil);
  const Layout::Gil gil = {.interpreter_gil = fields.Get(at.gil_pointer),
                           .last_holder = fields.Get(at.gil_holder) - own,
                           .locked = fields.Get(at.gil_locked) - own};
  constexpr std::uint32_t kMaxGil = 512;
  return fields.ok() && gil.last_holder < kMaxGil && gil.locked < kMaxGil ? gil : Layout::Gil{};
}

Layout::Gc GcOf(const Words& words, const Form& at) {
  FieldReader fields(words);
  const std::uint32_t start = fields.Get(at.gc);
  const std::uint32_t collecting = fields.Get(at.gc_collecting);
  const std::uint32_t frame = fields.Get(at.gc_frame);
  if (!fields.ok() || collecting == 0) return {};
  return {.interpreter_collecting = start + collecting,
          .interpreter_frame = frame == 0 ? 0 : start + frame};
}

Layout::Names NamesOf(const Words& words, const Form& at, bool is_free_threaded) {
  FieldReader fields(words);
  const Layout::Names names = {.interpreter_modules = fields.Get(at.modules),
                               .objects = ObjectForm::kInlineValues,
                               // MANAGED_DICT_OFFSET; without a GIL no weak references and no links
                               // of the collector are there.
                               .dict_before = is_free_threaded ? 8u : 24u,
                               .cached_keys = at.cached_keys + (is_free_threaded ? 16u : 0u)};
  return fields.ok() ? names : Layout::Names{};
}

Layout::Coroutine CoroutineOf(const Words& words, const Form& at, const Layout::Frame& frame) {
  FieldReader fields(words);
  const Layout::Coroutine coroutine = {.frame = fields.Get(at.coroutine_frame),
                                       .state = fields.Get(at.coroutine_state),
                                       .frame_stack_top = fields.Get(at.stack_top),
                                       .awaits = at.awaits,
                                       .awaited_below_top = at.awaited_below_top};
  // The frame is the last that a coroutine has.
  const std::uint64_t size = words[at.coroutine_frame.size_word];
  return fields.ok() && size == coroutine.frame + frame.size ? coroutine : Layout::Coroutine{};
}

// Whether what is used of frames and code objects lies in what is read of them.
bool IsReadable(const Layout& layout) {
  const Layout::Frame& frame = layout.frame;
  const std::uint32_t frame_end =
      std::max({frame.previous + 8, frame.executable + 8, frame.instruction + 8, frame.owner + 4,
                frame.tlbc_index + 4});
  const Layout::Code& code = layout.code;
  const auto [first, last] =
      std::minmax({code.first_line, code.filename, code.name, code.qualname, code.line_table});
  constexpr std::uint32_t kMaxFrame = 512;
  constexpr std::uint32_t kMaxCode = 480;
  return frame.size <= kMaxFrame && frame_end <= frame.size && first >= layout.object_size &&
         last <= kMaxCode;
}

Result<Words> ReadWords(ProcessMemory& memory, RemoteAddress runtime) {
  Words words{};
  AGENT_CHECK_OK(memory.Read(runtime, std::as_writable_bytes(std::span(words))));
  if (std::memcmp(words.data(), kCookie.data(), kCookie.size()) != 0) {
    return Fail(Errc::kUnsupported, "no debug offsets");
  }
  return words;
}

}  // namespace

Result<Version> ReadDebugOffsetsVersion(ProcessMemory& memory, RemoteAddress runtime) {
  AGENT_TRY(const Words words, ReadWords(memory, runtime));
  return Version{static_cast<std::uint32_t>(words[kVersionWord])};
}

Result<Layout> ReadDebugOffsets(ProcessMemory& memory, RemoteAddress runtime) {
  AGENT_TRY(const Words words, ReadWords(memory, runtime));
  const Version version{static_cast<std::uint32_t>(words[kVersionWord])};
  if (version.major() != 3 || version.minor() < 13) {
    return Fail(Errc::kUnsupported, "debug offsets of an unknown form");
  }
  const bool is_free_threaded = words[kFreeThreadedWord] == 1;
  const Form& at = FormOf(version);
  const std::uint32_t object_size = is_free_threaded ? 32 : 16;
  if (words[kFreeThreadedWord] > 1 || !HaveTheirPlaces(words, at, object_size)) {
    return Fail(Errc::kMalformed, "debug offsets that cannot be true");
  }
  FieldReader fields(words);
  Layout layout{};
  layout.object_size = object_size;
  layout.runtime = {.interpreters_head = fields.Get(at.interpreters_head)};
  layout.interpreter = {.id = fields.Get(at.interpreter_id),
                        .next = fields.Get(at.interpreter_next),
                        .threads_head = fields.Get(at.threads_head),
                        .code_generation = fields.Get(at.code_generation)};
  layout.thread = {.next = fields.Get(at.thread_next),
                   .interp = fields.Get(at.thread_interp),
                   .frame = fields.Get(at.current_frame),
                   .frame_is_in_cframe = false,
                   .cframe_current_frame = 0,
                   .native_thread_id = fields.Get(at.native_id),
                   .thread_id = fields.Get(at.thread_id)};
  layout.frame = {.size = static_cast<std::uint32_t>(words[at.previous.size_word]),
                  .previous = fields.Get(at.previous),
                  .executable = fields.Get(at.executable),
                  .instruction = fields.Get(at.instruction),
                  .owner = fields.Get(at.owner),
                  // 3.13: FRAME_OWNED_BY_CSTACK; later FRAME_OWNED_BY_INTERPRETER.
                  .first_shim_owner = 3,
                  .is_entry = 0,
                  // Py_TAG_BITS
                  .tag_bits = version.minor() >= 14 ? std::uint8_t{3} : std::uint8_t{0},
                  .tlbc_index = fields.Get(at.tlbc_index)};
  layout.code = {.first_line = fields.Get(at.first_line),
                 .filename = fields.Get(at.filename),
                 .name = fields.Get(at.name),
                 .qualname = fields.Get(at.qualname),
                 .line_table = fields.Get(at.line_table),
                 .instructions = fields.Get(at.instructions),
                 .tlbc = fields.Get(at.tlbc)};
  const std::uint32_t ascii_size = fields.Get(at.ascii_size);
  // Free-threaded 3.14: `interned` is a byte of its own, to be atomic.
  const bool has_byte = is_free_threaded && version.minor() >= 14;
  layout.unicode = {.length = fields.Get(at.unicode_length),
                    .state = fields.Get(at.unicode_state),
                    .ascii_data = ascii_size,
                    // PyCompactUnicodeObject adds utf8_length and utf8.
                    .compact_data = ascii_size + 16,
                    .kind_bit = has_byte ? 8u : 2u};
  if (!is_free_threaded) layout.gil = GilOf(words, at);
  layout.gc = GcOf(words, at);
  layout.names = NamesOf(words, at, is_free_threaded);
  layout.coroutine = CoroutineOf(words, at, layout.frame);
  layout.bytes = {.size = fields.Get(at.bytes_size), .data = fields.Get(at.bytes_data)};
  if (!fields.ok() || !IsReadable(layout)) {
    return Fail(Errc::kMalformed, "debug offsets that cannot be true");
  }
  return layout;
}

}  // namespace agent::python
