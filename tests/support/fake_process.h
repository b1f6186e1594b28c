// SPDX-License-Identifier: Apache-2.0
// A target for unit tests: memory, mappings and files as a test puts them.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/process/target_process.h"
#include "tests/support/fake_memory.h"

namespace agent::testing {

using SharedBytes = std::shared_ptr<const std::vector<std::byte>>;

class FakeProcess final : public TargetProcess {
 public:
  FakeMemory fake_memory;
  std::vector<Mapping> mappings;

  /// Maps a whole file as code.
  void MapFile(std::uint64_t start, const SharedBytes& bytes) {
    const std::uint64_t inode = files_.size() + 1;
    Map(start, bytes->size(), inode, "/lib/" + std::to_string(inode));
    files_[inode] = bytes;
    for (std::size_t i = 0; i < bytes->size(); ++i) fake_memory.Put(start + i, (*bytes)[i]);
  }
  /// Maps code without a file, all zero.
  void MapAnonymous(std::uint64_t start, std::uint64_t size) {
    Map(start, size, 0, "");
    for (std::uint64_t i = 0; i < size; ++i) fake_memory.Put(start + i, std::byte{});
  }

  [[nodiscard]] Pid pid() const override { return Pid{1}; }
  [[nodiscard]] ProcessMemory& memory() override { return fake_memory; }
  Result<std::vector<Mapping>> ReadMappings() override { return mappings; }
  Result<UniqueFd> OpenMappedFile(const Mapping& mapping) override {
    const auto found = files_.find(mapping.inode);
    if (found == files_.end()) return Fail(Errc::kUnreadable, "no such file");
    UniqueFd file(::memfd_create("fake", MFD_CLOEXEC));
    const std::vector<std::byte>& bytes = *found->second;
    if (!file.valid() ||
        ::pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      return FailErrno("memfd_create");
    }
    return file;
  }
  [[nodiscard]] bool IsStillMapped(const Mapping&) override { return true; }
  Result<UniqueFd> OpenRoot() override { return Fail(Errc::kUnreadable, "no root"); }

 private:
  void Map(std::uint64_t start, std::uint64_t size, std::uint64_t inode, std::string path) {
    constexpr std::uint64_t kPage = 4096;
    mappings.push_back({.start = RemoteAddress(start),
                        .end = RemoteAddress(start + (size + kPage - 1) / kPage * kPage),
                        .readable = true,
                        .executable = true,
                        .inode = inode,
                        .path = std::move(path)});
  }

  std::map<std::uint64_t, SharedBytes> files_;
};

}  // namespace agent::testing
