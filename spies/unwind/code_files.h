// SPDX-License-Identifier: Apache-2.0
// The files that code is mapped from, and their unwind tables, shared by all processes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/elf_file.h"
#include "agent/elf/go_pclntab.h"
#include "agent/process/target_process.h"
#include "agent/profile/frame.h"
#include "spies/unwind/eh_frame.h"
#include "spies/unwind/go_rules.h"
#include "spies/unwind/unwind_table.h"

namespace agent::unwind {

/// What the unwinder knows of a file's code. Immutable.
struct CodeTables {
  UnwindTable frames;
  UnwindTable scanned;  ///< Of code that `frames` does not describe (ScanCode).
  std::optional<GoPclntab> go;
  FdeIndex fdes;  ///< For libunwind, where the file has no .eh_frame_hdr.

  /// Go's own table first: .debug_frame knows nothing of stacks that are switched.
  [[nodiscard]] UnwindRule RuleAt(ElfAddress address) const {
    if (const auto rule = go ? GoRule(*go, address) : std::nullopt) return *rule;
    return frames.Find(address);
  }
};

/// One file (or image in memory) with code. Lives as long as CodeFiles.
class CodeFile {
 public:
  CodeFile(Module module, std::shared_ptr<const ElfSource> source, const ElfFile& elf);

  [[nodiscard]] const Module& module() const { return module_; }
  [[nodiscard]] const std::shared_ptr<const ElfSource>& source() const { return source_; }
  /// Where the byte at `offset` of the file has its address as code; nothing when no executable
  /// segment loads it.
  [[nodiscard]] std::optional<ElfAddress> CodeAddressOf(FileOffset offset) const {
    return agent::CodeAddressOf(code_, offset);
  }
  /// Null while it is being compiled. Any thread.
  [[nodiscard]] const CodeTables* tables() const { return tables_.load(std::memory_order_acquire); }
  [[nodiscard]] std::optional<ElfAddress> eh_frame_header() const { return eh_frame_header_; }
  /// Whether goroutines are to be copied (CopyGoroutine). Known before the tables are.
  [[nodiscard]] bool is_go() const { return is_go_; }
  /// Whether it is .NET's, compiled ahead of time: nothing describes its epilogs.
  [[nodiscard]] bool IsDotnet(ElfAddress address) const { return dotnet_.Contains(address); }

 private:
  friend class CodeFiles;

  const Module module_;
  const std::shared_ptr<const ElfSource> source_;
  std::vector<ElfSegment> code_;  // the executable ones
  std::optional<ElfAddress> eh_frame_header_;
  bool is_go_ = false;
  ElfRange dotnet_;                                 // empty: none
  std::unique_ptr<const CodeTables> owned_tables_;  // the compiling thread's
  std::atomic<const CodeTables*> tables_{nullptr};
};

/// Told of each module before any frame can name it. `elf` is null for code without a file.
class ModuleListener {
 public:
  virtual ~ModuleListener() = default;
  virtual void OnModule(const Module& module, std::shared_ptr<const ElfSource> elf,
                        TargetProcess& process) = 0;
};

/// All methods are the sampling thread's. Tables are compiled on a thread of this class's own.
class CodeFiles {
 public:
  /// `listener` outlives it.
  explicit CodeFiles(ModuleListener& listener);
  ~CodeFiles();
  CodeFiles(const CodeFiles&) = delete;
  CodeFiles& operator=(const CodeFiles&) = delete;

  /// The file behind a mapping. Opens it at the first call; kUnreadable, kMalformed as
  /// TargetProcess::OpenMappedFile and ElfFile::Open say.
  Result<CodeFile*> OfMapping(TargetProcess& process, const Mapping& mapping);
  /// The code of an image that is in the process's memory only: the vdso, a deleted file. `image`
  /// are its mappings in order, from the one of its ELF header on.
  Result<CodeFile*> OfMemory(TargetProcess& process, std::span<const Mapping> image);
  /// Code without a file (a JIT compiler's): a module of its own for each process.
  const Module* AnonymousModule(TargetProcess& process);

 private:
  using FileId = std::pair<std::uint64_t, std::uint64_t>;  // device, inode

  CodeFile* Add(TargetProcess& process, const std::string& path,
                std::shared_ptr<const ElfSource> source, const ElfFile& elf);
  void Compile();

  ModuleListener& listener_;
  std::deque<CodeFile> files_;
  std::deque<Module> anonymous_;
  std::map<FileId, CodeFile*> by_id_;
  std::map<std::string, CodeFile*> by_build_id_;  // of images in memory: path and build id

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<CodeFile*> to_compile_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace agent::unwind
