// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "spies/python/asyncio_tasks.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kSection = 0x1000;
constexpr std::uint64_t kThread = 0x2000;
constexpr std::uint64_t kCodeType = 0x3000;
constexpr std::uint64_t kTextType = 0x4000;
constexpr std::uint64_t kCoroutineType = 0x5000;
constexpr std::uint64_t kRunningTask = 872;
// Of 3.14.
constexpr std::array<std::uint64_t, 13> kWords = {168,    136, 96,  108, 109,          128, 152,
                                                  225864, 0,   936, 864, kRunningTask, 880};
constexpr std::uint64_t kName = 136;
constexpr std::uint64_t kAwaitedBy = 96;
constexpr std::uint64_t kIsTask = 108;
constexpr std::uint64_t kIsSet = 109;
constexpr std::uint64_t kCoroutine = 128;

Layout MakeLayout() {
  Layout layout{};
  layout.frame = {.size = 88,
                  .previous = 8,
                  .executable = 0,
                  .instruction = 56,
                  .owner = 74,
                  .first_shim_owner = 3,
                  .is_entry = 0,
                  .tag_bits = 3};
  layout.unicode = {.length = 16, .state = 32, .ascii_data = 40, .compact_data = 56};
  layout.coroutine = {
      .frame = 72, .state = 67, .frame_stack_top = 64, .awaits = 0xff, .awaited_below_top = 8};
  return layout;
}

struct FakeAsyncio {
  FakeAsyncio() {
    for (std::size_t i = 0; i < kWords.size(); ++i) memory.Put(kSection + 8 * i, kWords[i]);
    memory.Put(kThread + kRunningTask, std::uint64_t{0});
    memory.Put(kTextType + 168, std::uint64_t{1} << 28);
    memory.Put(kCodeType + 168, std::uint64_t{0});
    memory.Put(kCoroutineType + 168, std::uint64_t{0});
  }
  std::uint64_t Make(std::uint64_t type) {
    const std::uint64_t object = next += 0x400;
    for (std::uint64_t i = 0; i < 0x400; i += 8) memory.Put(object + i, std::uint64_t{0});
    memory.Put(object + 8, type);
    return object;
  }
  std::uint64_t Text(std::string_view text) {
    const std::uint64_t object = Make(kTextType);
    memory.Put(object + 16, std::uint64_t{text.size()});
    memory.Put(object + 32, std::uint32_t{1 << 2 | 1 << 5 | 1 << 6});
    memory.PutText(object + 40, text);
    return object;
  }
  // One that awaits `awaited`, or runs.
  std::uint64_t MakeCoroutine(std::optional<std::uint64_t> awaited) {
    const std::uint64_t coroutine = Make(kCoroutineType);
    memory.Put(coroutine + 72, Make(kCodeType) | 1);
    if (awaited) {
      memory.Put(coroutine + 67, std::uint8_t{0xff});
      memory.Put(coroutine + 0x200, *awaited | 1);
      memory.Put(coroutine + 72 + 64, coroutine + 0x208);
    }
    return coroutine;
  }
  std::uint64_t MakeTask(std::uint64_t name, std::uint64_t coroutine) {
    const std::uint64_t task = Make(0x7000);
    memory.Put(task + kName, name);
    memory.Put(task + kIsTask, std::uint8_t{1});
    memory.Put(task + kCoroutine, coroutine);
    return task;
  }
  std::uint64_t CodeOf(std::uint64_t coroutine) {
    std::uint64_t code = 0;
    REQUIRE(memory.Read(RemoteAddress(coroutine + 72), BytesOf(code)));
    return code & ~std::uint64_t{3};
  }
  // Runs `task`: the stack is a function, its coroutine, and the event loop.
  void Run(std::uint64_t task, std::uint64_t coroutine) {
    memory.Put(kThread + kRunningTask, task);
    frames = {FrameOf(1, 0, false), FrameOf(2, coroutine + 72, true), FrameOf(3, 0, true)};
  }
  static RawFrame FrameOf(std::uint64_t code, std::uint64_t address, bool is_entry) {
    RawFrame frame;
    frame.code = RemoteAddress(code);
    frame.address = RemoteAddress(address);
    frame.is_entry = is_entry;
    return frame;
  }
  std::size_t Add() {
    marks.clear();
    tasks.Prepare(now);
    return tasks.AddTo(RemoteAddress(kThread), frames, marks);
  }
  // Names of marks, and codes, from the leaf on.
  std::string Shown() const {
    std::string shown;
    for (std::size_t i = 0; i <= frames.size(); ++i) {
      for (const FrameMark& mark : marks) {
        if (mark.at == i) shown += mark.function->name + " ";
      }
      if (i == frames.size()) break;
      shown += std::to_string(frames[i].code.value()) + (frames[i].is_entry ? "! " : " ");
    }
    return shown;
  }

  FakeMemory memory;
  FunctionTable functions;
  std::optional<RemoteAddress> section = RemoteAddress(kSection);
  int looks = 0;
  AsyncioTasks tasks{memory,
                     [this]() -> Result<std::optional<RemoteAddress>> {
                       ++looks;
                       return section;
                     },
                     MakeLayout(), RemoteAddress(kCodeType), functions};
  MonotonicTime now{std::chrono::seconds(1)};
  std::vector<RawFrame> frames;
  std::vector<FrameMark> marks;
  std::uint64_t next = 0x10000;
};

}  // namespace

