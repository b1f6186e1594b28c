// SPDX-License-Identifier: Apache-2.0
#include "spies/python/layout.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <optional>

namespace agent::python {
namespace {

// x86-64 and arm64, measured against each version's own headers:
// Include/internal/pycore_{runtime,interp,frame}.h, Include/cpython/{pystate,code,unicodeobject}.h.
constexpr Layout k311 = {
    .runtime = {.interpreters_head = 40},
    .interpreter = {.id = 48, .next = 0, .threads_head = 16},
    .thread = {.next = 8,
               .interp = 16,
               .frame = 56,
               .frame_is_in_cframe = true,
               .cframe_current_frame = 8,
               .native_thread_id = 160},
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
};

constexpr Layout k312 = {
    .runtime = {.interpreters_head = 40},
    .interpreter = {.id = 8, .next = 0, .threads_head = 72},
    .thread = {.next = 8,
               .interp = 16,
               .frame = 56,
               .frame_is_in_cframe = true,
               .cframe_current_frame = 0,
               .native_thread_id = 144},
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
};

// _Py_DebugOffsets is an array of 64-bit words behind an 8-byte cookie: groups of offsets, each of
// which begins with the size of the structure.
constexpr std::array<char, 8> kCookie = {'x', 'd', 'e', 'b', 'u', 'g', 'p', 'y'};
constexpr std::size_t kVersionWord = 1;
constexpr std::size_t kFreeThreadedWord = 2;
constexpr std::size_t kWords = 73;  // of 3.13

// Which word holds what, 3.13.
struct DebugOffsetWords {
  struct Field {
    std::size_t size_word;
    std::size_t word;
  };
  Field interpreters_head{3, 5};
  Field interpreter_id{6, 7}, interpreter_next{6, 8}, threads_head{6, 9};
  Field thread_next{19, 21}, thread_interp{19, 22}, current_frame{19, 23}, native_id{19, 25};
  Field previous{28, 29}, executable{28, 30}, instruction{28, 31}, owner{28, 33};
  Field filename{34, 35}, name{34, 36}, qualname{34, 37}, line_table{34, 38}, first_line{34, 39},
      instructions{34, 43};
  Field bytes_size{64, 65}, bytes_data{64, 66};
  Field unicode_state{67, 68}, unicode_length{67, 69}, ascii_size{67, 70};
};

// The largest structure, PyInterpreterState, has 108 to 384 KiB.
constexpr std::uint64_t kMaxStructure = 1u << 20;
using Words = std::array<std::uint64_t, kWords>;

// Collects fields; one that does not lie within its structure spoils all.
class FieldReader {
 public:
  explicit FieldReader(const Words& words) : words_(words) {}
  std::uint32_t Get(DebugOffsetWords::Field field) {
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

Result<Words> ReadWords(ProcessMemory& memory, RemoteAddress runtime) {
  Words words{};
  AGENT_CHECK_OK(memory.Read(runtime, std::as_writable_bytes(std::span(words))));
  if (std::memcmp(words.data(), kCookie.data(), kCookie.size()) != 0) {
    return Fail(Errc::kUnsupported, "no debug offsets");
  }
  return words;
}

}  // namespace

const Layout* TableLayout(Version version) {
  if (version.major() != 3) return nullptr;
  switch (version.minor()) {
    case 11:
      return &k311;
    case 12:
      return &k312;
    default:
      return nullptr;
  }
}

Result<Version> ReadDebugOffsetsVersion(ProcessMemory& memory, RemoteAddress runtime) {
  AGENT_TRY(const Words words, ReadWords(memory, runtime));
  return Version{static_cast<std::uint32_t>(words[kVersionWord])};
}

Result<Layout> ReadDebugOffsets(ProcessMemory& memory, RemoteAddress runtime) {
  AGENT_TRY(const Words words, ReadWords(memory, runtime));
  const Version version{static_cast<std::uint32_t>(words[kVersionWord])};
  if (version.major() != 3 || version.minor() != 13) {
    return Fail(Errc::kUnsupported, "this version is not supported yet");
  }
  if (words[kFreeThreadedWord] != 0) {
    return Fail(Errc::kUnsupported, "free-threaded builds are not supported yet");
  }
  const DebugOffsetWords at;
  FieldReader fields(words);
  Layout layout = k312;
  layout.runtime = {.interpreters_head = fields.Get(at.interpreters_head)};
  layout.interpreter = {.id = fields.Get(at.interpreter_id),
                        .next = fields.Get(at.interpreter_next),
                        .threads_head = fields.Get(at.threads_head)};
  layout.thread = {.next = fields.Get(at.thread_next),
                   .interp = fields.Get(at.thread_interp),
                   .frame = fields.Get(at.current_frame),
                   .frame_is_in_cframe = false,
                   .cframe_current_frame = 0,
                   .native_thread_id = fields.Get(at.native_id)};
  layout.frame = {.size = 0,
                  .previous = fields.Get(at.previous),
                  .executable = fields.Get(at.executable),
                  .instruction = fields.Get(at.instruction),
                  .owner = fields.Get(at.owner),
                  .first_shim_owner = 3,  // FRAME_OWNED_BY_CSTACK
                  .is_entry = 0};
  layout.code = {.first_line = fields.Get(at.first_line),
                 .filename = fields.Get(at.filename),
                 .name = fields.Get(at.name),
                 .qualname = fields.Get(at.qualname),
                 .line_table = fields.Get(at.line_table),
                 .instructions = fields.Get(at.instructions)};
  const std::uint32_t ascii_size = fields.Get(at.ascii_size);
  layout.unicode = {.length = fields.Get(at.unicode_length),
                    .state = fields.Get(at.unicode_state),
                    .ascii_data = ascii_size,
                    // PyCompactUnicodeObject adds utf8_length and utf8.
                    .compact_data = ascii_size + 16};
  layout.bytes = {.size = fields.Get(at.bytes_size), .data = fields.Get(at.bytes_data)};
  layout.frame.size = static_cast<std::uint32_t>(words[at.previous.size_word]);
  if (!fields.ok() || layout.frame.size > 512 || layout.code.line_table > 4096) {
    return Fail(Errc::kMalformed, "debug offsets that cannot be true");
  }
  return layout;
}

}  // namespace agent::python
