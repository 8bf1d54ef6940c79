// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ternary.h"

namespace sw {

/// 256 of -1, 0 and 1, five to a byte (the last 16 four to a byte), and one f16 scale: x = d (q - 1).
/// 1.6875 bits a weight. A byte is the five digits of a number to the base 3, the first the highest, as a
/// fraction of 3^5 in 256ths, rounded up: times 3^k, digit k stands above the byte's eight bits.
struct TQ1_0 {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = TernaryFit::kErrorBound;
  static constexpr float kMaxMagnitude = kMaxF16;
  struct Block {
    uint8_t q[52];  ///< see place()
    uint16_t d;     ///< f16
  };
  static_assert(sizeof(Block) == 54);

  struct Place {
    int byte, digit;
  };
  /// Runs of 32, 16 and 4 bytes; digit k of a run's bytes are its weights k * (number of bytes) + i.
  static constexpr Place place(int i) {
    if (i < 160) return {i % 32, i / 32};
    if (i < 240) return {32 + i % 16, (i - 160) / 16};
    return {48 + i % 4, (i - 240) / 4};
  }
  static constexpr int power_of_3(int k) { return (k & 1 ? 3 : 1) * (k & 2 ? 9 : 1) * (k & 4 ? 81 : 1); }
  static constexpr int digit(uint8_t byte, int power) { return (byte * power & 255) * 3 >> 8; }

  static constexpr float at(const Block& block, int i) {
    const Place p = place(i);
    return f16_to_f32(block.d) * static_cast<float>(digit(block.q[p.byte], power_of_3(p.digit)) - 1);
  }
  static void decode(const Block& block, float* out) {
    const float d = f16_to_f32(block.d);
    const auto run = [&](const uint8_t* bytes, int n_bytes, int n_digits) {
      for (int k = 0; k < n_digits; ++k) {
        const int power = power_of_3(k);
        for (int i = 0; i < n_bytes; ++i) *out++ = d * static_cast<float>(digit(bytes[i], power) - 1);
      }
    };
    run(block.q, 32, 5);
    run(block.q + 32, 16, 5);
    run(block.q + 48, 4, 4);
  }

  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const TernaryFit fit(x);
    block.d = fit.d;
    int numbers[52] = {};
    for (int i = 0; i < 256; ++i) numbers[place(i).byte] += fit.q[i] * power_of_3(4 - place(i).digit);
    for (int i = 0; i < 52; ++i) block.q[i] = static_cast<uint8_t>((numbers[i] * 256 + 242) / 243);
  }
};

}  // namespace sw
