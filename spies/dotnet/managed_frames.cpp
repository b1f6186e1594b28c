// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/managed_frames.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/path.h"
#include "spies/unwind/dotnet_epilog.h"
#include "spies/unwind/machine_code.h"

namespace agent::dotnet {
namespace {

using Numbers = RegisterNumbers;
using unwind::ManagedStep;

constexpr std::size_t kMethodsToCheck = 64;
constexpr std::size_t kMaxIlMaps = 1u << 15;

// A thread that has stopped the others.
struct SuspendingPart final : SnapshotPart {};

// Server GC and background GC have threads of their own (src/coreclr/gc/gc.cpp, create_gc_thread,
// bgc_thread_create).
bool IsCollectorThread(std::string_view comm) {
  return comm == ".NET Server GC" || comm == ".NET BGC";
}

bool IsMethod(const Frame& frame) { return frame.function != nullptr; }

bool IsCompiler(const Frame& frame) {
  return frame.module != nullptr && BaseName(frame.module->path) == "libclrjit.so";
}

}  // namespace

Result<ManagedFrames::Check> ManagedFrames::CheckLayout() {
  AGENT_TRY(const std::vector<std::uint64_t> jitted, code_.SomeMethods(kMethodsToCheck));
  const Check check = CheckMethods(jitted);
  if (check.methods == 0 || !check.IsGood()) return check;
  AGENT_TRY(const std::vector<std::uint64_t> precompiled,
            code_.SomePrecompiledMethods(kMethodsToCheck));
  const Check second = CheckMethods(precompiled);
  return second.IsGood() ? check : second;
}

ManagedFrames::Check ManagedFrames::CheckMethods(const std::vector<std::uint64_t>& methods) {
  Check check;
  for (const std::uint64_t method : methods) {
    const auto name = names_.NameOf(method, false);
    // Nothing is wrong with a method that was made at run time, in a module without metadata.
    if (!name && name.error().code == Errc::kUnsupported) continue;
    ++check.methods;
    if (name) ++check.readable;
  }
  return check;
}

std::shared_ptr<SnapshotPart> ManagedFrames::Look(InnerTid tid) {
  if (layout_.collector.suspending_thread == 0) return nullptr;
  const auto thread =
      memory_.ReadValue<std::uint64_t>(RemoteAddress(layout_.collector.suspending_thread));
  if (!thread || *thread == 0) return nullptr;
  const auto os_id =
      memory_.ReadValue<std::int32_t>(RemoteAddress(*thread).Plus(layout_.collector.os_id));
  if (!os_id || *os_id != static_cast<std::int32_t>(tid)) return nullptr;
  return std::make_shared<SuspendingPart>();
}

void ManagedFrames::Mark(const ThreadSnapshot& snapshot, Stack& stack) {
  // The runtime suspends for other reasons in threads of its own, which run no methods.
  const auto method = std::ranges::find_if(stack, IsMethod);
  if (IsCollectorThread(snapshot.comm)) {
    stack.push_back({.function = collector_});
  } else if (snapshot.part != nullptr && method != stack.begin() && method != stack.end()) {
    stack.insert(method, {.function = collector_});
  }
  for (auto end = stack.begin(); end != stack.end();) {
    const auto begin = std::find_if(end, stack.end(), IsCompiler);
    end = std::find_if_not(begin, stack.end(), IsCompiler);
    if (begin != end) end = stack.insert(end, {.function = compiler_}) + 1;
  }
}

Result<IlMap> ManagedFrames::ReadIlMap(const MethodCode& code) {
  if (code.image != nullptr) {
    AGENT_TRY(const auto bytes, ReadDebugInfo(memory_, *code.image, code.function));
    return IlMap::DecodePrecompiled(bytes, code.image->packed_bounds);
  }
  std::vector<std::byte> bytes(IlMap::kMaxBytes);
  AGENT_TRY(const std::size_t size, memory_.ReadSome(RemoteAddress(code.debug_info), bytes));
  return IlMap::Decode(std::span(bytes).first(size), layout_.debug_info);
}

// 0: not known.
std::uint32_t ManagedFrames::LineAt(const MethodCode& code, bool stays, const MethodLines& lines,
                                    std::uint64_t address) {
  if (code.image == nullptr && code.debug_info == 0) return 0;
  if (layout_.debug_info.patchpoint_size == 0) return 0;
  auto known = il_maps_.find(code.start);
  if (known == il_maps_.end() || !stays) {
    if (il_maps_.size() >= kMaxIlMaps) il_maps_.clear();
    // One that cannot be read stays empty: no lines.
    known = il_maps_.insert_or_assign(code.start, ReadIlMap(code).value_or(IlMap())).first;
  }
  const auto il = known->second.At(address - code.start);
  return il ? lines.At(*il) : 0;
}

// The copies of the write barriers are in none of the runtime's ranges. Methods call them, and they
// call nothing. Where a call pushes, the unwinder sees as much in the stack.
bool ManagedFrames::IsWriteBarrier(bool is_exact, const Registers& registers, std::uint32_t known) {
  if (kCallPushes || !is_exact || (known >> Numbers::kReturnColumn & 1) == 0) return false;
  const std::uint64_t caller = unwind::StripReturnAddress(registers.values[Numbers::kReturnColumn]);
  return code_.Find(caller - 1).kind == CodeMap::Kind::kMethod;
}

ManagedStep ManagedFrames::Step(const ThreadSnapshot& snapshot, bool is_exact, Registers& registers,
                                std::uint32_t& known, Stack& frames) {
  const std::uint64_t pc = registers.pc();
  const std::uint64_t address = is_exact ? pc : pc - 1;
  const CodeMap::Found found = code_.Find(address);
  switch (found.kind) {
    case CodeMap::Kind::kNone:
      return IsWriteBarrier(is_exact, registers, known) ? ManagedStep::kStub
                                                        : ManagedStep::kNotMine;
    case CodeMap::Kind::kStub:
      return ManagedStep::kStub;
    case CodeMap::Kind::kUnknown:
      frames.push_back({.function = unknown_});
      return ManagedStep::kLost;
    case CodeMap::Kind::kMethod:
      break;
  }
  const MethodCode& code = *found.code;
  const NamedMethod method =
      names_.NameOf(code.method_desc, found.stays).value_or(NamedMethod{.function = unknown_});
  if (method.function != nullptr) {
    const std::uint32_t line =
        method.lines != nullptr ? LineAt(code, found.stays, *method.lines, address) : 0;
    frames.push_back({.function = method.function, .line = line});
  }
  Result<bool> epilog = false;
  // Unwind information of arm64 tells of epilogs as well.
  if (kCallPushes && is_exact) {
    std::array<std::byte, unwind::kLongestEpilog> bytes;  // NOLINT: read up to `size`
    const auto size = memory_.ReadSome(RemoteAddress(pc), bytes);
    if (size) {
      epilog =
          unwind::FinishEpilog(snapshot, std::span(bytes).first(*size),
                               unwind::CodeBounds{.begin = code.begin, .end = code.end}, registers);
    }
  }
  if (!epilog) return ManagedStep::kTruncated;
  if (!*epilog) {
    const auto offset = static_cast<std::uint32_t>(pc - code.begin);
    const auto undone = code.unwind.Undo(snapshot, offset, registers.values, known);
    if (!undone) {
      return undone.error().code == Errc::kUnreadable ? ManagedStep::kTruncated
                                                      : ManagedStep::kLost;
    }
    registers.values[Numbers::kPc] = unwind::StripReturnAddress(registers.pc());
  }
  known &= UnwindInfo::kNonvolatile;
  return ManagedStep::kCaller;
}

}  // namespace agent::dotnet
