// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

/// The 12 bytes in which Q4_K and Q5_K keep a 6-bit scale and a 6-bit minimum for each of 8 sub-blocks.
/// Bytes 0-3: scales 0-3, bytes 4-7: minima 0-3, each with the top two bits of number j + 4 above it;
/// bytes 8-11: the low nibbles of scale and minimum 4-7.
namespace sw {

inline void unpack_k_scales(const uint8_t packed[12], uint8_t scale[8], uint8_t min[8]) {
  for (int j = 0; j < 4; ++j) {
    scale[j] = packed[j] & 63;
    min[j] = packed[j + 4] & 63;
    scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 15) | (packed[j] >> 6 << 4));
    min[j + 4] = static_cast<uint8_t>((packed[j + 8] >> 4) | (packed[j + 4] >> 6 << 4));
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
