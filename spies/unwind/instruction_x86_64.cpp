// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <algorithm>
#include <array>

#include "agent/base/byte_reader.h"
#include "agent/process/registers.h"
#include "spies/unwind/instruction.h"

namespace agent::unwind {
namespace {

using Kind = InstructionKind;
using Numbers = RegisterNumbers;

// The processor's numbers of registers, and DWARF's for them.
constexpr unsigned kSp = 4;
constexpr unsigned kFp = 5;
constexpr std::array<std::uint8_t, 8> kDwarfNumber = {0, 2, 1, 3, 7, 6, 4, 5};

std::uint8_t DwarfNumber(unsigned number) {
  return number < kDwarfNumber.size() ? kDwarfNumber[number] : static_cast<std::uint8_t>(number);
}

enum class Map : std::uint8_t { kOneByte, k0f, k0f38, k0f3a };

class Decoder {
 public:
  Decoder(std::span<const std::byte> code, std::uint64_t address)
      : reader_(code.first(std::min(code.size(), kLongestInstruction))), address_(address) {}

  std::optional<Instruction> Run() {
    ReadPrefixes();
    ReadOpcode();
    if (is_bad_) return std::nullopt;
    if (HasModRm()) ReadModRm();
    ReadImmediate();
    if (is_bad_ || !reader_.ok()) return std::nullopt;
    result_.length = static_cast<std::uint8_t>(reader_.position());
    result_.target = address_ + result_.length + static_cast<std::uint64_t>(immediate_);
    if (is_vector_) {
      DescribeVector();
    } else if (map_ == Map::kOneByte) {
      DescribeOneByte();
    } else if (map_ == Map::k0f) {
      Describe0f();
    } else if (map_ == Map::k0f38 && (opcode_ & 0xf0) == 0xf0) {  // crc32, movbe, adcx
      Write(reg_);
    }
    return result_;
  }

 private:
  void ReadPrefixes() {
    while (reader_.ok() && !reader_.AtEnd()) {
      opcode_ = reader_.Read<std::uint8_t>();
      switch (opcode_) {
        case 0x66:
          has_66_ = true;
          break;
        case 0x67:
          has_67_ = true;
          break;
        case 0xf2:
        case 0xf3:
          has_repeat_ = true;
          break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0xf0:
          break;
        default:
          if ((opcode_ & 0xf0) == 0x40) {  // REX: the last prefix
            rex_ = opcode_;
            opcode_ = reader_.Read<std::uint8_t>();
          }
          return;
      }
    }
    is_bad_ = true;
  }

  void ReadOpcode() {
    if (opcode_ == 0xc5) {
      is_vector_ = true;
      rex_ = (~static_cast<unsigned>(reader_.Read<std::uint8_t>()) >> 5) & 4;  // its R
      map_ = Map::k0f;
      opcode_ = reader_.Read<std::uint8_t>();
    } else if (opcode_ == 0xc4 || opcode_ == 0x62) {
      const bool is_evex = opcode_ == 0x62;
      is_vector_ = true;
      const unsigned first = reader_.Read<std::uint8_t>();
      reader_.Skip(is_evex ? 2 : 1);
      rex_ = ~first >> 5 & 7;  // R, X, B
      const unsigned map = first & (is_evex ? 7 : 31);
      is_bad_ = map == 0 || map == 4 || map > 6 || (!is_evex && map > 3);
      map_ = map == 3 ? Map::k0f3a : (map == 1 || map == 5 ? Map::k0f : Map::k0f38);
      opcode_ = reader_.Read<std::uint8_t>();
    } else if (opcode_ == 0x0f) {
      map_ = Map::k0f;
      opcode_ = reader_.Read<std::uint8_t>();
      if (opcode_ == 0x38 || opcode_ == 0x3a) {
        map_ = opcode_ == 0x38 ? Map::k0f38 : Map::k0f3a;
        opcode_ = reader_.Read<std::uint8_t>();
      }
    }
    if (map_ == Map::kOneByte) is_bad_ = is_bad_ || IsInvalid(opcode_);
  }

  static bool IsInvalid(unsigned opcode) {
    if (opcode < 0x40) return (opcode & 7) >= 6;
    constexpr std::array<std::uint8_t, 10> kInvalid = {0x60, 0x61, 0x82, 0x9a, 0xce,
                                                       0xd4, 0xd5, 0xd6, 0xea, 0xc8};
    return std::ranges::find(kInvalid, opcode) != kInvalid.end();
  }