TEST_CASE("asyncio's tasks: one that is awaited by another") {
  FakeAsyncio f;
  const std::uint64_t runs = f.MakeCoroutine({});
  const std::uint64_t inner = f.MakeCoroutine(f.Make(0x7000));
  const std::uint64_t outer = f.MakeCoroutine(inner);
  const std::uint64_t task = f.MakeTask(f.Text("player"), runs);
  f.memory.Put(task + kAwaitedBy, f.MakeTask(f.Text("conductor"), outer));
  f.Run(task, runs);
  CHECK(f.Add() == 2);
  CHECK(f.Shown() == fmt::format("1 2 <task player> {} {}! <task conductor> 3! ", f.CodeOf(inner),
                                 f.CodeOf(outer)));
}

TEST_CASE("asyncio's tasks: none that runs, or one whose coroutine is not on the stack") {
  FakeAsyncio f;
  const std::uint64_t runs = f.MakeCoroutine({});
  f.Run(0, runs);
  CHECK(f.Add() == 0);
  CHECK(f.Shown() == "1 2! 3! ");
  f.Run(f.MakeTask(f.Text("player"), f.MakeCoroutine({})), runs);
  CHECK(f.Add() == 0);
  CHECK(f.Shown() == "1 2! 3! ");
}

TEST_CASE("asyncio's tasks: without a name, by several, by no task") {
  FakeAsyncio f;
  const std::uint64_t runs = f.MakeCoroutine({});
  const std::uint64_t task = f.MakeTask(f.Make(0x7000), runs);
  f.Run(task, runs);
  CHECK(f.Add() == 0);
  CHECK(f.Shown() == "1 2! <task> 3! ");
  f.memory.Put(task + kName, f.Text("Task-12"));
  f.memory.Put(task + kAwaitedBy, f.Make(0x7000));
  f.memory.Put(task + kIsSet, std::uint8_t{1});
  f.Run(task, runs);
  CHECK(f.Add() == 0);
  CHECK(f.Shown() == "1 2! <task> <awaited by several tasks> 3! ");
  f.memory.Put(task + kIsSet, std::uint8_t{0});
  f.Run(task, runs);
  CHECK(f.Add() == 0);
  CHECK(f.Shown() == "1 2! <task> 3! ");
}

TEST_CASE("asyncio's tasks: rings of tasks and of coroutines come to an end") {
  FakeAsyncio f;
  const std::uint64_t runs = f.MakeCoroutine({});
  const std::uint64_t waits = f.MakeCoroutine(f.Make(0x7000));
  const std::uint64_t task = f.MakeTask(f.Text("one"), runs);
  const std::uint64_t other = f.MakeTask(f.Text("other"), waits);
  f.memory.Put(task + kAwaitedBy, other);
  f.memory.Put(other + kAwaitedBy, other);
  f.Run(task, runs);
  f.memory.reads = 0;
  CHECK(f.Add() < 20);
  CHECK(f.marks.back().function->name == "<more tasks>");
  CHECK(f.memory.reads < 200);
  f.memory.Put(waits + 0x200, waits | 1);  // awaits itself
  f.Run(task, runs);
  f.memory.reads = 0;
  CHECK(f.Add() < 300);
  CHECK(f.memory.reads < 600);
}

TEST_CASE("asyncio's tasks: so many names") {
  FakeAsyncio f;
  const std::uint64_t runs = f.MakeCoroutine({});
  for (std::size_t i = 0; i <= AsyncioTasks::kMostNames; ++i) {
    f.next = 0x20000;
    f.Run(f.MakeTask(f.Text("request " + std::to_string(i)), runs), runs);
    f.Add();
    REQUIRE(f.marks.size() == 1);
    const bool is_named = f.marks[0].function->name != "<task>";
    CHECK(is_named == (i < AsyncioTasks::kMostNames));
  }
}

TEST_CASE("asyncio's tasks: the module comes later, or tells what cannot be") {
  FakeAsyncio f;
  const std::uint64_t runs = f.MakeCoroutine({});
  const std::uint64_t task = f.MakeTask(f.Text("player"), runs);
  f.section.reset();
  for (int i = 0; i < 100; ++i) {
    f.now += std::chrono::milliseconds(10);
    f.Run(task, runs);
    f.Add();
    CHECK(f.marks.empty());
  }
  CHECK(f.looks <= 10);
  f.section = RemoteAddress(kSection);
  for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{164}, ~std::uint64_t{0}}) {
    f.now += std::chrono::seconds(1);
    f.memory.Put(kSection + 8, wrong);  // where the name is
    f.Run(task, runs);
    f.Add();
    CHECK(f.marks.empty());
  }
  f.memory.Put(kSection + 8, kName);
  f.now += std::chrono::seconds(1);
  f.Add();
  CHECK(f.marks.size() == 1);
  f.now += std::chrono::seconds(1);
  const int looks = f.looks;
  f.Add();
  CHECK(f.looks == looks);
}
