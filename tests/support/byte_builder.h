// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sw::testing {

inline std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

/// Puts a binary file together by hand and remembers where its numbers stand.
class ByteBuilder {
 public:
  struct Number {
    size_t offset = 0, n_bytes = 0;
  };

  template <class T>
  ByteBuilder& num(T value) {
    numbers_.push_back({bytes_.size(), sizeof value});
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  ByteBuilder& u8(uint8_t v) { return num(v); }
  ByteBuilder& u32(uint32_t v) { return num(v); }
  ByteBuilder& u64(uint64_t v) { return num(v); }
  ByteBuilder& raw(const std::string& text) {
    bytes_ += text;
    return *this;
  }
  ByteBuilder& zeros(size_t n) { return raw(std::string(n, '\0')); }
  /// A GGUF string: u64 length, then the bytes.
  ByteBuilder& str(const std::string& text) { return u64(text.size()).raw(text); }
  ByteBuilder& pad(size_t alignment) { return zeros((alignment - bytes_.size() % alignment) % alignment); }

  const std::string& bytes() const { return bytes_; }
  const std::vector<Number>& numbers() const { return numbers_; }

 private:
  std::string bytes_;
  std::vector<Number> numbers_;
};

}  // namespace sw::testing