  [[nodiscard]] bool HasModRm() const {
    if (map_ == Map::k0f38 || map_ == Map::k0f3a) return true;
    const unsigned high = opcode_ >> 4;
    if (map_ == Map::k0f) {
      if (opcode_ == 0x77) return false;
      if (is_vector_) return true;
      if (high == 3 || high == 8 || opcode_ >> 3 == 0x19) return false;
      constexpr std::array<std::uint8_t, 12> kNone = {0x05, 0x06, 0x07, 0x08, 0x09, 0x0b,
                                                      0x0e, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9};
      return std::ranges::find(kNone, opcode_) == kNone.end() && opcode_ != 0xaa;
    }
    if (opcode_ < 0x40) return (opcode_ & 7) < 4;
    constexpr std::array<std::uint8_t, 10> kSome = {0x63, 0x69, 0x6b, 0xc0, 0xc1,
                                                    0xc6, 0xc7, 0xf6, 0xf7, 0xfe};
    return high == 8 || (opcode_ >= 0xd0 && opcode_ <= 0xd3) || opcode_ >> 3 == 0x1b ||
           opcode_ == 0xff || std::ranges::find(kSome, opcode_) != kSome.end();
  }

  void ReadModRm() {
    const unsigned modrm = reader_.Read<std::uint8_t>();
    mod_ = modrm >> 6;
    extension_ = modrm >> 3 & 7;
    reg_ = extension_ | (rex_ & 4) << 1;
    rm_ = modrm & 7;
    const unsigned low = rm_;
    if (mod_ != 3 && low == 4) {
      const unsigned sib = reader_.Read<std::uint8_t>();
      const bool has_index = (sib >> 3 & 7) != 4 || (rex_ & 2) != 0;
      rm_ = sib & 7;
      if (mod_ == 0 && rm_ == 5) {
        reader_.Skip(4);
        return;
      }
      if (!has_index) base_ = rm_ | (rex_ & 1) << 3;
    } else if (mod_ == 0 && low == 5) {
      displacement_ = reader_.Read<std::int32_t>();
      is_relative_ = true;  // to the next instruction
      return;
    } else if (mod_ != 3) {
      base_ = rm_ | (rex_ & 1) << 3;
    }
    rm_ |= (rex_ & 1) << 3;
    if (mod_ == 1) displacement_ = std::int32_t{reader_.Read<std::int8_t>()};
    if (mod_ == 2) displacement_ = reader_.Read<std::int32_t>();
  }

  void ReadImmediate() {
    switch (ImmediateSize()) {
      case 1:
        immediate_ = std::int64_t{std::int32_t{reader_.Read<std::int8_t>()}};
        break;
      case 2:
        immediate_ = reader_.Read<std::int16_t>();
        break;
      case 4:
        immediate_ = reader_.Read<std::int32_t>();
        break;
      case 8:
        immediate_ = reader_.Read<std::int64_t>();
        break;
      default:
        break;
    }
  }

  [[nodiscard]] bool is_wide() const { return (rex_ & 8) != 0; }

  [[nodiscard]] unsigned ImmediateSize() const {
    const unsigned full = has_66_ && !is_wide() ? 2 : 4;
    if (map_ == Map::k0f3a) return 1;
    if (map_ == Map::k0f38) return 0;
    if (map_ == Map::k0f) {
      if (!is_vector_ && opcode_ >> 4 == 8) return 4;
      constexpr std::array<std::uint8_t, 12> kByte = {0x0f, 0x70, 0x71, 0x72, 0x73, 0xa4,
                                                      0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6};
      return std::ranges::find(kByte, opcode_) != kByte.end() ? 1 : 0;
    }
    if (opcode_ < 0x40) return (opcode_ & 7) == 4 ? 1 : ((opcode_ & 7) == 5 ? full : 0);
    if (opcode_ >> 4 == 7 || opcode_ >> 3 == 0x16) return 1;  // jcc, mov to a byte
    if (opcode_ >> 3 == 0x17) return is_wide() ? 8 : full;    // mov
    if (opcode_ >= 0xa0 && opcode_ <= 0xa3) return has_67_ ? 4 : 8;
    if (opcode_ >= 0xe0 && opcode_ <= 0xe7) return 1;
    switch (opcode_) {
      case 0x6a:
      case 0x6b:
      case 0x80:
      case 0x83:
      case 0xa8:
      case 0xc0:
      case 0xc1:
      case 0xc6:
      case 0xcd:
      case 0xeb:
        return 1;
      case 0x68:
      case 0x69:
      case 0x81:
      case 0xa9:
      case 0xc7:
        return full;
      case 0xe8:
      case 0xe9:
        return 4;
      case 0xc2:
      case 0xca:
        return 2;
      case 0xf6:
        return extension_ < 2 ? 1 : 0;
      case 0xf7:
        return extension_ < 2 ? full : 0;
      default:
        return 0;
    }
  }

