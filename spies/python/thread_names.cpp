// SPDX-License-Identifier: Apache-2.0
#include "spies/python/thread_names.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "spies/python/objects.h"

namespace agent::python {
namespace {

constexpr std::size_t kMostInterpreters = 64;
// Between two searches of sys.modules in vain: at least, and times the CPU time that one takes.
constexpr std::chrono::milliseconds kLook{5};
constexpr int kLookPause = 20;
// While it has as many modules as the last time.
constexpr std::chrono::seconds kLookAtSame{1};

}  // namespace

std::optional<std::string> ThreadNames::Of(const ThreadState& state, MonotonicTime now) {
  if (layout_.names.interpreter_modules == 0 || state.pthread.IsNull() || !MayRead(now)) {
    return std::nullopt;
  }
  Result<std::string> name = Read(state, now);
  if (!name || name->empty()) return std::nullopt;
  return *std::move(name);
}

bool ThreadNames::MayRead(MonotonicTime now) {
  const double seconds = std::chrono::duration<double>(now - counted_).count();
  names_left_ = std::min(names_left_ + seconds * kMostNamesEachSecond, kMostNames);
  counted_ = now;
  if (names_left_ < 1) return false;
  names_left_ -= 1;
  return true;
}

Result<std::string> ThreadNames::Read(const ThreadState& state, MonotonicTime now) {
  AGENT_TRY(const auto interpreter,
            memory_.ReadValue<std::uint64_t>(state.address.Plus(layout_.thread.interp)));
  AGENT_TRY(const RemoteAddress active, ActiveOf(RemoteAddress(interpreter), now));
  AGENT_TRY(const ObjectSlot thread, dicts_.Find(active, state.pthread.value()));
  AGENT_TRY(const ObjectSlot name, dicts_.FindAttribute(thread.object, "_name"));
  AGENT_TRY(const bool is_text, dicts_.IsText(name.object));
  if (!is_text) return Fail(Errc::kMalformed, "a name that is no str");
  AGENT_TRY(std::string text, ReadString(memory_, layout_, name.object, kMostCharacters));
  // Nothing that was passed on the way is another one now, and the memory used for something else.
  std::array<std::uint64_t, 2> now_there{};
  const std::array<ReadRange, 2> ranges = {
      {{thread.place, BytesOf(now_there[0])}, {name.place, BytesOf(now_there[1])}}};
  AGENT_CHECK_OK(memory_.ReadRanges(ranges));
  if (now_there[0] != thread.object.value() || now_there[1] != name.object.value()) {
    return Fail(Errc::kMalformed, "a name that changes");
  }
  return text;
}

// The dict is made once and stays; of an interpreter that has ended its memory is something else.
Result<RemoteAddress> ThreadNames::ActiveOf(RemoteAddress interpreter, MonotonicTime now) {
  if (interpreters_.size() > kMostInterpreters) interpreters_.clear();
  Threading& known = interpreters_[interpreter];
  if (!known.active.IsNull()) {
    AGENT_TRY(const RemoteAddress type, dicts_.TypeOf(known.active));
    if (type == known.dict_type) return known.active;
    known = {};
  }
  AGENT_TRY(const auto modules,
            memory_.ReadValue<std::uint64_t>(interpreter.Plus(layout_.names.interpreter_modules)));
  AGENT_TRY(const std::uint64_t size, dicts_.SizeOf(RemoteAddress(modules)));
  if (now < known.next_look || (size == known.modules && now < known.looked + kLookAtSame)) {
    return Fail(Errc::kUnreadable, "no threading");
  }
  const Nanoseconds begin = OwnCpuTime();
  const Result<void> found = FindActive(RemoteAddress(modules), known);
  known.looked = now;
  known.next_look = now + std::max<Nanoseconds>(kLook, (OwnCpuTime() - begin) * kLookPause);
  if (!found) return std::unexpected(found.error());
  return known.active;
}

Result<void> ThreadNames::FindActive(RemoteAddress modules, Threading& threading) {
  AGENT_TRY(const std::uint64_t size, dicts_.SizeOf(modules));
  const Result<ObjectSlot> module = dicts_.Find(modules, "threading");
  if (!module) {
    if (module.error().code == Errc::kInvalid) threading.modules = size;
    return std::unexpected(module.error());
  }
  // PyModuleObject.md_dict
  AGENT_TRY(const auto variables,
            memory_.ReadValue<std::uint64_t>(module->object.Plus(layout_.object_size)));
  AGENT_TRY(const ObjectSlot active, dicts_.Find(RemoteAddress(variables), "_active"));
  AGENT_TRY(const RemoteAddress dict_type, dicts_.TypeOf(RemoteAddress(variables)));
  AGENT_TRY(const RemoteAddress type, dicts_.TypeOf(active.object));
  if (type != dict_type) return Fail(Errc::kMalformed, "threading._active is no dict");
  threading.dict_type = dict_type;
  threading.active = active.object;
  return {};
}

}  // namespace agent::python
