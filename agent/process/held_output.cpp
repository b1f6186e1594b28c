// SPDX-License-Identifier: Apache-2.0
#include "agent/process/held_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "agent/process/own_fd.h"

namespace agent {

Result<HeldOutput> HeldOutput::Open() {
  AGENT_TRY(Pipe pipe, OpenPipe());
  // The reader's end only: the program shall find a pipe as any other.
  if (::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return FailErrno("fcntl");
  return HeldOutput(std::move(pipe.read), std::move(pipe.write));
}

void HeldOutput::Take() {
  std::array<char, 1u << 16> bytes;  // NOLINT: read fills it
  // Not more at once: who writes without a pause must not keep us here.
  const ssize_t count = ::read(read_.get(), bytes.data(), bytes.size());
  if (count == 0) read_.Reset();  // nobody will write any more, and poll would tell so for ever
  if (count <= 0) return;
  kept_.append(bytes.data(), static_cast<std::size_t>(count));
  total_ += static_cast<std::uint64_t>(count);
  if (kept_.size() > 2 * kMostBytes) kept_.erase(0, kept_.size() - kMostBytes);
}

void HeldOutput::TakeAll() {
  // Counted first: who goes on writing must not keep us here.
  int size = 0;
  if (::ioctl(read_.get(), FIONREAD, &size) != 0) return;
  const std::uint64_t end = total_ + static_cast<std::uint64_t>(size);
  std::uint64_t before = 0;
  do {
    before = total_;
    Take();
  } while (total_ != before && total_ < end);
}

std::string HeldOutput::Text() const {
  const std::size_t size = std::min(kept_.size(), kMostBytes);
  const std::string_view end = std::string_view(kept_).substr(kept_.size() - size);
  if (total_ == size) return std::string(end);
  return fmt::format("agent: {} bytes of the program's output are left out here\n{}", total_ - size,
                     end);
}

}  // namespace agent
