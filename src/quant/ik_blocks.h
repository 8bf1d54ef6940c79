// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "quant/ik_codebooks.h"
#include "quant/scale.h"

/// What the formats of ik_llama.cpp have in common. A row, or a block of 256 weights, has a factor d; each
/// sub-block of 16 or 32 weights an integer scale; and a weight is a code that stands for a value of a
/// codebook: x = d scale[j] value(code). A format declares
///   kSubElems             weights of a sub-block
///   Codes, Scales         what its codes and its scales stand for
///   scale(block, j)       the index of the scale of sub-block j
///   value(block, j, i)    what weight i stands for; it is in sub-block j
/// and, where every weight has a code of its own in CodeBits, so that all are unpacked at once,
///   codes(block, codes)   adds all codes to zeros
///   shifted(block, j)     whether sub-block j uses the shifted values
namespace sw {

/// 16 scales of 6 bits (IQ4_K, IQ5_K).
struct SixBitScales {
  uint8_t high[4];  ///< bits 4 and 5 of each
  uint8_t low[8];   ///< bits 0 to 3

  constexpr int get(int j) const {
    return (low[j / 2] >> j % 2 * 4 & 15) | (high[j / 4] >> j % 4 * 2 & 3) << 4;
  }
  /// Of one that is 0.
  void set(int j, int scale) {
    low[j / 2] = static_cast<uint8_t>(low[j / 2] | (scale & 15) << j % 2 * 4);
    high[j / 4] = static_cast<uint8_t>(high[j / 4] | scale >> 4 << j % 4 * 2);
  }
};

/// The factor of a row, in front of it.
struct RowF16 {
  uint16_t d;  ///< f16
  static constexpr float kMaxMagnitude = 200 * kMaxF16;
  static RowF16 of(float factor) { return {scale_bits(factor)}; }
  constexpr float factor() const { return f16_to_f32(d); }
};
struct RowF32 {
  float d;
  static constexpr float kMaxMagnitude = 1e15f;  // of which a row's squares have a sum in f32
  static RowF32 of(float factor) { return {factor}; }
  constexpr float factor() const { return d; }
};

/// kBits bits of each of a block's 256 codes: a run of kRun bytes holds the bits of kRun codes, above them
/// those of the next kRun, and so on.
template <int kBits, int kRun = 32>
struct CodeBits {
  uint8_t bytes[32 * kBits];

  static constexpr int kCodes = kRun * 8 / kBits;  ///< of a run
  constexpr int get(int i) const {
    return bytes[i / kCodes * kRun + i % kRun] >> i % kCodes / kRun * kBits & ((1 << kBits) - 1);
  }
  /// Puts the bits into all codes, from bit `first` on: eight bytes at a time.
  void add_to(uint8_t (&codes)[256], int first) const {
    constexpr uint64_t kMask = 0x0101010101010101u * ((1u << kBits) - 1);
    for (int i = 0; i < 256; i += 8) {
      uint64_t bits, sum;
      std::memcpy(&bits, bytes + i / kCodes * kRun + i % kRun, 8);
      std::memcpy(&sum, codes + i, 8);
      sum |= (bits >> i % kCodes / kRun * kBits & kMask) << first;
      std::memcpy(codes + i, &sum, 8);
    }
  }
  /// Takes them from all codes, from bit `first` on.
  void set(const uint16_t (&codes)[256], int first) {
    for (uint8_t& byte : bytes) byte = 0;
    for (int i = 0; i < 256; ++i) {
      const int bits = codes[i] >> first & ((1 << kBits) - 1);
      uint8_t& byte = bytes[i / kCodes * kRun + i % kRun];
      byte = static_cast<uint8_t>(byte | bits << i % kCodes / kRun * kBits);
    }
  }
};

/// What weights of sub-block j of a block are multiplied with. Rounded, so that only products follow.
template <class Format>
constexpr float ik_step(float d, const typename Format::Block& block, int j) {
  return d * static_cast<float>(Format::Scales::value(Format::scale(block, j)));
}
/// Weight i of a block under the factor d.
template <class Format>
constexpr float ik_weight(float d, const typename Format::Block& block, int i) {
  const int j = i / Format::kSubElems;
  return ik_step<Format>(d, block, j) * Format::value(block, j, i);
}
/// What codes stand for without and with a shift, for the CPU.
template <class Codes>
struct CodeTable {
  float values[2][Codes::kSize] = {};
  constexpr CodeTable() {
    for (int code = 0; code < Codes::kSize; ++code) {
      for (const bool shifted : {false, true}) values[shifted][code] = Codes::value(code, shifted);
    }
  }
};
template <class Codes>
inline constexpr CodeTable<Codes> kCodeTable;

/// All weights of a block, each sub-block's step made once.
template <class Format>
void decode_ik(float d, const typename Format::Block& block, float* out) {
  constexpr int kSub = Format::kSubElems;
  [[maybe_unused]] uint8_t codes[256] = {};
  if constexpr (requires { Format::codes(block, codes); }) Format::codes(block, codes);
  for (int j = 0; j < 256 / kSub; ++j) {
    const float step = ik_step<Format>(d, block, j);
    for (int i = kSub * j; i < kSub * (j + 1); ++i) {
      if constexpr (requires { Format::codes(block, codes); }) {
        out[i] = step * kCodeTable<typename Format::Codes>.values[Format::shifted(block, j)][codes[i]];
      } else {
        out[i] = step * Format::value(block, j, i);
      }
    }
  }
}

}  // namespace sw
