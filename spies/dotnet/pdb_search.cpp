// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/pdb_search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "agent/base/path.h"
#include "agent/process/root_open.h"

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

}  // namespace

Result<PortablePdb> FindPdb(TargetProcess& process, const Mapping& mapping) {
  AGENT_TRY(const UniqueFd module, process.OpenMappedFile(mapping));
  AGENT_TRY(const PdbLink link, ReadPdbLink(module.get()));
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
  AGENT_TRY(PortablePdb pdb, PortablePdb::Parse(std::move(bytes)));
  if (pdb.id() != link.id) return Fail(Errc::kMalformed, "the PDB of another build");
  return pdb;
}

}  // namespace agent::dotnet
