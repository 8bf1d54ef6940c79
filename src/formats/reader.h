// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace sw {

/// Reads the bytes of an untrusted file from front to back. Every read is held against the bytes that
/// remain; an Error names the file, the offset, the subject and the field.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string file_name)
      : bytes_(bytes), file_name_(std::move(file_name)) {}

  uint64_t offset() const { return offset_; }
  uint64_t size_bytes() const { return bytes_.size(); }
  uint64_t remaining() const { return bytes_.size() - offset_; }

  /// What is being read, for messages: "key general.name". May be empty.
  void set_subject(std::string subject) { subject_ = std::move(subject); }

  /// The next `n_bytes`. Throws where fewer are left.
  std::span<const std::byte> take(uint64_t n_bytes, const char* field) {
    if (n_bytes > remaining()) fail_short(n_bytes, field);
    const auto taken = bytes_.subspan(offset_, n_bytes);
    offset_ += n_bytes;
    return taken;
  }

  /// A little-endian number.
  template <class T>
  requires std::is_arithmetic_v<T> T number(const char* field) {
    static_assert(std::endian::native == std::endian::little, "file numbers are copied as they are");
    T value;
    std::memcpy(&value, take(sizeof(T), field).data(), sizeof(T));
    return value;
  }

  std::string_view text(uint64_t n_bytes, const char* field) {
    const auto taken = take(n_bytes, field);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  /// A u64 count of things that each take at least `min_item_bytes` of what remains after it, so that
  /// the caller may allocate for them.
  uint64_t count(uint64_t min_item_bytes, const char* field);

  /// Throws sw::Error about the field at `offset`; fills in parts.where.
  [[noreturn]] void fail(uint64_t offset, const char* field, Error::Parts parts) const;

 private:
  [[noreturn]] void fail_short(uint64_t n_bytes, const char* field) const;

  std::span<const std::byte> bytes_;
  std::string file_name_, subject_;
  uint64_t offset_ = 0;
};

}  // namespace sw
