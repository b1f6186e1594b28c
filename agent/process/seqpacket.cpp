// SPDX-License-Identifier: Apache-2.0
#include "agent/process/seqpacket.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace agent {

bool SendBytes(int socket, const void* bytes, std::size_t size) {
  constexpr int kRoomTimeoutMs = 100;  // the other side may be stopped: never wait for long
  if (::send(socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
  if (errno != EAGAIN) return false;
  pollfd room{socket, POLLOUT, 0};
  ::poll(&room, 1, kRoomTimeoutMs);
  return ::send(socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

Received ReceiveBytes(int socket, void* bytes, std::size_t size) {
  const ssize_t got = ::recv(socket, bytes, size, MSG_DONTWAIT);
  if (got == static_cast<ssize_t>(size)) return Received::kMessage;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Received::kNothing;
  return Received::kClosed;
}

}  // namespace agent
