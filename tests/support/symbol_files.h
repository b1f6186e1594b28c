// SPDX-License-Identifier: Apache-2.0
// The ELF files of tests/programs/symbols.
#pragma once

#include <fcntl.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/elf/elf_file.h"

namespace agent::testing {

inline std::string SymbolFilePath(const std::string& name) {
  return std::string(AGENT_SYMBOL_FILES) + "/" + name;
}

inline std::shared_ptr<const std::vector<std::byte>> BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto bytes = std::make_shared<std::vector<std::byte>>(text.size());
  std::memcpy(bytes->data(), text.data(), text.size());
  return bytes;
}

inline std::shared_ptr<const ElfFile> OpenElf(const std::string& path) {
  auto file = ElfFile::Open(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
  if (!file) throw std::runtime_error(file.error().Message());
  return std::make_shared<const ElfFile>(*std::move(file));
}

/// Where `label` is, by the symbol table of the symbol file `name`.
inline std::uint64_t AddressOf(const std::string& name, const std::string& label) {
  const auto range = OpenElf(SymbolFilePath(name))->FindSymbol(label);
  if (!range) throw std::runtime_error(label + " is not in " + name);
  return static_cast<std::uint64_t>(range->address);
}

inline UniqueFd OpenRoot(const std::string& path = "/") {
  return UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

/// A folder that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "agent-symbols-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Puts a copy of a file at `place` below the folder.
  void Copy(const std::string& from, const std::string& place) const {
    const std::filesystem::path to = std::filesystem::path(path_) / place;
    std::filesystem::create_directories(to.parent_path());
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  }
  void Write(const std::string& place, const std::string& text) const {
    const std::filesystem::path to = std::filesystem::path(path_) / place;
    std::filesystem::create_directories(to.parent_path());
    std::ofstream(to, std::ios::binary | std::ios::trunc) << text;
  }
  void Append(const std::string& place, const std::string& text) const {
    std::ofstream(std::filesystem::path(path_) / place, std::ios::binary | std::ios::app) << text;
  }

 private:
  std::string path_;
};

}  // namespace agent::testing
