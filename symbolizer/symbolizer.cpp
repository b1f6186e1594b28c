// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/symbolizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/path.h"
#include "symbolizer/jit_names.h"
#include "symbolizer/module_names.h"

namespace agent {
namespace {

// Addresses whose names are kept; past it all are forgotten, and looked up anew as they come.
constexpr std::size_t kMaxKept = 500'000;
// A file in which nothing was looked up for so many windows is closed. Debug information takes
// hundreds of megabytes.
constexpr unsigned kIdleWindows = 3;

struct Place {
  const Module* module;
  std::uint64_t address;
  friend bool operator==(const Place&, const Place&) = default;
};

struct PlaceHash {
  std::size_t operator()(const Place& place) const {
    return std::hash<const Module*>{}(place.module) ^ (place.address * 0x9e3779b97f4a7c15);
  }
};

}  // namespace

class Symbolizer::Impl {
 public:
  Impl(Demangle demangle, DebugFetcher* fetcher) : demangle_(demangle), fetcher_(fetcher) {}

  void AddModule(const Module* module, ModuleSource source) {
    const std::lock_guard lock(mutex_);
    auto& known = sources_[module];
    if (!known) known = std::make_shared<const ModuleSource>(std::move(source));
  }

  std::unique_ptr<Profile> Name(const Profile& window) {
    const std::vector<Profile::Entry> entries = window.Entries();
    LookUpAll(window, entries);
    auto named = std::make_unique<Profile>(window.start(), window.slice_length());
    named->set_duration(window.duration());
    named->set_period(window.period());
    named->losses() = window.losses();
    std::unordered_map<StackId, StackId> stacks;
    for (const Profile::Entry& entry : entries) {
      const auto [stack, is_new] = stacks.try_emplace(entry.key.stack);
      if (is_new)
        stack->second = named->InternStack(NameStack(window.StackFrames(entry.key.stack)));
      CountLeaf(window.StackFrames(entry.key.stack), entry.value.count);
      const WallTime at = window.start() + window.slice_length() * std::int64_t{entry.key.slice};
      named->Add(stack->second, named->InternThread(window.Thread(entry.key.thread)),
                 entry.key.kind, at, entry.value);
    }
    ForgetTransient();
    CloseIdle();
    return named;
  }

  void LookUpAhead(const Profile& window) {
    UseArrived();
    LookUpAll(window, window.Entries());
    ForgetTransient();
  }

  void UseArrived() {
    if (fetcher_ == nullptr) return;
    const std::vector<std::string> arrived = fetcher_->TakeArrived();
    if (arrived.empty()) return;
    std::set<const Module*> again;
    for (auto& [module, open] : modules_) {
      if (std::ranges::find_first_of(open.awaited, arrived) == open.awaited.end()) continue;
      open.names.reset();
      again.insert(module);
    }
    std::vector<Place> places;
    for (const auto& [place, named] : kept_) {
      if (again.contains(place.module)) places.push_back(place);
    }
    LookUpPlaces(std::move(places));
  }

  [[nodiscard]] std::vector<UnnamedCode> unnamed() const {
    std::vector<UnnamedCode> codes;
    codes.reserve(unnamed_.size());
    for (const auto& [key, code] : unnamed_) codes.push_back(code);
    std::ranges::stable_sort(codes, [](const UnnamedCode& a, const UnnamedCode& b) {
      return std::tie(a.samples, a.addresses) > std::tie(b.samples, b.addresses);
    });
    return codes;
  }

 private:
  struct Open {
    std::shared_ptr<const ModuleSource> source;  // null: AddModule was not called
    std::unique_ptr<ModuleNames> names;          // of code with a file, while open
    std::unique_ptr<JitNames> jit;               // of code without
    std::vector<std::string> awaited;            // build ids of debug files that may come
    unsigned idle_windows = 0;
  };

  struct Named {
    std::vector<Frame> frames;
    std::optional<UnnamedReason> unnamed;
  };

  static bool IsUnnamed(const Frame& frame) {
    return frame.function == nullptr && frame.module != nullptr;
  }

  // Address by address through one module after another: a unit's tables are read once.
  void LookUpAll(const Profile& window, const std::vector<Profile::Entry>& entries) {
    if (kept_.size() > kMaxKept) kept_.clear();
    std::vector<Place> missing;
    for (const Profile::Entry& entry : entries) {
      for (const Frame& frame : window.StackFrames(entry.key.stack)) {
        const Place place{frame.module, frame.address};
        if (IsUnnamed(frame) && kept_.try_emplace(place).second) missing.push_back(place);
      }
    }
    LookUpPlaces(std::move(missing));
  }

  void LookUpPlaces(std::vector<Place> missing) {
    std::ranges::sort(missing, [](const Place& a, const Place& b) {
      return std::tie(a.module, a.address) < std::tie(b.module, b.address);
    });
    const Module* module = nullptr;
    for (const Place& place : missing) {
      Open& open = OpenModule(*place.module);
      if (place.module != module && open.jit) open.jit->Refresh();
      module = place.module;
      open.idle_windows = 0;
      kept_[place] = LookUp(place, open);
      if (open.jit) transient_.push_back(place);
    }
  }

  Open& OpenModule(const Module& module) {
    Open& open = modules_[&module];
    if (!open.source) {
      const std::lock_guard lock(mutex_);
      const auto found = sources_.find(&module);
      if (found == sources_.end()) return open;
      open.source = found->second;
    }
    if (!open.source->elf) {
      if (!open.jit) {
        open.jit = std::make_unique<JitNames>(open.source->root, open.source->inner_pid,
                                              open.source->owner, open.source->jitdump_paths);
      }
    } else if (!open.names) {
      open.names = std::make_unique<ModuleNames>(*open.source->elf, module.path, open.source->root,
                                                 fetcher_);
      open.awaited = open.names->awaited();
    }
    return open;
  }

