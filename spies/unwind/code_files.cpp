// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/code_files.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "agent/base/log.h"
#include "agent/process/registers.h"
#include "spies/unwind/code_scan.h"

namespace agent::unwind {
namespace {

constexpr std::uint64_t kPageMask = 4095;
constexpr std::uint64_t kMaxImage = 256u << 20;
constexpr std::size_t kMaxImageHeaders = 64;

Module ModuleOf(const std::string& path, const ElfFile& elf) {
  Module module{.path = path, .build_id = elf.BuildId()};
  for (const ElfSegment& segment : elf.load_segments()) {
    if (!segment.executable) continue;
    module.start = static_cast<std::uint64_t>(segment.address);
    module.end = module.start + segment.memory_size;
    module.file_offset = static_cast<std::uint64_t>(segment.offset);
    break;
  }
  return module;
}

// The file as far as the process has loaded it: each segment's memory at its place in the file.
Result<std::vector<std::byte>> ReadImage(ProcessMemory& memory, std::span<const Mapping> mappings) {
  const Mapping& first = mappings.front();
  AGENT_TRY(const auto header, memory.ReadValue<Elf64_Ehdr>(first.start));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phnum > kMaxImageHeaders ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return Fail(Errc::kMalformed, "no ELF header in memory");
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  AGENT_CHECK_OK(
      memory.Read(first.start.Plus(header.e_phoff), std::as_writable_bytes(std::span(segments))));
  const auto load = std::ranges::find(segments, Elf64_Word{PT_LOAD}, &Elf64_Phdr::p_type);
  if (load == segments.end()) return Fail(Errc::kMalformed, "no segment in memory");
  const std::uint64_t bias = first.start.value() - (load->p_vaddr & ~kPageMask);
  std::vector<std::byte> image;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD || segment.p_filesz == 0) continue;
    if (segment.p_offset > kMaxImage || segment.p_filesz > kMaxImage) {
      return Fail(Errc::kLimit, "image in memory is too large");
    }
    const std::size_t end = segment.p_offset + segment.p_filesz;
    if (image.size() < end) image.resize(end);
    const auto place = std::span(image).subspan(segment.p_offset, segment.p_filesz);
    if (const auto read = memory.Read(RemoteAddress(bias + segment.p_vaddr), place); !read) {
      if ((segment.p_flags & PF_X) != 0) return std::unexpected(read.error());
    }
  }
  if (image.size() < sizeof(header)) return Fail(Errc::kMalformed, "no segment in memory");
  // Sections that no segment loads are not there: do without their table, unless it is (the vdso).
  if (header.e_shoff + std::uint64_t{header.e_shnum} * header.e_shentsize > image.size()) {
    Elf64_Ehdr without = header;
    without.e_shoff = 0;
    without.e_shnum = 0;
    without.e_shstrndx = 0;
    std::memcpy(image.data(), &without, sizeof(without));
  }
  return image;
}

CodeTables MakeTables(const CodeFile& file) {
  CodeTables tables;
  const std::string& path = file.module().path;
  const Result<ElfFile> elf = file.source()->Open();
  if (!elf) return tables;
  Result<UnwindTable> frames = UnwindTable::Compile(*elf);
  if (frames) {
    tables.frames = *std::move(frames);
  } else {
    LogInfo("no unwind table for {}: {}", path, frames.error().Message());
  }
  if (tables.frames.malformed() > 0) {
    LogInfo("{} entries of the call frame information of {} make no sense",
            tables.frames.malformed(), path);
  }
  if (!file.eh_frame_header()) tables.fdes = MakeFdeIndex(*elf);
  // What is made of it (GoRule, go_stacks.h) holds for these frames alone: others go by
  // .debug_frame and frame pointers.
  if (!kCallPushes) return tables;
  Result<std::optional<GoPclntab>> go = GoPclntab::Find(*elf);
  if (go) {
    tables.go = *std::move(go);
  } else {
    LogInfo("the Go functions of {} are not known: {}", path, go.error().Message());
  }
  if (!tables.go) tables.scanned = ScanCode(*elf, tables.frames);
  return tables;
}

}  // namespace

CodeFile::CodeFile(Module module, std::shared_ptr<const ElfSource> source, const ElfFile& elf)
    : module_(std::move(module)), source_(std::move(source)) {
  std::ranges::copy_if(elf.load_segments(), std::back_inserter(code_), &ElfSegment::executable);
  if (const auto header = elf.FindSegment(PT_GNU_EH_FRAME)) eh_frame_header_ = header->address;
  is_go_ = kCallPushes && IsGo(elf);
  if (const auto section = elf.FindSection("__managedcode")) dotnet_ = *section;
}

CodeFiles::CodeFiles(ModuleListener& listener)
    : listener_(listener), thread_([this] { Compile(); }) {}

CodeFiles::~CodeFiles() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

Result<CodeFile*> CodeFiles::OfMapping(TargetProcess& process, const Mapping& mapping) {
  const auto known = by_id_.find({mapping.device, mapping.inode});
  if (known != by_id_.end()) return known->second;
  AGENT_TRY(UniqueFd file, process.OpenMappedFile(mapping));
  auto source = std::make_shared<const ElfSource>(std::move(file));
  AGENT_TRY(const ElfFile elf, source->Open());
  CodeFile* const added = Add(process, mapping.path, std::move(source), elf);
  // The open file keeps its inode from being used again.
  by_id_.emplace(FileId{mapping.device, mapping.inode}, added);
  return added;
}

Result<CodeFile*> CodeFiles::OfMemory(TargetProcess& process, std::span<const Mapping> image) {
  AGENT_TRY(std::vector<std::byte> bytes, ReadImage(process.memory(), image));
  auto shared = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  AGENT_TRY(const ElfFile elf, ElfFile::OpenBytes(shared));
  const std::string id = elf.BuildId();
  const std::string key = image.front().path + '\n' + id;
  if (const auto known = by_build_id_.find(key); known != by_build_id_.end()) return known->second;
  CodeFile* const added =
      Add(process, image.front().path, std::make_shared<const ElfSource>(std::move(shared)), elf);
  if (!id.empty()) by_build_id_.emplace(key, added);
  return added;
}

const Module* CodeFiles::AnonymousModule(TargetProcess& process) {
  const Module& module =
      anonymous_.emplace_back(Module{.path = "[anonymous code]", .build_id = {}});
  listener_.OnModule(module, nullptr, process);
  return &module;
}

CodeFile* CodeFiles::Add(TargetProcess& process, const std::string& path,
                         std::shared_ptr<const ElfSource> source, const ElfFile& elf) {
  CodeFile& file = files_.emplace_back(ModuleOf(path, elf), source, elf);
  listener_.OnModule(file.module(), std::move(source), process);
  {
    const std::lock_guard lock(mutex_);
    to_compile_.push_back(&file);
  }
  changed_.notify_one();
  return &file;
}

void CodeFiles::Compile() {
  while (true) {
    CodeFile* file = nullptr;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !to_compile_.empty(); });
      if (ending_) return;
      file = to_compile_.front();
      to_compile_.pop_front();
    }
    file->owned_tables_ = std::make_unique<const CodeTables>(MakeTables(*file));
    file->tables_.store(file->owned_tables_.get(), std::memory_order_release);
  }
}

}  // namespace agent::unwind
