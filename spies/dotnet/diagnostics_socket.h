// SPDX-License-Identifier: Apache-2.0
// The socket by which a .NET runtime takes orders (dotnet/diagnostics,
// documentation/design-docs/ipc-protocol.md).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"

namespace agent::dotnet {

/// Of the command set "process"; .NET 8 and later know them.
enum class DiagnosticsCommand : std::uint8_t { kEnablePerfMap = 5, kDisablePerfMap = 6 };

/// Where a process's files are, and how they are called there.
struct ProcessPlace {
  Pid pid{};
  UniqueFd root;         ///< O_PATH.
  InnerTid inner_pid{};  ///< In its own PID namespace.
  uid_t owner = 0;
};
[[nodiscard]] Result<ProcessPlace> PlaceOf(Pid process);

/// A runtime's socket, as it was found: still the same when the path leads elsewhere.
struct DiagnosticsSocket {
  UniqueFd path;  ///< O_PATH.
  Pid process{};
  uid_t owner = 0;
};
/// kUnsupported when there is none that is the process's user's. Links of the target's lead to
/// nothing outside its root.
[[nodiscard]] Result<DiagnosticsSocket> FindDiagnosticsSocket(const ProcessPlace& place);
/// Does as FindDiagnosticsSocket, with the path as the process sees it.
[[nodiscard]] Result<DiagnosticsSocket> OpenDiagnosticsSocket(const ProcessPlace& place,
                                                              const std::string& path);

/// Gives the command and waits for the answer: kTimeout past `deadline` and when `stop` is
/// requested, kNotPermitted when another process than the socket's listens, kUnsupported when the
/// runtime refuses. Nothing of it blocks for longer.
[[nodiscard]] Result<void> Order(const DiagnosticsSocket& socket, DiagnosticsCommand command,
                                 MonotonicTime deadline, const std::stop_token& stop = {});

[[nodiscard]] std::vector<std::byte> DiagnosticsRequest(DiagnosticsCommand command);
/// Whether the bytes so far are the answer that all is well; false: they are only its beginning.
/// kUnsupported when they are a refusal, kMalformed when they are no answer. 24 bytes are enough.
[[nodiscard]] Result<bool> IsDiagnosticsSuccess(std::span<const std::byte> answer);

/// Where a process with this environment (environ, by NULs) keeps temporary files, as .NET
/// understands it: with a '/' at its end.
[[nodiscard]] std::string TemporaryFolderIn(std::string_view environment);

}  // namespace agent::dotnet
