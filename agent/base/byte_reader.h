// SPDX-License-Identifier: Apache-2.0
// Numbers out of hostile bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace agent {

/// Reads little-endian values one behind another. Past the end, and for ill-formed values, it gives
/// zeros and ok() stays false from then on: check it before what was read is used.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }
  [[nodiscard]] bool AtEnd() const { return position_ == bytes_.size(); }
  void Seek(std::size_t position) {
    if (position > bytes_.size()) {
      Fail();
    } else {
      position_ = position;
    }
  }
  void Skip(std::uint64_t count) { static_cast<void>(Take(count)); }

  /// A number, or a struct of the same layout.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  T Read() {
    T value{};
    if (sizeof(T) > left()) {
      Fail();
      return value;
    }
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }
  std::uint64_t ReadUleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; position_ < bytes_.size(); shift += 7) {
      const auto byte = static_cast<std::uint8_t>(bytes_[position_++]);
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    Fail();
    return 0;
  }
  std::int64_t ReadSleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; position_ < bytes_.size();) {
      const auto byte = static_cast<std::uint8_t>(bytes_[position_++]);
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if ((byte & 0x80) != 0) continue;
      if (shift < 64 && (byte & 0x40) != 0) value |= ~std::uint64_t{0} << shift;
      return static_cast<std::int64_t>(value);
    }
    Fail();
    return 0;
  }
  /// The next `count` bytes; empty when there are fewer.
  std::span<const std::byte> Take(std::uint64_t count) {
    if (count > left()) {
      Fail();
      return {};
    }
    const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += taken.size();
    return taken;
  }
  /// Up to the next NUL, which is passed over.
  std::string_view ReadString() {
    const auto rest = bytes_.subspan(position_);
    const void* end = rest.empty() ? nullptr : std::memchr(rest.data(), 0, rest.size());
    if (end == nullptr) {
      Fail();
      return {};
    }
    const auto size = static_cast<std::size_t>(static_cast<const std::byte*>(end) - rest.data());
    position_ += size + 1;
    return {reinterpret_cast<const char*>(rest.data()), size};
  }

 private:
  void Fail() {
    ok_ = false;
    position_ = bytes_.size();
  }

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace agent