  void Write(unsigned number) {
    const std::uint8_t dwarf = DwarfNumber(number);
    if (dwarf == Numbers::kSp || dwarf == Numbers::kFp || dwarf == Numbers::kExtra) {
      result_.writes |= 1u << dwarf;
    }
  }
  void WriteOperand() {
    if (mod_ == 3) Write(rm_);
  }
  void Is(Kind kind, std::int64_t value = 0) {
    result_.kind = kind;
    result_.value = static_cast<std::int32_t>(value);
  }

  void DescribeOneByte() {
    const unsigned low = opcode_ & 7;
    if (opcode_ < 0x40) {
      DescribeArithmetic();
    } else if (opcode_ >> 4 == 5) {
      // With 66 it is half a word: such code is left alone.
      if (has_66_) Write(kSp);
      Is(opcode_ < 0x58 ? Kind::kPush : Kind::kPop);
      result_.number = DwarfNumber(low | (rex_ & 1) << 3);
    } else if (opcode_ >> 4 == 7 || (opcode_ >= 0xe0 && opcode_ <= 0xe3)) {
      Is(Kind::kJumpIf);
    } else if (opcode_ >> 3 == 0x12) {
      if (opcode_ == 0x90 && (rex_ & 1) == 0) {
        Is(Kind::kPadding);
      } else {
        Write(0);
        Write(low | (rex_ & 1) << 3);
      }
    } else if (opcode_ >> 3 == 0x17) {
      Write(low | (rex_ & 1) << 3);
    } else {
      DescribeOthers();
    }
  }

  // add or adc sbb and sub xor cmp, of registers
  void DescribeArithmetic() {
    const unsigned operation = opcode_ >> 3;
    const unsigned form = opcode_ & 7;
    constexpr unsigned kXor = 6;
    constexpr unsigned kCompare = 7;
    if (operation == kCompare || form == 0 || form == 2) return;  // bytes: none of ours
    if (operation == kXor && mod_ == 3 && reg_ == kFp && rm_ == kFp && form < 4) {
      Is(Kind::kClearFp);
    } else if (form == 1) {
      WriteOperand();
    } else if (form == 3) {
      Write(reg_);
    }
  }

  void DescribeOthers() {
    switch (opcode_) {
      case 0x63:
      case 0x69:
      case 0x6b:
        Write(reg_);
        break;
      case 0x68:
      case 0x6a:
      case 0x9c:
        if (has_66_) Write(kSp);
        Is(Kind::kPush);
        break;
      case 0x81:
      case 0x83:
        DescribeImmediateArithmetic();
        break;
      case 0x87:
        Write(reg_);
        WriteOperand();
        break;
      case 0x89:
        if (mod_ == 3 && rm_ == kFp && reg_ == kSp && is_wide()) {
          Is(Kind::kFpFromSp);
        } else if (mod_ == 3 && rm_ == kSp && reg_ == kFp && is_wide()) {
          Is(Kind::kSpFromFp);
        } else if (mod_ == 3) {
          Write(rm_);
        } else {
          Access(Kind::kStore);
        }
        break;
      case 0x8b:
        if (mod_ == 3 && reg_ == kFp && rm_ == kSp && is_wide()) {
          Is(Kind::kFpFromSp);
        } else if (mod_ == 3 && reg_ == kSp && rm_ == kFp && is_wide()) {
          Is(Kind::kSpFromFp);
        } else if (mod_ == 3 || !Access(Kind::kLoad)) {
          Write(reg_);
        }
        break;
      case 0x8d:
        DescribeLea();
        break;
      case 0x8f:
        Is(Kind::kPop);
        if (mod_ == 3) result_.number = DwarfNumber(rm_);
        break;
      case 0x9d:
        Is(Kind::kPop);
        break;
      case 0xc1:
      case 0xc7:
      case 0xd1:
      case 0xd3:
        WriteOperand();
        break;
      case 0xc2:
      case 0xc3:
      case 0xca:
      case 0xcb:
      case 0xcf:
        Is(Kind::kReturn);
        break;
      case 0xc9:
        Is(Kind::kLeave);
        break;
      case 0xcc:
      case 0xf4:
        Is(Kind::kStop);
        break;
      case 0xe8:
        Is(Kind::kCall);
        break;
      case 0xe9:
      case 0xeb:
        Is(Kind::kJump);
        break;
      case 0xf7:
        if (extension_ == 2 || extension_ == 3) WriteOperand();
        break;
      case 0xff:
        Describe0xff();
        break;
      default:
        break;
    }
  }

  void DescribeImmediateArithmetic() {
    constexpr unsigned kAdd = 0;
    constexpr unsigned kSubtract = 5;
    constexpr unsigned kCompare = 7;
    if (mod_ == 3 && rm_ == kSp && is_wide() && extension_ == kAdd) {
      Is(Kind::kMoveSp, immediate_);
    } else if (mod_ == 3 && rm_ == kSp && is_wide() && extension_ == kSubtract) {
      Is(Kind::kMoveSp, -immediate_);
    } else if (extension_ != kCompare) {
      WriteOperand();
    }
  }

