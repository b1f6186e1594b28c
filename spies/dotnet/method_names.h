// SPDX-License-Identifier: Apache-2.0
// From a MethodDesc to the method's name, by the runtime's structures and its modules' metadata.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/process/target_process.h"
#include "agent/profile/dotnet_text.h"
#include "agent/profile/frame.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/metadata.h"
#include "spies/dotnet/portable_pdb.h"

namespace agent::dotnet {

/// A method as frames show it.
struct NamedMethod {
  const Function* function = nullptr;  ///< Null: nobody's code (MethodNames::NameOf).
  const MethodLines* lines = nullptr;  ///< Null: not known. Lives as long as MethodNames.
};

/// One process. Sampling thread only.
class MethodNames {
 public:
  /// `raw`: names as the metadata has them. All outlive it.
  MethodNames(TargetProcess& process, const Layout& layout, FunctionTable& functions, bool raw)
      : process_(process), layout_(layout), functions_(functions), raw_(raw) {}

  /// The method as a function; its file is the source file where a portable PDB is at hand, else
  /// the assembly's name. No function for what stands between the parts of asynchronous methods and
  /// is nobody's code; not with `raw`. `stays`: the method will not be freed, its name need not be
  /// read again.
  Result<NamedMethod> NameOf(std::uint64_t method_desc, bool stays);

 private:
  struct ModuleMetadata {
    std::uint64_t name = 0;  // where the module's name is: its key
    RemoteAddress place;
    Metadata metadata;
    std::string assembly;
    std::optional<PortablePdb> pdb;
  };

  Result<NamedMethod> Read(std::uint64_t method_desc);
  Result<NamedMethod> ReadDynamic(std::uint64_t method_desc);
  const MethodLines* LinesOf(const ModuleMetadata& module, std::uint32_t rid);
  Result<std::uint64_t> ModuleOf(std::uint64_t place, const MethodTable& table);
  Result<const ModuleMetadata*> MetadataOf(std::uint64_t module);
  Result<ModuleMetadata> FindMetadata(std::uint64_t name);
  void AddPdb(const Mapping& mapping, ModuleMetadata& module);
  void Forget(std::uint64_t name);
  Result<void> Confirm(const ModuleMetadata& module, std::string_view text);
  Result<void> AddTypes(const MethodTable& table, const ModuleMetadata& module, std::uint32_t rid,
                        MethodParts& parts, int depth);
  Result<std::vector<std::string>> TypeArguments(const MethodTable& table, int depth);
  Result<std::vector<std::string>> ReadTypes(RemoteAddress place, std::size_t count, int depth);
  Result<std::string> TypeName(std::uint64_t handle, int depth);
  Result<std::string> NamedType(std::uint64_t place, const MethodTable& table, int depth);
  [[nodiscard]] std::uint32_t TypeRid(const MethodTable& table) const;

  TargetProcess& process_;
  const Layout& layout_;
  FunctionTable& functions_;
  const bool raw_;
  std::vector<Mapping> mappings_;
  std::size_t unreadable_modules_ = 0;
  std::size_t metadata_bytes_ = 0;  // of all modules
  // Of the call under way: the module for which Confirm has found other metadata, or 0; how many
  // types may still be named.
  std::uint64_t stale_ = 0;
  int types_left_ = 0;
  std::unordered_map<std::uint64_t, NamedMethod> names_;
  // By the module's place and the method's number.
  std::map<std::pair<RemoteAddress, std::uint32_t>, const MethodLines*> lines_;
  std::deque<MethodLines> all_lines_;
  std::size_t points_ = 0;     // in all_lines_
  std::size_t pdb_bytes_ = 0;  // of all modules
  std::size_t wrong_pdbs_ = 0;
  // By the module's name, which lies in its metadata: a Module may give way to another one. Null:
  // has none in this form (Reflection.Emit's).
  std::unordered_map<std::uint64_t, std::unique_ptr<const ModuleMetadata>> modules_;
};

}  // namespace agent::dotnet
