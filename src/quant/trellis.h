// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

namespace sw {

/// Codes of kBits bits for groups of kGroup values, as the trellis formats of ik_llama.cpp have them: a code
/// begins a sequence of pseudo-random numbers, one for each value, of which four times six bits are added.
template <int kGroup, int kBits>
struct Trellis {
  static constexpr int kGroupElems = kGroup;
  static constexpr int kSize = 1 << kBits;
  static constexpr uint32_t kSecondSet = 1 << 15;  ///< added to a code of 15 bits: other values

  /// Value k of a group, in [-126, 126].
  static constexpr int integer(uint32_t code, int k) {
    constexpr uint32_t kA = 0xCBAC1FED, kB = kA * kA, kC = kB * kB;
    constexpr uint32_t kPowers[8] = {kA, kB, kB * kA, kC, kC * kA, kC * kB, kC * kB * kA, kC * kC};
    const uint32_t bits = (code + 4096) * kPowers[k] & 0x3f3f3f3f;
    return static_cast<int>(bits * 0x01010101 >> 24) - 126;  // the bytes' sum
  }
  static constexpr float value(uint32_t code, int k) { return static_cast<float>(integer(code, k)); }
  static constexpr float magnitude(uint32_t code, int k) {
    const int v = integer(code, k);
    return static_cast<float>(v < 0 ? -v : v);
  }
};

}  // namespace sw
