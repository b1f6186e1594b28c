// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)
#include <array>
#include <cstring>

#include "agent/process/registers.h"
#include "spies/unwind/machine_code.h"

namespace agent::unwind {
namespace {

std::uint32_t InstructionAt(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t instruction = 0;
  if (offset + sizeof(instruction) <= bytes.size()) {
    std::memcpy(&instruction, bytes.data() + offset, sizeof(instruction));
  }
  return instruction;
}

// struct rt_sigframe: siginfo (128 bytes), then ucontext with uc_mcontext at 176, in it the fault
// address and x0-x30, sp, pc (arch/arm64/include/uapi/asm/{ucontext,sigcontext}.h).
constexpr std::uint16_t kFirstRegister = 128 + 176 + 8;

constexpr auto kSignalOffsets = [] {
  std::array<std::uint16_t, RegisterNumbers::kCount> offsets{};
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = static_cast<std::uint16_t>(kFirstRegister + 8 * i);
  }
  return offsets;
}();

}  // namespace

bool EndsWithCall(std::span<const std::byte> before) {
  if (before.size() < 4) return false;
  const std::uint32_t last = InstructionAt(before, before.size() - 4);
  const bool is_bl = (last & 0xfc000000) == 0x94000000;
  const bool is_blr = (last & 0xfffffc1f) == 0xd63f0000;
  const bool is_signed_blr = (last & 0xfefff800) == 0xd63f0800;
  return is_bl || is_blr || is_signed_blr;
}

bool IsFirstOfChild(std::span<const std::byte> before, const Registers& registers) {
  constexpr std::uint32_t kSvc = 0xd4000001;
  return registers.values[0] == 0 && before.size() >= 4 &&
         InstructionAt(before, before.size() - 4) == kSvc;
}

bool IsSignalReturn(std::span<const std::byte> code) {
  // mov x8, #139; svc #0
  return code.size() >= 8 && InstructionAt(code, 0) == 0xd2801168 &&
         InstructionAt(code, 4) == 0xd4000001;
}

std::span<const std::uint16_t> SignalFrameOffsets() { return kSignalOffsets; }

FrameSetup SetupAt(std::span<const std::byte> before, std::span<const std::byte> after) {
  constexpr FrameSetup kInLinkRegister = {.in_link_register = true};
  constexpr FrameSetup kPushed = {.return_address = 8, .saved_fp = 0};
  constexpr std::uint32_t kMovFpSp = 0x910003fd;
  const auto is_entry = [](std::uint32_t instruction) {  // bti c, paciasp, pacibsp
    return instruction == 0xd503245f || instruction == 0xd503233f || instruction == 0xd503237f;
  };
  const auto is_push = [](std::uint32_t instruction) {  // stp x29, x30, [sp, #N]!
    return (instruction & 0xffc07fff) == 0xa9807bfd;
  };
  const auto is_return = [](std::uint32_t instruction) {  // ret, retaa, retab
    return instruction == 0xd65f03c0 || instruction == 0xd65f0bff || instruction == 0xd65f0fff;
  };
  const auto is_authentication = [](std::uint32_t instruction) {  // autiasp, autibsp
    return instruction == 0xd50323bf || instruction == 0xd50323ff;
  };
  const std::uint32_t first = InstructionAt(after, 0);
  if (is_entry(first) || is_push(first) || is_return(first) ||
      (is_authentication(first) && is_return(InstructionAt(after, 4)))) {
    return kInLinkRegister;
  }
  if (first == kMovFpSp && before.size() >= 4 &&
      is_push(InstructionAt(before, before.size() - 4))) {
    return kPushed;
  }
  return {};
}

std::uint64_t StripReturnAddress(std::uint64_t address) {
  // The authentication code lies above the address bits; user addresses have at most 52, in
  // practice 48 of them.
  return address & ((std::uint64_t{1} << 48) - 1);
}

}  // namespace agent::unwind
#endif
