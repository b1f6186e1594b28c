// SPDX-License-Identifier: Apache-2.0
#include "spies/python/python_spy.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "agent/base/log.h"
#include "spies/python/asyncio_tasks.h"
#include "spies/python/code_cache.h"
#include "spies/python/identify.h"
#include "spies/python/layout.h"
#include "spies/python/linked_reader.h"
#include "spies/python/member_check.h"
#include "spies/python/mixed_stack.h"
#include "spies/python/quick_reader.h"
#include "spies/python/stack_reader.h"
#include "spies/python/thread_names.h"
#include "spies/python/thread_states.h"
#include "spies/unwind/snapshot_spy.h"
#include "spies/unwind/unwinder.h"

namespace agent::python {

// The native side of a process whose native frames are wanted as well.
struct NativeSide {
  unwind::Unwinder unwinder;
  const Module* interpreter;  // the file that holds it
  std::shared_ptr<const InterpreterCode> code;
  const Function* unmatched;
  unwind::Markers markers;

  [[nodiscard]] NativeKind KindOf(const Frame& frame) const {
    return frame.module == interpreter ? code->At(ElfAddress{frame.address}) : NativeKind::kOther;
  }
};

namespace {

bool IsFinalizer(const Frame& frame) {
  const std::string_view name = frame.function->name;
  return name == "__del__" || name.ends_with(".__del__");
}

// Frames of the import system's own code, which is frozen into the interpreter, and of the shim
// that calls __init__ for a specialised call (_Py_InitCleanup, 3.12 and later; it has no file).
bool IsMachinery(const Frame& frame) {
  const Function& function = *frame.function;
  return function.file.starts_with("<frozen importlib._bootstrap") ||
         (function.file == "__init__" && function.name == "__init__");
}

// What they do is done for the importing module. A thread that runs nothing else keeps them.
void LeaveOutMachinery(Stack& stack) {
  if (!std::ranges::all_of(stack, IsMachinery)) std::erase_if(stack, IsMachinery);
}

// A stack as it was read.
struct Reading {
  std::vector<RawFrame> frames;
  std::optional<std::size_t> gc_at;  // index in them (ThreadState::gc_at)
  bool gc_is_doubtful = false;       // it may be a finalizer that runs
  bool holds_gil = false;
  std::vector<FrameMark> task_marks;
  CodeEpoch epoch;  // of all the frames
  CodeIdentities codes;
};

// The Python stack of a snapshot: as it was read while the thread stood still, then named.
struct PythonPart final : SnapshotPart {
  StackOutcome outcome = StackOutcome::kNoFrames;
  Reading reading;
  bool is_named = false;
  std::vector<PythonFrame> named;
};

class PythonSpy final : public Spy {
 public:
  PythonSpy(ProcessMemory& memory, const RuntimeLocation& location, Version version,
            const Layout& layout, FunctionTable& functions, bool gil_only, const Function* gil_mark,
            KnownGils& gils, std::unique_ptr<NativeSide> native,
            std::unique_ptr<AsyncioTasks> tasks)
      : native_(std::move(native)),
        tasks_(std::move(tasks)),
        memory_(memory),
        layout_(layout),
        gil_only_(gil_only),
        gil_mark_(gil_mark),
        gils_(gils),
        runtime_(fmt::format("CPython {}", version.Text())),
        threads_(memory, layout_, location.runtime),
        reader_(memory, layout_),
        linked_reader_(memory, layout_),
        codes_(memory, layout_, location.code_type, functions),
        names_(memory, layout_),
        gc_(functions.Marker(markers::kCollector)),
        gil_wait_(functions.Marker(markers::kWaitsForGil)) {}

  [[nodiscard]] std::string_view Runtime() const override { return runtime_; }
  Result<void> Start() { return threads_.Refresh(); }