  Named LookUp(const Place& place, Open& open) {
    Named named = open.jit ? LookUpJit(place, *open.jit) : LookUpFile(place, open);
    if (!named.unnamed) return named;
    CountAddress(place, *named.unnamed, /*again=*/open.jit || !open.awaited.empty());
    const std::string name = fmt::format("{}+{:#x}", BaseName(place.module->path), place.address);
    named.frames.push_back({.function = functions_.Intern(name, place.module->path, 0),
                            .line = 0,
                            .inlined = false,
                            .module = place.module,
                            .address = place.address});
    return named;
  }

  // Code without a file is looked up in each window, and a file's again when its debug file comes:
  // it counts once for a reason.
  void CountAddress(const Place& place, UnnamedReason reason, bool again) {
    if (again) {
      if (counted_.size() >= kMaxKept) return;
      const auto [known, is_new] = counted_.try_emplace(place, reason);
      if (!is_new && std::exchange(known->second, reason) == reason) return;
    }
    ++UnnamedOf(place.module, reason).addresses;
  }

  void CountLeaf(std::span<const Frame> frames, std::int64_t samples) {
    if (frames.empty() || !IsUnnamed(frames.front())) return;
    const Named& named = kept_.at({frames.front().module, frames.front().address});
    if (named.unnamed) UnnamedOf(frames.front().module, *named.unnamed).samples += samples;
  }

  UnnamedCode& UnnamedOf(const Module* module, UnnamedReason reason) {
    UnnamedCode& code = unnamed_[{module, reason}];
    code.module = module;
    code.reason = reason;
    return code;
  }

  Named LookUpJit(const Place& place, const JitNames& jit) {
    const CodeMap::Found found = jit.Find(place.address);
    if (!found.code) {
      return {{}, jit.empty() ? UnnamedReason::kNoPerfMap : UnnamedReason::kNotInPerfMap};
    }
    const JitCode& code = *found.code;
    return {{{.function = functions_.Intern(code.name, code.file, code.start_line),
              .line = found.line}},
            std::nullopt};
  }

  Named LookUpFile(const Place& place, Open& open) {
    if (!open.names || !open.names->readable()) return {{}, UnnamedReason::kUnreadable};
    const std::vector<NamedLevel> chain = open.names->Find(ElfAddress{place.address});
    if (chain.empty()) {
      return {{}, open.names->stripped() ? UnnamedReason::kStripped : UnnamedReason::kNoSymbol};
    }
    std::vector<Frame> frames;
    frames.reserve(chain.size());
    for (const NamedLevel& level : chain) {
      frames.push_back({.function = functions_.Intern(TextOf(level), level.file, level.start_line),
                        .line = level.line,
                        .inlined = frames.size() + 1 < chain.size()});
    }
    return {std::move(frames), std::nullopt};
  }

  [[nodiscard]] std::string TextOf(const NamedLevel& level) const {
    if (!level.readable.empty() && demangle_ != Demangle::kNone) return level.readable;
    return level.readable_cpp && demangle_ == Demangle::kSimplified
               ? SimplifyCpp(level.name)
               : DemangleName(level.name, demangle_);
  }

  Stack NameStack(std::span<const Frame> frames) const {
    Stack stack;
    stack.reserve(frames.size());
    for (const Frame& frame : frames) {
      if (!IsUnnamed(frame)) {
        stack.push_back(frame);
        continue;
      }
      const std::vector<Frame>& named = kept_.at({frame.module, frame.address}).frames;
      stack.insert(stack.end(), named.begin(), named.end());
    }
    return stack;
  }

  void ForgetTransient() {
    for (const Place& place : transient_) kept_.erase(place);
    transient_.clear();
  }

  void CloseIdle() {
    for (auto& [module, open] : modules_) {
      if (open.names && ++open.idle_windows > kIdleWindows) open.names.reset();
    }
  }

  const Demangle demangle_;
  DebugFetcher* const fetcher_;  // may be null
  FunctionTable functions_;
  std::unordered_map<Place, Named, PlaceHash> kept_;
  std::vector<Place> transient_;                                 // of kept_: for this window only
  std::unordered_map<Place, UnnamedReason, PlaceHash> counted_;  // for what it was last
  std::unordered_map<const Module*, Open> modules_;
  std::map<std::pair<const Module*, UnnamedReason>, UnnamedCode> unnamed_;

  std::mutex mutex_;  // for what follows
  std::unordered_map<const Module*, std::shared_ptr<const ModuleSource>> sources_;
};

Symbolizer::Symbolizer(Demangle demangle, DebugFetcher* fetcher)
    : impl_(std::make_unique<Impl>(demangle, fetcher)) {}
Symbolizer::~Symbolizer() = default;

void Symbolizer::AddModule(const Module* module, ModuleSource source) {
  impl_->AddModule(module, std::move(source));
}

std::unique_ptr<Profile> Symbolizer::Name(const Profile& window) { return impl_->Name(window); }

void Symbolizer::LookUpAhead(const Profile& window) { impl_->LookUpAhead(window); }

void Symbolizer::UseArrived() { impl_->UseArrived(); }

std::vector<UnnamedCode> Symbolizer::unnamed() const { return impl_->unnamed(); }

}  // namespace agent
