// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "base/half.h"

/// The 12 bytes in which Q4_K and Q5_K keep a 6-bit scale and a 6-bit minimum for each of 8 sub-blocks.
/// Bytes 0-3: scales 0-3, bytes 4-7: minima 0-3, each with the top two bits of number j + 4 above it;
/// bytes 8-11: the low nibbles of scale and minimum 4-7.
namespace sw {

struct KScale {
  int scale, min;
};

constexpr KScale k_scale(const uint8_t (&packed)[12], int j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {(packed[j + 4] & 15) | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4};
}

/// What weights of sub-block j of a block of Q4_K or Q5_K are made of: step * q - offset. Both products are
/// exact in f32, so that it does not matter whether a compiler fuses the second with the subtraction.
struct KStep {
  float step, offset;

  template <class Block>
  constexpr KStep(const Block& block, int j) {
    const KScale s = k_scale(block.scales, j);
    step = f16_to_f32(block.d) * static_cast<float>(s.scale);
    offset = f16_to_f32(block.dmin) * static_cast<float>(s.min);
  }
  constexpr float value(int q) const { return step * static_cast<float>(q) - offset; }
};

template <class Format>
constexpr float k_weight(const typename Format::Block& block, int i) {
  return KStep(block, i / 32).value(Format::quant(block, i / 32, i % 32));
}
/// All weights of a block, each sub-block's step made once.
template <class Format>
void decode_k_steps(const typename Format::Block& block, float* out) {
  for (int j = 0; j < 8; ++j) {
    const KStep step(block, j);
    for (int i = 0; i < 32; ++i) out[32 * j + i] = step.value(Format::quant(block, j, i));
  }
}

inline void pack_k_scales(const uint8_t scale[8], const uint8_t min[8], uint8_t packed[12]) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(scale[j] | (scale[j + 4] >> 4 << 6));
    packed[j + 4] = static_cast<uint8_t>(min[j] | (min[j + 4] >> 4 << 6));
    packed[j + 8] = static_cast<uint8_t>((scale[j + 4] & 15) | ((min[j + 4] & 15) << 4));
  }
}

}  // namespace sw
