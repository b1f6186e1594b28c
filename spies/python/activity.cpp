// SPDX-License-Identifier: Apache-2.0
#include "spies/python/activity.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <span>

namespace agent::python {
namespace {

template <typename T>
void Add(RemoteAddress place, T& value, std::vector<ReadRange>& ranges) {
  if (!place.IsNull()) ranges.push_back({place, BytesOf(value)});
}

RemoteAddress At(RemoteAddress base, std::uint32_t offset) {
  return base.IsNull() || offset == 0 ? RemoteAddress() : base.Plus(offset);
}

}  // namespace

RemoteAddress ActivityPlaces::CallbacksPlace(const Layout& layout, RemoteAddress interpreter) {
  // struct _gc_runtime_state: int collecting; PyObject *garbage; PyObject *callbacks.
  return At(At(interpreter, layout.gc.interpreter_collecting), 16);
}

ActivityPlaces ActivityPlaces::Of(const Layout& layout, RemoteAddress runtime,
                                  RemoteAddress interpreter, RemoteAddress gil,
                                  RemoteAddress callbacks) {
  ActivityPlaces places;
  places.holder = At(runtime, layout.gil.runtime_holder);
  places.switches = At(runtime, layout.gil.runtime_switches);
  if (places.holder.IsNull()) {
    places.holder = At(gil, layout.gil.last_holder);
    places.locked = At(gil, layout.gil.locked);
    // The next field.
    if (!places.locked.IsNull()) places.switches = places.locked.Plus(8);
  }
  places.collecting = At(interpreter, layout.gc.interpreter_collecting);
  places.callbacks = At(callbacks, layout.object_size);  // PyVarObject.ob_size
  places.gc_frame = At(interpreter, layout.gc.interpreter_frame);
  places.code_generation = At(interpreter, layout.interpreter.code_generation);
  places.SetWindow();
  return places;
}

void ActivityPlaces::SetWindow() {
  RemoteAddress first;
  RemoteAddress last;
  for (const RemoteAddress place : {switches, locked, collecting, holder, gc_frame}) {
    if (place.IsNull()) continue;
    if (first.IsNull() || place < first) first = place;
    last = std::max(last, place);
  }
  const std::uint64_t size = last.value() - first.value() + sizeof(std::uint64_t);
  if (first.IsNull() || size > kMaxWindow) return;
  window = first;
  window_size = size;
}

void Activity::AddRanges(const ActivityPlaces& places, std::vector<ReadRange>& ranges) {
  switches = 0;
  collecting = 0;
  holder = 0;
  locked = 1;
  gc_frame = 0;
  if (places.window_size != 0) {
    ranges.push_back({places.window, std::span(window).first(places.window_size)});
    return;
  }
  // In this order: a switch in between shows as another holder.
  Add(places.switches, switches, ranges);
  Add(places.collecting, collecting, ranges);
  Add(places.holder, holder, ranges);
  Add(places.locked, locked, ranges);
  Add(places.gc_frame, gc_frame, ranges);
}

void Activity::Take(const ActivityPlaces& places) {
  if (places.window_size == 0) return;
  const auto take = [&](RemoteAddress place, auto& value) {
    if (place.IsNull()) return;
    std::memcpy(&value, window.data() + (place.value() - places.window.value()), sizeof(value));
  };
  take(places.switches, switches);
  take(places.collecting, collecting);
  take(places.holder, holder);
  take(places.locked, locked);
  take(places.gc_frame, gc_frame);
}

}  // namespace agent::python
