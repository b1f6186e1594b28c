// SPDX-License-Identifier: Apache-2.0
#include "tests/live/libdw_walk.h"

#include <elfutils/libdwfl.h>

namespace agent::live {
namespace {

constexpr std::size_t kMostFrames = 2048;

}  // namespace

class LibdwWalk::Impl {
 public:
  Impl(Pid pid, ProcessMemory& memory) : pid_(static_cast<pid_t>(pid)), memory_(memory) {
    static const Dwfl_Callbacks callbacks = {
        .find_elf = ::dwfl_linux_proc_find_elf,
        .find_debuginfo = [](Dwfl_Module*, void**, const char*, Dwarf_Addr, const char*,
                             const char*, GElf_Word, char**) { return -1; },
        .section_address = nullptr,
        .debuginfo_path = nullptr};
    static const Dwfl_Thread_Callbacks threads = {
        .next_thread = [](Dwfl*, void* argument, void** thread) -> pid_t {
          if (*thread != nullptr) return 0;
          *thread = argument;
          return static_cast<Impl*>(argument)->pid_;
        },
        .get_thread =
            [](Dwfl*, pid_t, void* argument, void** thread) {
              *thread = argument;
              return true;
            },
        .memory_read = ReadMemory,
        .set_initial_registers =
            [](Dwfl_Thread* thread, void* argument) {
              const Registers& registers = static_cast<Impl*>(argument)->snapshot_->registers;
              return ::dwfl_thread_state_registers(thread, 0, RegisterNumbers::kCount,
                                                   registers.values.data());
            },
        .detach = nullptr,
        .thread_detach = nullptr};
    dwfl_ = ::dwfl_begin(&callbacks);
    ::dwfl_report_begin(dwfl_);
    ::dwfl_linux_proc_report(dwfl_, pid_);
    ::dwfl_report_end(dwfl_, nullptr, nullptr);
    ::dwfl_attach_state(dwfl_, nullptr, pid_, &threads, this);
  }
  ~Impl() { ::dwfl_end(dwfl_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::vector<OtherFrame> Walk(const ThreadSnapshot& snapshot) {
    snapshot_ = &snapshot;
    std::vector<OtherFrame> frames;
    ::dwfl_getthread_frames(
        dwfl_, pid_,
        [](Dwfl_Frame* state, void* argument) -> int {
          auto& found = *static_cast<std::vector<OtherFrame>*>(argument);
          Dwarf_Addr pc = 0;
          bool is_activation = false;
          if (!::dwfl_frame_pc(state, &pc, &is_activation)) return DWARF_CB_ABORT;
          found.push_back({.pc = pc, .is_exact = is_activation});
          return found.size() < kMostFrames ? DWARF_CB_OK : DWARF_CB_ABORT;
        },
        &frames);
    return frames;
  }

 private:
  static bool ReadMemory(Dwfl*, Dwarf_Addr address, Dwarf_Word* value, void* argument) {
    Impl& self = *static_cast<Impl*>(argument);
    if (const auto word = self.snapshot_->ReadWord(address)) {
      *value = *word;
      return true;
    }
    const auto word = self.memory_.ReadValue<std::uint64_t>(RemoteAddress(address));
    if (word) *value = *word;
    return word.has_value();
  }

  pid_t pid_;
  ProcessMemory& memory_;
  Dwfl* dwfl_ = nullptr;
  const ThreadSnapshot* snapshot_ = nullptr;
};

LibdwWalk::LibdwWalk(Pid pid, ProcessMemory& memory) : impl_(std::make_unique<Impl>(pid, memory)) {}
LibdwWalk::~LibdwWalk() = default;
std::vector<OtherFrame> LibdwWalk::Walk(const ThreadSnapshot& snapshot) {
  return impl_->Walk(snapshot);
}

}  // namespace agent::live
