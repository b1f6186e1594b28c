// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/pdb_search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "agent/base/path.h"
#include "agent/process/root_open.h"
#include "spies/dotnet/pdb_link.h"

namespace agent::dotnet {
namespace {

// maps gives paths as we see them: below the target's root, or below ours where it is only
// chrooted.
Result<UniqueFd> OpenBeside(TargetProcess& process, const std::string& path) {
  if (Result<UniqueFd> root = process.OpenRoot()) {
    if (Result<UniqueFd> file = OpenInRoot(*root, path)) return file;
  }
  const UniqueFd ours(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!ours.valid()) return FailErrno("open");
  return OpenInRoot(ours, path);
}

Result<PortablePdb> ReadEmbedded(ProcessMemory& memory, const PdbLink& link) {
  if (link.embedded_size > PortablePdb::kMaxBytes) {
    return Fail(Errc::kLimit, "a PDB that is too large");
  }
  std::vector<std::byte> bytes(link.embedded_size);
  AGENT_CHECK_OK(memory.Read(link.embedded, bytes));
  return PortablePdb::ParseEmbedded(bytes);
}

Result<PortablePdb> ReadBeside(TargetProcess& process, const Mapping& mapping,
                               const PdbLink& link) {
  // Memory of no file's, as of an assembly that was loaded from bytes, is called deleted.
  if (mapping.deleted || link.name.empty()) return Fail(Errc::kUnsupported, "no file of a module");
  AGENT_TRY(const UniqueFd file,
            OpenBeside(process, fmt::format("{}/{}", FolderOf(mapping.path), link.name)));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return FailErrno("fstat");
  if (static_cast<std::uint64_t>(info.st_size) > PortablePdb::kMaxBytes) {
    return Fail(Errc::kLimit, "a PDB that is too large");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(info.st_size));
  const ssize_t size = ::pread(file.get(), bytes.data(), bytes.size(), 0);
  if (size < 0) return FailErrno("pread");
  bytes.resize(static_cast<std::size_t>(size));
  return PortablePdb::Parse(std::move(bytes));
}

}  // namespace

Result<PortablePdb> FindPdb(TargetProcess& process, const Mapping& mapping,
                            RemoteAddress metadata) {
  AGENT_TRY(const PdbLink link, ReadPdbLink(process.memory(), mapping, metadata));
  AGENT_TRY(PortablePdb pdb, link.embedded_size != 0 ? ReadEmbedded(process.memory(), link)
                                                     : ReadBeside(process, mapping, link));
  if (pdb.id() != link.id) return Fail(Errc::kMalformed, "the PDB of another build");
  return pdb;
}

}  // namespace agent::dotnet