  [[nodiscard]] bool NeedsStop() const override {
    return layout_.frame.is_linked || native_ != nullptr || tasks_ != nullptr;
  }
  bool PrepareStop(InnerTid tid) override {
    if (tasks_ != nullptr) tasks_->Prepare(SystemClock().Now());
    std::vector<ThreadState>* states = threads_.Find(tid);
    if (states == nullptr) return native_ != nullptr;
    if (!layout_.frame.is_linked) return true;
    for (ThreadState& state : *states) {
      if (!state.known.empty()) continue;
      // Its frames may change meanwhile: good enough to know where to look.
      reading_.frames.clear();
      static_cast<void>(linked_reader_.Read(state, tid, reading_.frames));
      linked_reader_.Learn(state);
    }
    return true;
  }

  StackOutcome ReadStack(InnerTid tid, ReadMode mode) override {
    StackOutcome outcome = TryReadStack(tid, mode);
    if (moved_) {
      // The thread state went to another thread: look for the one that this thread has now, once.
      static_cast<void>(threads_.Refresh());
      outcome = TryReadStack(tid, mode);
    }
    return outcome;
  }

  StackOutcome NameFrames(Stack& stack) override {
    if (learn_from_ != nullptr) linked_reader_.Learn(*std::exchange(learn_from_, nullptr));
    const Result<void> named = codes_.Name(reading_.frames, reading_.epoch, reading_.codes, stack);
    if (named) {
      const std::vector<FrameMark> marks = MarksOf(reading_, stack);
      for (const FrameMark& mark : std::views::reverse(marks)) {
        stack.insert(stack.begin() + static_cast<std::ptrdiff_t>(mark.at),
                     {.function = mark.function});
      }
      const Function* const leaf = stack.empty() ? nullptr : stack.front().function;
      LeaveOutMachinery(stack);
      leaf_is_shown_ = leaf != nullptr && stack.front().function == leaf;
      MarkGil(reading_, stack);
      return StackOutcome::kStack;
    }
    stack.clear();
    return named.error().code == Errc::kGone ? StackOutcome::kGone : StackOutcome::kUnreadable;
  }

  std::optional<std::string> ThreadName(InnerTid tid, MonotonicTime now) override {
    const std::vector<ThreadState>* states = threads_.Known(tid);
    // Of several interpreters it was started in the eldest.
    if (states == nullptr || states->empty()) return std::nullopt;
    return names_.Of(states->back(), now);
  }

  const Function* WaitAt(RemoteAddress futex) override {
    return gils_.Has(futex) ? gil_wait_ : nullptr;
  }

  QuickLooks* BeginBurst(InnerTid tid, const Stack& stack) override {
    if (NeedsStop() || gil_only_ || gil_mark_ != nullptr || reading_.gc_at || !leaf_is_shown_) {
      return nullptr;
    }
    const std::vector<ThreadState>* states = threads_.Known(tid);
    if (states == nullptr || states->size() != 1) return nullptr;
    const MonotonicTime now = SystemClock().Now();
    if (quick_.size() > kManyQuickReaders) {
      std::erase_if(quick_, [&](const auto& entry) {
        return !entry.second.is_open() && now - entry.second.begun() > kQuickReaderKept;
      });
    }
    QuickReader& reader = quick_.try_emplace(tid, memory_, layout_, codes_).first->second;
    const bool begun = reader.Begin(states->front(), reading_.frames, reader_.root(), stack, now);
    return begun ? &reader : nullptr;
  }

  [[nodiscard]] bool WantsSnapshots() const override { return native_ != nullptr; }
  void CopyMore(InnerTid tid, ThreadSnapshot& snapshot) override {
    auto part = std::make_shared<PythonPart>();
    part->outcome = TryReadStack(tid, ReadMode::kStill);
    if (moved_) part->outcome = StackOutcome::kTorn;  // PrepareStop finds what it has now
    if (learn_from_ != nullptr) linked_reader_.Learn(*std::exchange(learn_from_, nullptr));
    part->reading = std::move(reading_);
    snapshot.part = std::move(part);
    native_->unwinder.CopyMore(snapshot);
  }

