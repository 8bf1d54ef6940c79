// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <cstring>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 4 bits in 8 sub-blocks of 32 with the scales and values of IQ4_KS, in 4 bits a weight in all:
/// four codes that lie in one word have an even number of ones, so that 15 bits hold them, and the 16th is
/// the scale's. The f32 factor is the row's.
struct IQ4_KSS {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 0.2f;
  static constexpr float kMaxMagnitude = RowF32::kMaxMagnitude;
  using RowHeader = RowF32;
  using Codes = Codebook4;
  using Scales = LinearScales<-127, 2, 128>;
  struct Block {
    uint16_t words[64];  ///< 8 of each sub-block
  };
  static_assert(sizeof(Block) == 128);

  /// Bit k of word k: the index of the scale above the bit that shifts the values.
  static constexpr int scale_byte(const Block& block, int j) {
    int byte = 0;
    for (int k = 0; k < 8; ++k) byte |= (block.words[8 * j + k] & 1) << k;
    return byte;
  }
  static constexpr int scale(const Block& block, int j) { return scale_byte(block, j) >> 1; }
  static constexpr bool shifted(const Block& block, int j) { return scale_byte(block, j) & 1; }
  /// Two bytes of codes: byte b of a sub-block has code b in its low nibble and code b + 16 in the high one.
  static constexpr int unfolded(int word) { return (word & 0xfffe) ^ (word & 0xfffe) >> 1; }
  static constexpr float value(const Block& block, int j, int i) {
    const int codes = unfolded(block.words[8 * j + i % 16 / 2]);
    return Codes::value(codes >> (i % 2 * 8 + i % 32 / 16 * 4) & 15, shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) {
    uint16_t words[64];
    for (int k = 0; k < 64; ++k) words[k] = static_cast<uint16_t>(unfolded(block.words[k]));
    CodeBits<4, 16> bits;
    std::memcpy(&bits, words, sizeof bits);
    bits.add_to(codes, 0);
  }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ4_KSS>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ4_KSS>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ4_KSS>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ4_KSS>(row.factor(), x, importance);
    block = {};
    for (int k = 0; k < 64; ++k) {
      const uint16_t* code = fit.code + k / 8 * 32 + k % 8 * 2;
      const int scale_byte = fit.scale[k / 8] << 1 | fit.shifted[k / 8];
      int word = code[0] | code[16] << 4 | code[1] << 8 | code[17] << 12;
      for (const int shift : {1, 2, 4, 8}) word ^= word >> shift;  // bit i: the parity of bits i to 15
      block.words[k] = static_cast<uint16_t>(word | (scale_byte >> k % 8 & 1));
    }
  }
};

}  // namespace sw
