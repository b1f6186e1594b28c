// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <algorithm>
#include <array>
#include <cstring>

#include "agent/process/registers.h"
#include "spies/unwind/machine_code.h"

namespace agent::unwind {
namespace {

std::uint8_t At(std::span<const std::byte> bytes, std::size_t i) {
  return static_cast<std::uint8_t>(bytes[i]);
}

bool StartsWith(std::span<const std::byte> bytes, std::span<const std::uint8_t> wanted) {
  return bytes.size() >= wanted.size() &&
         std::memcmp(bytes.data(), wanted.data(), wanted.size()) == 0;
}

// Length of "call r/m64" (FF /2) from its opcode on, by its ModRM and SIB bytes; 0 when it is not
// one.
std::size_t IndirectCallLength(std::uint8_t modrm, std::uint8_t sib) {
  if ((modrm >> 3 & 7) != 2) return 0;
  const unsigned mod = modrm >> 6;
  const unsigned rm = modrm & 7;
  if (mod == 3) return 2;
  std::size_t length = rm == 4 ? 3 : 2;
  if (mod == 1) length += 1;
  if (mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5)))) length += 4;
  return length;
}

// glibc's clone3 behind its system call, which has no call frame information: test rax, rax; jl;
// je; ret. In the parent nothing is pushed.
bool IsBehindClone(std::span<const std::byte> code) {
  constexpr std::array<int, 8> kPattern = {0x48, 0x85, 0xc0, 0x7c, -1, 0x74, -1, 0xc3};
  for (const std::size_t done : {0, 3, 5}) {
    const auto left = std::span(kPattern).subspan(done);
    const bool matches = code.size() >= left.size() &&
                         std::ranges::equal(left, code.first(left.size()), [](int a, std::byte b) {
                           return a < 0 || a == std::to_integer<int>(b);
                         });
    if (matches) return true;
  }
  return false;
}

}  // namespace

bool EndsWithCall(std::span<const std::byte> before) {
  const std::size_t size = before.size();
  if (size >= 5 && At(before, size - 5) == 0xe8) return true;
  for (std::size_t length = 2; length <= 7 && length <= size; ++length) {
    const std::size_t at = size - length;
    if (At(before, at) != 0xff) continue;
    const std::uint8_t sib = at + 2 < size ? At(before, at + 2) : 0;
    if (IndirectCallLength(At(before, at + 1), sib) == length) return true;
  }
  return false;
}

bool IsFirstOfChild(std::span<const std::byte> before, const Registers& registers) {
  // syscall; then glibc's test rax, rax; jl: up to where it tells that it is the child.
  constexpr std::array<std::uint8_t, 5> kCode = {0x0f, 0x05, 0x48, 0x85, 0xc0};
  constexpr std::size_t kSyscall = 2;
  constexpr std::size_t kJump = 2;
  constexpr std::uint8_t kJumpIfLess = 0x7c;
  constexpr std::size_t kRax = 0;
  if (registers.values[kRax] != 0) return false;
  for (const std::size_t size : {kSyscall, kCode.size(), kCode.size() + kJump}) {
    if (before.size() < size) break;
    const auto code = before.last(size);
    const auto wanted = std::span(kCode).first(std::min(size, kCode.size()));
    const bool has_jump = size <= kCode.size() || At(code, kCode.size()) == kJumpIfLess;
    if (StartsWith(code, wanted) && has_jump) return true;
  }
  return false;
}

bool IsSignalReturn(std::span<const std::byte> code) {
  // mov rax, 15 (or eax); syscall
  constexpr std::array<std::uint8_t, 9> kLong = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
  constexpr std::array<std::uint8_t, 7> kShort = {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};
  return StartsWith(code, kLong) || StartsWith(code, kShort);
}

std::span<const std::uint16_t> SignalFrameOffsets() {
  // struct ucontext: uc_mcontext at 40, in the order r8-r15 rdi rsi rbp rbx rdx rax rcx rsp rip
  // (arch/x86/include/uapi/asm/sigcontext.h).
  static constexpr std::array<std::uint16_t, RegisterNumbers::kCount> kOffsets = {
      144, 136, 152, 128, 112, 104, 120, 160, 40, 48, 56, 64, 72, 80, 88, 96, 168};
  return kOffsets;
}

FrameSetup SetupAt(std::span<const std::byte> before, std::span<const std::byte> after) {
  constexpr std::array<std::uint8_t, 1> kPushRbp = {0x55};
  constexpr std::array<std::uint8_t, 5> kEndbrPushRbp = {0xf3, 0x0f, 0x1e, 0xfa, 0x55};
  constexpr std::array<std::uint8_t, 3> kMovRbpRsp = {0x48, 0x89, 0xe5};
  constexpr std::array<std::uint8_t, 3> kMovRbpRsp2 = {0x48, 0x8b, 0xec};
  constexpr std::array<std::uint8_t, 1> kRet = {0xc3};
  constexpr std::array<std::uint8_t, 2> kPopRbpRet = {0x5d, 0xc3};
  constexpr FrameSetup kNotPushed = {.return_address = 0, .saved_fp = -1};
  constexpr FrameSetup kPushed = {.return_address = 8, .saved_fp = 0};
  if (StartsWith(after, kRet) || StartsWith(after, kEndbrPushRbp)) return kNotPushed;
  if (IsBehindClone(after)) return kNotPushed;
  if (StartsWith(after, kPopRbpRet)) return kPushed;
  const bool after_push = !before.empty() && At(before, before.size() - 1) == 0x55;
  if (StartsWith(after, kMovRbpRsp) || StartsWith(after, kMovRbpRsp2)) {
    return after_push ? kPushed : FrameSetup{};
  }
  // push rbp; mov rbp, rsp
  if (StartsWith(after, kPushRbp) &&
      (StartsWith(after.subspan(1), kMovRbpRsp) || StartsWith(after.subspan(1), kMovRbpRsp2))) {
    return kNotPushed;
  }
  return {};
}

std::uint64_t StripReturnAddress(std::uint64_t address) { return address; }

}  // namespace agent::unwind
#endif
