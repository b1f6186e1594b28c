// SPDX-License-Identifier: Apache-2.0
#include "spies/python/asyncio_tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "spies/python/objects.h"

namespace agent::python {
namespace {

// The module comes early in a program's life, or never; a look takes some 0.2 ms.
constexpr std::chrono::milliseconds kFirstPause{10};
constexpr std::chrono::milliseconds kLongestPause{320};
// What one stop reads at most.
constexpr std::size_t kMostTasks = 16;
constexpr std::size_t kMostFrames = 128;
constexpr std::size_t kMaxTask = 512;       // bytes of a TaskObj: 168 in 3.14 and 3.15
constexpr std::size_t kMaxCoroutine = 512;  // bytes of a PyCoroObject
constexpr std::uint64_t kMaxThreadState = 1u << 16;
constexpr std::size_t kLongestName = 100;  // of a name

// Its words.
enum AsyncioDebug : std::uint8_t {
  kTaskSize,
  kTaskName,
  kTaskAwaitedBy,
  kTaskIsTask,
  kTaskAwaitedByIsSet,
  kTaskCoro,
  kTaskNode,
  kInterpreterSize,
  kInterpreterTasks,
  kThreadSize,
  kThreadRunningLoop,
  kThreadRunningTask,
  kThreadTasks,
  kWords,
};

// As one that was given none is called when its name is asked for: no two would be the same.
bool IsNumber(std::string_view name) {
  constexpr std::string_view kPrefix = "Task-";
  return name.starts_with(kPrefix) &&
         name.find_first_not_of("0123456789", kPrefix.size()) == std::string_view::npos;
}

}  // namespace

AsyncioTasks::AsyncioTasks(ProcessMemory& memory, FindSection find_section, const Layout& layout,
                           RemoteAddress code_type, FunctionTable& functions)
    : memory_(memory),
      find_section_(std::move(find_section)),
      layout_(layout),
      code_type_(code_type),
      functions_(functions),
      dicts_(memory_, layout_),
      unnamed_(functions.Marker("<task>")),
      several_(functions.Marker("<awaited by several tasks>")),
      more_(functions.Marker("<more tasks>")) {}

void AsyncioTasks::Prepare(MonotonicTime now) {
  if (offsets_.task_size != 0 || now < next_look_) return;
  pause_ = std::clamp<Nanoseconds>(pause_ * 2, kFirstPause, kLongestPause);
  next_look_ = now + pause_;
  const Result<std::optional<RemoteAddress>> section = find_section_();
  if (!section || !*section) return;
  if (const Result<Offsets> offsets = ReadOffsets(**section)) offsets_ = *offsets;
}

Result<AsyncioTasks::Offsets> AsyncioTasks::ReadOffsets(RemoteAddress section) {
  std::array<std::uint64_t, kWords> words{};
  AGENT_CHECK_OK(memory_.Read(section, std::as_writable_bytes(std::span(words))));
  const auto lies_in = [&](AsyncioDebug size, AsyncioDebug field, std::uint64_t bytes) {
    return words[field] >= layout_.object_size && words[size] >= bytes &&
           words[field] <= words[size] - bytes;
  };
  if (words[kTaskSize] > kMaxTask || words[kThreadSize] > kMaxThreadState ||
      !lies_in(kTaskSize, kTaskName, 8) || !lies_in(kTaskSize, kTaskAwaitedBy, 8) ||
      !lies_in(kTaskSize, kTaskIsTask, 1) || !lies_in(kTaskSize, kTaskAwaitedByIsSet, 1) ||
      !lies_in(kTaskSize, kTaskCoro, 8) || !lies_in(kThreadSize, kThreadRunningTask, 8)) {
    return Fail(Errc::kMalformed, "asyncio's offsets cannot be true");
  }
  const auto offset = [&](AsyncioDebug word) { return static_cast<std::uint32_t>(words[word]); };
  return Offsets{.task_size = words[kTaskSize],
                 .name = offset(kTaskName),
                 .awaited_by = offset(kTaskAwaitedBy),
                 .awaited_by_is_set = offset(kTaskAwaitedByIsSet),
                 .is_task = offset(kTaskIsTask),
                 .coroutine = offset(kTaskCoro),
                 .running_task = offset(kThreadRunningTask)};
}

// asyncio.tasks._PyTask, which is written in Python, has another form: it is no task here.
Result<AsyncioTasks::Task> AsyncioTasks::ReadTask(RemoteAddress address) {
  std::array<std::byte, kMaxTask> bytes{};
  AGENT_CHECK_OK(memory_.Read(address, std::span(bytes).first(offsets_.task_size)));
  if (bytes[offsets_.is_task] != std::byte{1}) return Fail(Errc::kMalformed, "not a task");
  return Task{.name = RemoteAddress(LoadWord(bytes.data(), offsets_.name)),
              .awaited_by = RemoteAddress(LoadWord(bytes.data(), offsets_.awaited_by)),
              .awaited_by_several = bytes[offsets_.awaited_by_is_set] != std::byte{0},
              .coroutine = RemoteAddress(LoadWord(bytes.data(), offsets_.coroutine))};
}

// `type`: a coroutine's.
Result<AsyncioTasks::Coroutine> AsyncioTasks::ReadCoroutine(RemoteAddress address,
                                                            RemoteAddress type) {
  const Layout::Coroutine& layout = layout_.coroutine;
  const std::size_t size = layout.frame + layout_.frame.size;
  if (size > kMaxCoroutine) return Fail(Errc::kMalformed, "coroutine layout");
  std::array<std::byte, kMaxCoroutine> bytes{};
  AGENT_CHECK_OK(memory_.Read(address, std::span(bytes).first(size)));
  if (LoadWord(bytes.data(), layout_.object_size - 8) != type.value()) {
    return Fail(Errc::kMalformed, "not a coroutine");
  }
  Coroutine coroutine{.frame = DecodeFrame(bytes.data() + layout.frame, layout_.frame),
                      .awaits = {}};
  AGENT_TRY(const RemoteAddress code_type, dicts_.TypeOf(coroutine.frame.code));
  if (!code_type_.IsNull() && code_type != code_type_)
    return Fail(Errc::kMalformed, "no code object");
  if (std::to_integer<std::uint8_t>(bytes[layout.state]) != layout.awaits) return coroutine;
  const std::uint64_t top = LoadWord(bytes.data() + layout.frame, layout.frame_stack_top);
  AGENT_TRY(const auto awaits,
            memory_.ReadValue<std::uint64_t>(RemoteAddress(top - layout.awaited_below_top)));
  coroutine.awaits = RemoteAddress(awaits & ~std::uint64_t{layout_.frame.tag_bits});
  return coroutine;
}

// Those of a coroutine that waits, and of the coroutines that it waits for, innermost first. What
// awaits in another way (__await__ of a class, C) is not looked into.
std::vector<RawFrame> AsyncioTasks::WaitingFrames(RemoteAddress coroutine, RemoteAddress type) {
  std::vector<RawFrame> frames;
  while (frames.size() < kMostFrames) {
    const Result<Coroutine> read = ReadCoroutine(coroutine, type);
    if (!read || read->awaits.IsNull()) break;
    frames.push_back(read->frame);
    coroutine = read->awaits;
  }
  std::ranges::reverse(frames);
  return frames;
}

const Function* AsyncioTasks::NameOf(const Task& task) {
  if (const Result<bool> is_text = dicts_.IsText(task.name); !is_text || !*is_text) {
    return unnamed_;
  }
  Result<std::string> name = ReadString(memory_, layout_, task.name, kLongestName);
  if (!name || IsNumber(*name)) return unnamed_;
  if (!names_.contains(*name)) {
    if (names_.size() >= kMostNames) return unnamed_;
    names_.insert(*name);
  }
  return functions_.Marker(fmt::format("<task {}>", *name));
}

std::size_t AsyncioTasks::AddTo(RemoteAddress thread_state, std::vector<RawFrame>& frames,
                                std::vector<FrameMark>& marks) {
  if (offsets_.task_size == 0 || frames.empty()) return 0;
  const Result<std::uint64_t> running =
      memory_.ReadValue<std::uint64_t>(thread_state.Plus(offsets_.running_task));
  if (!running || *running == 0) return 0;
  Result<Task> task = ReadTask(RemoteAddress(*running));
  if (!task) return 0;
  const RemoteAddress root = task->coroutine.Plus(layout_.coroutine.frame);
  const auto found = std::ranges::find(frames, root, &RawFrame::address);
  if (found == frames.end()) return 0;
  const Result<RemoteAddress> type = dicts_.TypeOf(task->coroutine);
  if (!type) return 0;
  const std::size_t begin = static_cast<std::size_t>(found - frames.begin()) + 1;
  std::size_t end = begin;
  marks.push_back({begin, NameOf(*task)});
  for (std::size_t tasks = 1; !task->awaited_by.IsNull(); ++tasks) {
    if (task->awaited_by_several || tasks == kMostTasks || end - begin >= kMostFrames) {
      marks.push_back({end, task->awaited_by_several ? several_ : more_});
      break;
    }
    task = ReadTask(task->awaited_by);
    if (!task) break;
    const std::vector<RawFrame> waiting = WaitingFrames(task->coroutine, *type);
    if (waiting.empty()) break;
    frames.insert(frames.begin() + static_cast<std::ptrdiff_t>(end), waiting.begin(),
                  waiting.end());
    end += waiting.size();
    marks.push_back({end, NameOf(*task)});
  }
  // C entered the interpreter for all of them together.
  if (end > begin) std::swap(frames[begin - 1].is_entry, frames[end - 1].is_entry);
  return end - begin;
}

}  // namespace agent::python
