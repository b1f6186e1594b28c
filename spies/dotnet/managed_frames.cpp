// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/managed_frames.h"

#include <array>
#include <span>

#include "spies/unwind/dotnet_epilog.h"

namespace agent::dotnet {
namespace {

using unwind::ManagedStep;

constexpr std::size_t kMethodsToCheck = 64;

// Registers that a function hands back as it got them: rbx, rbp, rsp, r12 to r15.
constexpr std::uint32_t kNonvolatile = 1u << 3 | 1u << 6 | 1u << 7 | 0xfu << 12;

}  // namespace

ManagedFrames::Check ManagedFrames::CheckLayout() {
  Check check;
  const auto methods = code_.SomeMethods(kMethodsToCheck);
  if (!methods) return check;
  for (const std::uint64_t method : *methods) {
    const auto name = names_.NameOf(method, false);
    // Nothing is wrong with a method that was made at run time, in a module without metadata.
    if (!name && name.error().code == Errc::kUnsupported) continue;
    ++check.methods;
    if (name) ++check.readable;
  }
  return check;
}

ManagedStep ManagedFrames::Step(const ThreadSnapshot& snapshot, bool is_exact, Registers& registers,
                                std::uint32_t& known, Stack& frames) {
  const std::uint64_t pc = registers.pc();
  const std::uint64_t address = is_exact ? pc : pc - 1;
  const CodeMap::Found found = code_.Find(address);
  switch (found.kind) {
    case CodeMap::Kind::kNone:
      return ManagedStep::kNotMine;
    case CodeMap::Kind::kStub:
      return ManagedStep::kStub;
    case CodeMap::Kind::kUnknown:
      frames.push_back({.function = unknown_});
      return ManagedStep::kLost;
    case CodeMap::Kind::kMethod:
      break;
  }
  const MethodCode& code = *found.code;
  const Function* const function = names_.NameOf(code.method_desc, found.stays).value_or(unknown_);
  if (function != nullptr) frames.push_back({.function = function});
  Result<bool> epilog = false;
  if (is_exact) {
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
    if ((code.unwind.needed() & ~known) != 0) return ManagedStep::kLost;
    const auto offset = static_cast<std::uint32_t>(pc - code.begin);
    if (!code.unwind.Undo(snapshot, offset, registers)) return ManagedStep::kTruncated;
    known |= code.unwind.restored();
  }
  known &= kNonvolatile;
  return ManagedStep::kCaller;
}

}  // namespace agent::dotnet