  void DescribeLea() {
    if (reg_ == kSp && base_ == kSp && is_wide()) {
      Is(Kind::kMoveSp, displacement_);
    } else if (reg_ == kSp && base_ == kFp && is_wide()) {
      Is(Kind::kSpFromFp, displacement_);
    } else if (reg_ == kFp && base_ == kSp && is_wide()) {
      Is(Kind::kFpFromSp, displacement_);
    } else {
      Write(reg_);
      if (!is_relative_) return;
      Is(Kind::kAddress);
      result_.target = address_ + result_.length + static_cast<std::uint64_t>(displacement_);
    }
  }

  // A whole word on the stack.
  bool Access(Kind kind) {
    if (!is_wide() || (base_ != kSp && base_ != kFp) || reg_ == kSp) return false;
    Is(kind, displacement_);
    result_.number = DwarfNumber(reg_);
    result_.base = DwarfNumber(base_);
    return true;
  }

  void Describe0xff() {
    switch (extension_) {
      case 0:
      case 1:
        WriteOperand();
        break;
      case 2:
      case 3:
        Is(Kind::kCallIndirect);
        break;
      case 4:
      case 5:
        Is(is_relative_ ? Kind::kTailCall : Kind::kJumpIndirect);
        break;
      case 6:
        Is(Kind::kPush);
        if (mod_ == 3) result_.number = DwarfNumber(rm_);
        break;
      default:
        break;
    }
  }

  void Describe0f() {
    const unsigned high = opcode_ >> 4;
    if (high == 8) {
      Is(Kind::kJumpIf);
    } else if (high == 4) {
      Write(reg_);  // cmov
    } else if (opcode_ >> 3 == 0x19) {
      Write((opcode_ & 7) | (rex_ & 1) << 3);  // bswap
    } else {
      switch (opcode_) {
        case 0x0b:  // ud2
        case 0xb9:
        case 0xff:
          Is(Kind::kStop);
          break;
        case 0x1e:  // endbr64, or nothing
        case 0x1f:
          Is(opcode_ == 0x1f ? Kind::kPadding : Kind::kMarker);
          break;
        case 0x2c:
        case 0x2d:
        case 0x50:
        case 0xaf:
        case 0xb6:
        case 0xb7:
        case 0xb8:
        case 0xbc:
        case 0xbd:
        case 0xbe:
        case 0xbf:
        case 0xc5:
        case 0xd7:
          Write(reg_);
          break;
        case 0x7e:
          if (!has_repeat_) WriteOperand();
          break;
        case 0xa4:
        case 0xa5:
        case 0xac:
        case 0xad:
        case 0xab:
        case 0xb3:
        case 0xbb:
        case 0xba:
        case 0xb1:
          WriteOperand();
          break;
        case 0xa2:  // cpuid
          result_.writes |= 1u << Numbers::kExtra;
          break;
        case 0xc1:
          Write(reg_);
          WriteOperand();
          break;
        default:
          break;
      }
    }
  }

  // Those that may have a general register for their result; which do is not looked at closely.
  void DescribeVector() {
    if (map_ == Map::k0f38 && (opcode_ & 0xf0) == 0xf0) Write(reg_);  // andn, bextr, shlx, ...
    if (map_ == Map::k0f3a && opcode_ == 0xf0) Write(reg_);           // rorx
    if (map_ == Map::k0f3a && opcode_ >> 2 == 5) WriteOperand();      // extractions
    if (map_ == Map::k0f) {
      constexpr std::array<std::uint8_t, 5> kToRegister = {0x2c, 0x2d, 0x50, 0xc5, 0xd7};
      if (std::ranges::find(kToRegister, opcode_) != kToRegister.end()) Write(reg_);
      if (opcode_ == 0x7e) WriteOperand();
    }
  }

  static constexpr unsigned kNoBase = 0xff;

  ByteReader reader_;
  std::uint64_t address_;
  Instruction result_;
  bool is_bad_ = false;
  bool has_66_ = false;
  bool has_67_ = false;
  bool has_repeat_ = false;
  bool is_vector_ = false;
  bool is_relative_ = false;
  unsigned rex_ = 0;
  unsigned opcode_ = 0;
  Map map_ = Map::kOneByte;
  unsigned mod_ = 0;
  unsigned extension_ = 0;  // the middle bits of ModRM: an operation's second half
  unsigned reg_ = 0;
  unsigned rm_ = 0;
  unsigned base_ = kNoBase;
  std::int32_t displacement_ = 0;
  std::int64_t immediate_ = 0;
};

}  // namespace

std::optional<Instruction> Decode(std::span<const std::byte> code, std::uint64_t address) {
  return Decoder(code, address).Run();
}

}  // namespace agent::unwind
#endif
