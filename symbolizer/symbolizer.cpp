// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/symbolizer.h"
#include <map>
#include <fmt/format.h>
namespace agent {
class Symbolizer::Impl { public: FunctionTable t; UnnamedCounters u; };
Symbolizer::Symbolizer(Demangle) : impl_(std::make_unique<Impl>()) {}
Symbolizer::~Symbolizer() = default;
void Symbolizer::AddModule(const Module*, ModuleSource) {}
const UnnamedCounters& Symbolizer::unnamed() const { return impl_->u; }
std::unique_ptr<Profile> Symbolizer::Name(const Profile& w) {
  auto out = std::make_unique<Profile>(w.start(), w.slice_length());
  for (const auto& e : w.Entries()) { Stack s; for (Frame f : w.StackFrames(e.key.stack)) { if (!f.function) f.function = impl_->t.Intern(fmt::format("{}+0x{:x}", f.module->path.substr(f.module->path.rfind('/')+1), f.address), f.module->path, 0); s.push_back(f);} 
    out->Add(out->InternStack(s), out->InternThread(w.Thread(e.key.thread)), e.key.kind, w.start()+w.slice_length()*std::int64_t{e.key.slice}, e.value); }
  out->losses() = w.losses(); out->set_duration(w.duration()); out->set_period(w.period()); return out;
}
}