  StackOutcome ReadSnapshot(const ThreadSnapshot& snapshot, MonotonicTime now, StackExtent& extent,
                            Stack& stack) override {
    stack.clear();
    if (snapshot.part == nullptr) return StackOutcome::kUnreadable;
    auto& part = static_cast<PythonPart&>(*snapshot.part);
    // At once: code objects may be freed while tables are compiled.
    if (!part.is_named) NamePart(part);
    const bool has_stack = part.outcome == StackOutcome::kStack ||
                           part.outcome == StackOutcome::kTruncated ||
                           part.outcome == StackOutcome::kNoFrames;
    if (!has_stack) return part.outcome;
    Stack native;
    const unwind::WalkResult walk = native_->unwinder.Walk(snapshot, now, native);
    const StackOutcome native_outcome = unwind::OutcomeOf(walk.end);
    if (native_outcome == StackOutcome::kNotReady) return native_outcome;
    extent = {.end = walk.stack_end, .changed_stack = walk.changed_stack};
    std::vector<NativeKind> kinds;
    kinds.reserve(native.size());
    for (const Frame& frame : native) kinds.push_back(native_->KindOf(frame));
    MixedStack mixed = MixStacks(native, kinds, part.named, native_->unmatched);
    stack = std::move(mixed.stack);
    if (native_outcome == StackOutcome::kStack) {
      MarkGil(part.reading, stack);
      const bool is_native = part.outcome == StackOutcome::kNoFrames && !stack.empty();
      return is_native ? StackOutcome::kStack : part.outcome;
    }
    // Where they do not match, the Python stack is whole all the same.
    if (mixed.is_matched || part.named.empty()) native_->markers.AddTo(stack, native_outcome);
    MarkGil(part.reading, stack);
    return native_outcome;
  }

 private:
  void MarkGil(const Reading& reading, Stack& stack) const {
    if (gil_mark_ != nullptr && reading.holds_gil) stack.push_back({.function = gil_mark_});
  }
  void NamePart(PythonPart& part) {
    part.is_named = true;
    if (part.outcome != StackOutcome::kStack && part.outcome != StackOutcome::kTruncated) return;
    Stack names;
    const Result<void> named =
        codes_.Name(part.reading.frames, part.reading.epoch, part.reading.codes, names);
    if (!named) {
      const bool is_gone = named.error().code == Errc::kGone;
      part.outcome = is_gone ? StackOutcome::kGone : StackOutcome::kUnreadable;
      return;
    }
    const bool all_machinery = std::ranges::all_of(names, IsMachinery);
    for (std::size_t i = 0; i < names.size(); ++i) {
      part.named.push_back({.frame = names[i],
                            .is_entry = part.reading.frames[i].is_entry,
                            .is_hidden = !all_machinery && IsMachinery(names[i])});
    }
    const std::vector<FrameMark> marks = MarksOf(part.reading, names);
    for (const FrameMark& mark : std::views::reverse(marks)) {
      PythonFrame frame{.frame = {.function = mark.function}};
      // It is of the same call of the interpreter as the task's frames before it.
      if (mark.function != gc_) std::swap(frame.is_entry, part.named[mark.at - 1].is_entry);
      part.named.insert(part.named.begin() + static_cast<std::ptrdiff_t>(mark.at), frame);
    }
  }

  // By their places: those of tasks, and the collector's.
  std::vector<FrameMark> MarksOf(const Reading& reading, const Stack& stack) const {
    std::vector<FrameMark> marks = reading.task_marks;
    if (const auto at = CollectorAt(reading, stack)) {
      const auto place = std::ranges::upper_bound(marks, *at, {}, &FrameMark::at);
      marks.insert(place, {*at, gc_});
    }
    return marks;
  }

