// SPDX-License-Identifier: Apache-2.0
// Messages of one fixed type over a SOCK_SEQPACKET socket between processes of ours.
#pragma once

#include <cstddef>
#include <type_traits>

namespace agent {

enum class Received { kMessage, kNothing, kClosed };

/// Whole or not at all; waits 100 ms at most for room. False: no room, or nobody reads any more.
bool SendBytes(int socket, const void* bytes, std::size_t size);
/// Never waits.
Received ReceiveBytes(int socket, void* bytes, std::size_t size);

template <typename Message>
bool SendMessage(int socket, const Message& message) {
  static_assert(std::is_trivially_copyable_v<Message>);
  return SendBytes(socket, &message, sizeof(message));
}
template <typename Message>
Received ReceiveMessage(int socket, Message* message) {
  static_assert(std::is_trivially_copyable_v<Message>);
  return ReceiveBytes(socket, message, sizeof(*message));
}

}  // namespace agent
