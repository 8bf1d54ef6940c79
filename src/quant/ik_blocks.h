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
  /// Puts the bits into all codes, from bit `first` on.
  void add_to(uint8_t (&codes)[256], int first) const {
    for (int begin = 0; begin < 256; begin += kRun) {
      uint8_t run[kRun];  // a copy: nothing that codes could overlap
      std::memcpy(run, bytes + begin / kCodes * kRun, kRun);
      const int shift = begin % kCodes / kRun * kBits;
      for (int k = 0; k < kRun; ++k) {
        const int bits = run[k] >> shift & ((1 << kBits) - 1);
        codes[begin + k] = static_cast<uint8_t>(codes[begin + k] | bits << first);
      }
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
/// All weights of a block, each sub-block's step made once.
template <class Format>
void decode_ik(float d, const typename Format::Block& block, float* out) {
  constexpr int kSub = Format::kSubElems;
  [[maybe_unused]] uint8_t codes[256] = {};
  if constexpr (requires { Format::codes(block, codes); }) Format::codes(block, codes);
  for (int j = 0; j < 256 / kSub; ++j) {
    const float step = ik_step<Format>(d, block, j);
    float values[kSub];  // apart from the products, which compilers then make with vectors
    for (int i = 0; i < kSub; ++i) {
      if constexpr (requires { Format::codes(block, codes); }) {
        values[i] = Format::Codes::value(codes[kSub * j + i], Format::shifted(block, j));
      } else {
        values[i] = Format::value(block, j, kSub * j + i);
      }
    }
    for (int i = 0; i < kSub; ++i) out[kSub * j + i] = step * values[i];
  }
}

}  // namespace sw