  // Where the collection began is told since 3.15 only. Before, a finalizer, or a function of
  // gc.callbacks, that the collector runs looks as if it had been interrupted by it. It is not when
  // nothing on the stack was entered from C but its root; else then nothing is shown.
  static std::optional<std::size_t> CollectorAt(const Reading& reading, const Stack& stack) {
    if (!reading.gc_at) return std::nullopt;
    const auto place = stack.begin() + static_cast<std::ptrdiff_t>(*reading.gc_at);
    if (reading.gc_is_doubtful && std::any_of(place, stack.end(), IsFinalizer)) return std::nullopt;
    return reading.gc_at;
  }
  // Whether gc.callbacks has functions, or that cannot be told.
  bool HasCallbacks(const ActivityPlaces& places) {
    if (places.callbacks.IsNull()) return false;
    return memory_.ReadValue<std::uint64_t>(places.callbacks).value_or(1) != 0;
  }
  void NoteCollector(const ThreadState& state) {
    gils_.See(state.places);
    watch_.See(state.places, state.activity);
    if (!state.gc_at) return;
    const bool is_told = layout_.gc.interpreter_frame != 0;
    reading_.gc_is_doubtful = !is_told && state.entries != 1;
    if (reading_.gc_is_doubtful && HasCallbacks(state.places)) return;
    if (is_told || watch_.HolderCollects(state.places, state.activity))
      reading_.gc_at = state.gc_at;
  }

  ReadOutcome Read(ThreadState& state, InnerTid tid, ReadMode mode) {
    if (!layout_.frame.is_linked) {
      return reader_.Read(state, state.native_id, mode, reading_.frames);
    }
    // Of a thread with several states, those of sub-interpreters, the last one is the deepest.
    learn_from_ = &state;
    return linked_reader_.Read(state, tid, reading_.frames);
  }

  void AddTasks(const ThreadState& state) {
    const std::size_t added = tasks_->AddTo(state.address, reading_.frames, reading_.task_marks);
    if (added > 0) reading_.epoch = {};  // read after it was
    if (added > 0 && reading_.gc_at && *reading_.gc_at >= reading_.task_marks.front().at) {
      *reading_.gc_at += added;
    }
  }

  StackOutcome TryReadStack(InnerTid tid, ReadMode mode) {
    reading_.frames.clear();
    reading_.gc_at.reset();
    reading_.holds_gil = false;
    reading_.task_marks.clear();
    reading_.epoch = {};
    reading_.codes.are_taken = false;
    learn_from_ = nullptr;
    moved_ = false;
    // Of a stopped thread, what PrepareStop has found.
    std::vector<ThreadState>* states = NeedsStop() ? threads_.Known(tid) : threads_.Find(tid);
    const StackOutcome nothing = gil_only_ ? StackOutcome::kWithoutGil : StackOutcome::kNoFrames;
    if (states == nullptr) return nothing;
    bool truncated = false;
    for (ThreadState& state : *states) {
      switch (Read(state, tid, mode)) {
        case ReadOutcome::kStack:
          break;
        case ReadOutcome::kTruncated:
          truncated = true;
          break;
        case ReadOutcome::kTorn:
          return StackOutcome::kTorn;
        case ReadOutcome::kMoved:
          moved_ = true;
          return StackOutcome::kNoFrames;
        case ReadOutcome::kUnreadable:
          moved_ = true;
          return StackOutcome::kUnreadable;
        case ReadOutcome::kGone:
          return StackOutcome::kGone;
      }
      NoteCollector(state);
      // The interpreters' epochs are not one.
      if (states->size() == 1 && !state.activity.code_was_freed) {
        reading_.epoch = {state.places.code_generation, state.activity.code_generation};
      }
      if (tasks_ != nullptr) AddTasks(state);
      reading_.holds_gil |= state.activity.HoldsGil(state.address);
    }
    if (gil_only_ && !reading_.holds_gil) return StackOutcome::kWithoutGil;
    if (reading_.frames.empty()) return StackOutcome::kNoFrames;
    if (mode == ReadMode::kStill) {
      static_cast<void>(codes_.Identify(reading_.frames, reading_.epoch, reading_.codes));
    }
    return truncated ? StackOutcome::kTruncated : StackOutcome::kStack;
  }

  // Of threads that have ended.
  static constexpr std::size_t kManyQuickReaders = 64;
  static constexpr std::chrono::seconds kQuickReaderKept{1};

