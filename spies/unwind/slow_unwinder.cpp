// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/slow_unwinder.h"

#include <libunwind.h>

#include <array>
#include <cstring>
#include <span>

// In the library, but in no header of 1.6 (perf uses it as well).
extern "C" int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t ip,
                                                  unw_dyn_info_t* table, unw_proc_info_t* info,
                                                  int need_unwind_info, void* argument);

namespace agent::unwind {
namespace {

constexpr std::size_t kHashSize = 64;
// Of one Step. Real stacks need a few hundred for each frame; DWARF expressions can run in circles.
constexpr std::size_t kMaxAccesses = 1u << 18;

// .eh_frame_hdr, as linkers write it: a sorted table of pairs relative to its own address.
struct EhFrameHeader {
  std::uint8_t version;
  std::uint8_t frame_encoding;
  std::uint8_t count_encoding;
  std::uint8_t table_encoding;
  std::int32_t frame;
  std::uint32_t count;
};
// Where libunwind is told that an index of ours lies: no program has memory there.
constexpr std::uint64_t kIndexAddress = 0xffff'8000'0000'0000;
constexpr std::uint8_t kUdata4 = 0x03;
constexpr std::uint8_t kDataRelSdata4 = 0x3b;

}  // namespace

class SlowUnwinder::Impl {
 public:
  Impl(ProcessMemory& memory, const AddressSpace& space) : memory_(memory), space_(space) {
    unw_accessors_t accessors{};
    accessors.find_proc_info = FindProcInfo;
    accessors.put_unwind_info = [](unw_addr_space_t, unw_proc_info_t*, void*) {};
    accessors.get_dyn_info_list_addr = [](unw_addr_space_t, unw_word_t*, void*) {
      return -UNW_ENOINFO;
    };
    accessors.access_mem = AccessMemory;
    accessors.access_reg = AccessRegister;
    accessors.access_fpreg = [](unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) {
      return -UNW_EBADREG;
    };
    accessors.resume = [](unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; };
    accessors.get_proc_name = [](unw_addr_space_t, unw_word_t, char*, size_t, unw_word_t*, void*) {
      return -UNW_ENOINFO;
    };
    unwind_space_ = ::unw_create_addr_space(&accessors, 0);
    if (unwind_space_ != nullptr) ::unw_set_caching_policy(unwind_space_, UNW_CACHE_GLOBAL);
  }
  ~Impl() {
    if (unwind_space_ != nullptr) ::unw_destroy_addr_space(unwind_space_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::optional<Registers> Step(const ThreadSnapshot& snapshot, std::size_t count,
                                std::optional<std::uint64_t> sp) {
    if (unwind_space_ == nullptr) return std::nullopt;
    if (generation_ != space_.generation()) {
      generation_ = space_.generation();
      ::unw_flush_cache(unwind_space_, 0, 0);
    }
    snapshot_ = &snapshot;
    words_ = {};
    accesses_left_ = kMaxAccesses;
    unw_cursor_t cursor;
    if (::unw_init_remote(&cursor, unwind_space_, this) != 0) return std::nullopt;
    for (std::size_t i = 0; i < count; ++i) {
      unw_word_t own_sp = 0;
      if (sp && i + 1 == count &&
          (::unw_get_reg(&cursor, UNW_REG_SP, &own_sp) != 0 || own_sp != *sp)) {
        return std::nullopt;
      }
      if (::unw_step(&cursor) <= 0) return std::nullopt;
    }
    Registers registers;
    for (std::size_t i = 0; i < RegisterNumbers::kCount; ++i) {
      unw_word_t value = 0;
      if (::unw_get_reg(&cursor, static_cast<unw_regnum_t>(i), &value) == 0) {
        registers.values[i] = value;
      }
    }
    // On aarch64 the library has it where the return address was.
    unw_word_t ip = 0;
    if (::unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0) return std::nullopt;
    registers.values[RegisterNumbers::kPc] = ip;
    return registers;
  }

 private:
  static Impl& Self(void* argument) { return *static_cast<Impl*>(argument); }

  static int AccessRegister(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write,
                            void* argument) {
    const auto index = static_cast<std::size_t>(number);
    if (write != 0 || number < 0 || index >= RegisterNumbers::kCount) return -UNW_EBADREG;
    *value = Self(argument).snapshot_->registers.values[index];
    return 0;
  }

  static int AccessMemory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write,
                          void* argument) {
    if (write != 0) return -UNW_EINVAL;
    Impl& self = Self(argument);
    if (self.accesses_left_ == 0) return -UNW_EINVAL;
    --self.accesses_left_;
    if (address >= kIndexAddress) return self.ReadIndex(address - kIndexAddress, value);
    if (const auto word = self.snapshot_->ReadWord(address)) {
      *value = *word;
      return 0;
    }
    // Of the code's own tables, again and again.
    Word& known = self.words_[address / sizeof(std::uint64_t) % self.words_.size()];
    if (known.address != address || address == 0) {
      const auto word = self.memory_.ReadValue<std::uint64_t>(RemoteAddress(address));
      if (!word) return -UNW_EINVAL;
      known = {address, *word};
    }
    *value = known.value;
    return 0;
  }

  static int FindProcInfo(unw_addr_space_t unwind_space, unw_word_t ip, unw_proc_info_t* info,
                          int need_unwind_info, void* argument) {
    Impl& self = Self(argument);
    const CodeRegion* region = self.space_.Find(ip);
    if (region == nullptr || region->file == nullptr) return -UNW_ENOINFO;
    unw_dyn_info_t table{};
    table.start_ip = region->start;
    table.end_ip = region->end;
    table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
    const auto search = [&] {
      return UNW_OBJ(dwarf_search_unwind_table)(unwind_space, ip, &table, info, need_unwind_info,
                                                argument);
    };
    const auto header_address = region->file->eh_frame_header();
    if (!header_address) {
      const CodeTables* tables = region->file->tables();
      if (tables == nullptr || tables->fdes.entries.empty()) return -UNW_ENOINFO;
      self.index_ = tables->fdes.entries;
      table.u.rti.segbase = region->bias + tables->fdes.base;
      table.u.rti.table_data = kIndexAddress;
      table.u.rti.table_len = self.index_.size_bytes() / sizeof(unw_word_t);
      return search();
    }
    const std::uint64_t place = region->bias + static_cast<std::uint64_t>(*header_address);
    const auto header = self.memory_.ReadValue<EhFrameHeader>(RemoteAddress(place));
    if (!header || header->version != 1 || header->count_encoding != kUdata4 ||
        header->table_encoding != kDataRelSdata4) {
      return -UNW_ENOINFO;
    }
    table.u.rti.segbase = place;
    table.u.rti.table_data = place + sizeof(EhFrameHeader);
    table.u.rti.table_len = header->count * std::uint64_t{8} / sizeof(unw_word_t);
    return search();
  }

  // The entries of index_, as if they lay in memory like .eh_frame_hdr's.
  int ReadIndex(std::uint64_t offset, unw_word_t* value) const {
    if (offset % sizeof(unw_word_t) != 0 || offset >= index_.size_bytes()) return -UNW_EINVAL;
    static_assert(sizeof(FdeReference) == sizeof(unw_word_t));
    std::memcpy(value, &index_[offset / sizeof(FdeReference)], sizeof(*value));
    return 0;
  }

  struct Word {
    std::uint64_t address = 0;
    std::uint64_t value = 0;
  };

  ProcessMemory& memory_;
  const AddressSpace& space_;
  unw_addr_space_t unwind_space_ = nullptr;
  std::uint32_t generation_ = 0;
  const ThreadSnapshot* snapshot_ = nullptr;
  std::array<Word, kHashSize> words_;
  std::size_t accesses_left_ = 0;
  std::span<const FdeReference> index_;  // of the file that libunwind is searching
};

SlowUnwinder::SlowUnwinder(ProcessMemory& memory, const AddressSpace& space)
    : impl_(std::make_unique<Impl>(memory, space)) {}
SlowUnwinder::~SlowUnwinder() = default;

std::optional<Registers> SlowUnwinder::Step(const ThreadSnapshot& snapshot, std::size_t count,
                                            std::optional<std::uint64_t> sp) {
  return impl_->Step(snapshot, count, sp);
}

}  // namespace agent::unwind
