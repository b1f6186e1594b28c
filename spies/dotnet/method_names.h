// SPDX-License-Identifier: Apache-2.0
// From a MethodDesc to the method's name, by the runtime's structures and its modules' metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/base/error.h"
#include "agent/process/target_process.h"
#include "agent/profile/dotnet_text.h"
#include "agent/profile/frame.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/metadata.h"

namespace agent::dotnet {

/// One process. Sampling thread only.
class MethodNames {
 public:
  /// `raw`: names as the metadata has them. All outlive it.
  MethodNames(TargetProcess& process, const Layout& layout, FunctionTable& functions, bool raw)
      : process_(process), layout_(layout), functions_(functions), raw_(raw) {}

  /// The method as a function; its file is the assembly's name. A method that cannot be read is
  /// "[unknown method]", and is read again the next time. Null for what stands between the parts of
  /// asynchronous methods and is nobody's code; not with `raw`.
  const Function* NameOf(std::uint64_t method_desc);
  /// The same, with the error.
  Result<const Function*> TryNameOf(std::uint64_t method_desc);

 private:
  struct ModuleMetadata {
    Metadata metadata;
    std::string assembly;
  };

  Result<const Function*> Read(std::uint64_t method_desc, bool& may_go);
  Result<const Function*> ReadDynamic(std::uint64_t method_desc);
  Result<const ModuleMetadata*> MetadataOf(std::uint64_t module);
  Result<Metadata> FindMetadata(std::uint64_t module);
  Result<void> AddTypes(const MethodTable& table, const Metadata& metadata, std::uint32_t rid,
                        MethodParts& parts, int depth);
  Result<std::vector<std::string>> TypeArguments(const MethodTable& table, int depth);
  Result<std::vector<std::string>> ReadTypes(RemoteAddress place, std::size_t count, int depth);
  Result<std::string> TypeName(std::uint64_t handle, int depth);
  Result<std::string> NamedType(const MethodTable& table, int depth);
  [[nodiscard]] std::uint32_t TypeRid(const MethodTable& table) const;

  TargetProcess& process_;
  const Layout& layout_;
  FunctionTable& functions_;
  const bool raw_;
  std::vector<Mapping> mappings_;
  std::unordered_map<std::uint64_t, const Function*> names_;
  std::unordered_map<std::uint64_t, std::unique_ptr<const ModuleMetadata>> modules_;
};

}  // namespace agent::dotnet