  std::unique_ptr<NativeSide> native_;   // null: Python frames only
  std::unique_ptr<AsyncioTasks> tasks_;  // null: not wanted, or not told
  ProcessMemory& memory_;
  const Layout layout_;
  const bool gil_only_;
  const Function* const gil_mark_;  // null: not wanted
  KnownGils& gils_;
  std::string runtime_;
  ThreadStates threads_;
  StackReader reader_;
  LinkedReader linked_reader_;
  ThreadState* learn_from_ =
      nullptr;  // what ReadStack read last; until the next call of NameFrames
  CodeCache codes_;
  ThreadNames names_;
  std::unordered_map<InnerTid, QuickReader> quick_;
  const Function* gc_;
  const Function* gil_wait_;
  CollectorWatch watch_;
  Reading reading_;             // of the last ReadStack
  bool leaf_is_shown_ = false;  // of the last NameFrames
  bool moved_ = false;
};

}  // namespace

bool PythonSpyFactory::UseGil(const Layout& layout, Version version) {
  if (!wishes_.gil_only || layout.gil.IsKnown()) return wishes_.gil_only;
  if (!std::exchange(said_no_gil_, true)) {
    LogWarn(
        "--gil leaves out no thread of a CPython {} that has no GIL, or does not tell who "
        "holds it",
        version.Text());
  }
  return false;
}

std::unique_ptr<AsyncioTasks> PythonSpyFactory::MakeTasks(TargetProcess& process,
                                                          const RuntimeLocation& location,
                                                          const Layout& layout, Version version) {
  if (!wishes_.asyncio) return nullptr;
  if (layout.coroutine.frame == 0) {
    if (!std::exchange(said_no_tasks_, true)) {
      LogWarn("--asyncio shows no tasks of CPython {}: 3.14 and later tell them", version.Text());
    }
    return nullptr;
  }
  return std::make_unique<AsyncioTasks>(
      process.memory(), [this, &process] { return locator_.LocateAsyncio(process); }, layout,
      location.code_type, functions_);
}

std::unique_ptr<NativeSide> PythonSpyFactory::MakeNativeSide(TargetProcess& process,
                                                             const RuntimeLocation& location) {
  if (wishes_.native_files == nullptr) return nullptr;
  const Result<unwind::CodeFile*> file = wishes_.native_files->OfMapping(process, location.code);
  std::shared_ptr<const InterpreterCode> code = locator_.CodeOf(process, location);
  if (!file || !code->has_eval()) {
    LogWarn("native frames of process {} are not shown: the interpreter's symbols are not known",
            static_cast<pid_t>(process.pid()));
    return nullptr;
  }
  return std::make_unique<NativeSide>(
      unwind::Unwinder(process, *wishes_.native_files), &(*file)->module(), std::move(code),
      functions_.Marker("[native callers not matched]"), unwind::Markers(functions_));
}

std::expected<std::unique_ptr<Spy>, Refusal> PythonSpyFactory::Attach(TargetProcess& process) {
  const Result<std::optional<RuntimeLocation>> location = locator_.Locate(process);
  if (!location) return RefuseFor(location.error());
  if (!*location) return Refuse(Refusal::Kind::kNotMine);
  ProcessMemory& memory = process.memory();
  const auto version = FindVersion(memory, **location);
  if (!version) return std::unexpected(version.error());
  const auto layout = FindLayout(memory, **location, *version);
  if (!layout) return std::unexpected(layout.error());
  auto spy = std::make_unique<PythonSpy>(memory, **location, *version, *layout, functions_,
                                         UseGil(*layout, *version), gil_mark_, gils_,
                                         MakeNativeSide(process, **location),
                                         MakeTasks(process, **location, *layout, *version));
  if (const Result<void> started = spy->Start(); !started) return RefuseFor(started.error());
  const Result<void> checked =
      CheckMembers(memory, *layout, (*location)->code_type, (*location)->frame_type);
  if (checked) return spy;
  if (checked.error().code != Errc::kMalformed) return RefuseFor(checked.error());
  return Refuse(Refusal::Kind::kUnsupported,
                fmt::format("this build of CPython {} cannot be read: {}", version->Text(),
                            checked.error().Message()));
}

}  // namespace agent::python
