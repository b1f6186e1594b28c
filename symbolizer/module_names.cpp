// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/module_names.h"

#include <gelf.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "agent/base/path.h"
#include "symbolizer/debug_files.h"
#include "symbolizer/demangle.h"
#include "symbolizer/dwarf_names.h"
#include "symbolizer/elf_sections.h"
#include "symbolizer/go_names.h"
#include "symbolizer/mini_debug_info.h"
#include "symbolizer/native_aot_names.h"
#include "symbolizer/symbol_index.h"

namespace agent {
namespace {

bool HasSymtab(const ElfFile& file) {
  return std::ranges::any_of(ReadSectionHeaders(file), [](const SectionHeader& header) {
    return header.type == SHT_SYMTAB && header.size > 0;
  });
}

// Brings a debug file; null when it is not here.
using Fetch = std::function<std::shared_ptr<const ElfFile>(const std::string& build_id)>;

std::unique_ptr<NameSource> OpenDwarf(const DebugFile& file, const CodeRanges& code,
                                      const DebugFiles& files, const Fetch& fetch) {
  std::shared_ptr<const ElfFile> alt;
  if (const auto link = ReadAltLink(*file.elf)) {
    alt = files.FindAlt(link->path, link->build_id, file);
    if (alt == nullptr) alt = fetch(link->build_id);
  }
  std::optional<std::string> split_folder;
  if (files.shares_our_root() && !file.downloaded) split_folder = FolderOf(file.path);
  return DwarfNames::Open(file.elf, std::move(alt), code, std::move(split_folder));
}

}  // namespace

ModuleNames::ModuleNames(const ElfSource& elf, const std::string& path, const UniqueFd& root,
                         DebugFetcher* fetcher) {
  auto opened = elf.Open();
  if (!opened) return;
  readable_ = true;
  DebugFile main{.elf = std::make_shared<const ElfFile>(*std::move(opened)), .path = path};
  const CodeRanges code(*main.elf);
  const DebugFiles files(root);
  const Fetch fetch = [&](const std::string& build_id) -> std::shared_ptr<const ElfFile> {
    if (fetcher == nullptr || build_id.empty()) return nullptr;
    std::shared_ptr<const ElfFile> found = fetcher->Find(build_id);
    if (found == nullptr) awaited_.push_back(build_id);
    return found;
  };
  aot_code_ = main.elf->FindSection("__managedcode").value_or(ElfRange{});
  aot_assembly_ = AotAssemblyOf(path);
  auto go = GoNames::Open(*main.elf);
  std::optional<DebugFile> debug;
  if (!HasDwarf(*main.elf)) {
    debug = files.Find(*main.elf, path);
    if (!debug && !go && !HasSymtab(*main.elf)) {
      const std::string build_id = BuildIdOf(*main.elf);
      if (auto fetched = fetch(build_id)) {
        debug = {
            .elf = std::move(fetched), .path = InstalledDebugPath(build_id), .downloaded = true};
      }
    }
  }

  auto symbols = std::make_unique<SymbolIndex>(code);
  symbols->Add(main.elf);
  if (debug) symbols->Add(debug->elf);
  const bool has_symtab = HasSymtab(*main.elf) || (debug && HasSymtab(*debug->elf));
  auto mini = has_symtab ? nullptr : ReadMiniDebugInfo(*main.elf);
  const bool has_mini = mini != nullptr;
  if (has_mini) symbols->Add(std::move(mini));
  symbols->Seal();

  if (go) sources_.push_back(std::move(go));
  if (auto dwarf = OpenDwarf(debug ? *debug : main, code, files, fetch)) {
    sources_.push_back(std::move(dwarf));
  }
  stripped_ = !has_symtab && !has_mini && sources_.empty();
  if (!symbols->empty()) sources_.push_back(std::move(symbols));
}

std::vector<NamedLevel> ModuleNames::Find(ElfAddress address) {
  std::vector<NamedLevel> chain;
  std::vector<NamedLevel> more;
  for (const auto& source : sources_) {
    if (chain.empty()) {
      source->Find(address, chain);
    } else if (chain.back().name.empty() || !chain.back().qualified) {
      more.clear();
      source->Find(address, more);
      if (more.empty()) continue;
      // A mangled name says the namespace and the class; that of a C function says no more than
      // DWARF does.
      NamedLevel& outermost = chain.back();
      if (outermost.name.empty() || IsMangled(more.back().name)) {
        // DWARF knows one function, of which a clone or a cold part is only a piece.
        outermost.name = WithoutCloneSuffixes(more.back().name);
        outermost.qualified = true;
        outermost.readable_cpp = false;
      }
    }
  }
  if (!chain.empty() && chain.back().name.empty()) chain.clear();
  // An inlined call whose function the file does not name: its caller is running.
  std::erase_if(chain, [](const NamedLevel& level) { return level.name.empty(); });
  for (NamedLevel& level : chain) AddReadable(address, level);
  return chain;
}

void ModuleNames::AddReadable(ElfAddress address, NamedLevel& level) const {
  if (!aot_code_.Contains(address)) return;
  level.readable = AotMethodName(level.name, level.aot, aot_assembly_);
}

}  // namespace agent
