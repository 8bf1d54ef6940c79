// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "base/checksum.h"
#include "formats/gguf.h"

namespace sw {

/// A checksum of what tells models apart.
class Fingerprint {
 public:
  void add(std::span<const std::byte> bytes) { sum_.add(bytes); }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  void add(uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }
  /// Every tensor's name and `n_sample` pieces of 64 bytes of its data, evenly spaced from its first on.
  void add(const GgufFile& file, uint64_t n_sample);
  /// Below 2^63: a reader that knows only signed numbers can hold it.
  uint64_t value() const { return sum_.value() >> 1; }

 private:
  Checksum sum_;
};

}  // namespace sw
