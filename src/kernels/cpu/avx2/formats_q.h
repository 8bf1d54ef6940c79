// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cpu/avx2/int8_tile.h"
#include "quant/mxfp4.h"
#include "quant/q4_0.h"
#include "quant/q4_1.h"
#include "quant/q5_0.h"
#include "quant/q5_1.h"
#include "quant/q8_0.h"

/// How the formats with blocks of 32 weights are unpacked for int8_tile.h.
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

/// An f16 of each of 8 blocks as f32: of the even blocks first, then of the odd ones.
template <class Block>
SW_AVX2_INLINE __m256 load_halves(const Block* b, uint16_t Block::*half) {
  const auto at = [=](int i) { return static_cast<short>(b[i].*half); };
  return _mm256_cvtph_ps(_mm_setr_epi16(at(0), at(2), at(4), at(6), at(1), at(3), at(5), at(7)));
}

SW_AVX2_INLINE void set_scales(__m256 scale, WeightBlock& out) {
  out.scale[0] = _mm256_permute2f128_ps(scale, scale, 0x00);
  out.scale[1] = _mm256_permute2f128_ps(scale, scale, 0x11);
}

/// The quants of 8 blocks, each loaded as 32 bytes in order, into a WeightBlock's.
template <class Load, class Block>
SW_AVX2_INLINE void load_quants(const Block* blocks, WeightBlock& out) {
  for (int odd = 0; odd < 2; ++odd) {
    const __m256i rows[4] = {Load::quants(blocks[odd]), Load::quants(blocks[2 + odd]),
                             Load::quants(blocks[4 + odd]), Load::quants(blocks[6 + odd])};
    transpose_4x4(rows, out.q + 4 * odd);
  }
}

/// Low nibbles are the first half of a group, high ones the second.
SW_AVX2_INLINE __m256i load_nibbles(const uint8_t (&bytes)[16]) {
  const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(q, 4), q), _mm256_set1_epi8(15));
}

/// Fifth bits in their place.
SW_AVX2_INLINE __m256i load_fifth_bits(const FifthBits& high) {
  int32_t bits;
  std::memcpy(&bits, high.bytes, sizeof bits);
  const __m256i byte_of = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte_of);
  const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of), bit_of);
  return _mm256_and_si256(is_set, _mm256_set1_epi8(16));
}

template <class T>
struct Quants;  // how a block's quants are loaded
template <>
struct Quants<Q8_0> {
  static constexpr bool kSigned = true, kWide = true;
  SW_AVX2_INLINE static __m256i quants(const Q8_0::Block& block) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.q));
  }
};
template <>
struct Quants<Q4_0> {
  static constexpr bool kSigned = false, kWide = false;
  static constexpr float kZero = 8;  ///< the quant that stands for 0
  SW_AVX2_INLINE static __m256i quants(const Q4_0::Block& block) { return load_nibbles(block.q); }
};
template <>
struct Quants<Q4_1> {
  static constexpr bool kSigned = false, kWide = false;
  SW_AVX2_INLINE static __m256i quants(const Q4_1::Block& block) { return load_nibbles(block.q); }
};
template <>
struct Quants<Q5_0> {
  static constexpr bool kSigned = false, kWide = false;
  static constexpr float kZero = 16;
  SW_AVX2_INLINE static __m256i quants(const Q5_0::Block& block) {
    return _mm256_or_si256(load_nibbles(block.q), load_fifth_bits(block.high));
  }
};
template <>
struct Quants<Q5_1> {
  static constexpr bool kSigned = false, kWide = false;
  SW_AVX2_INLINE static __m256i quants(const Q5_1::Block& block) {
    return _mm256_or_si256(load_nibbles(block.q), load_fifth_bits(block.high));
  }
};
template <>
struct Quants<MXFP4> {
  static constexpr bool kSigned = true, kWide = false;
  SW_AVX2_INLINE static __m256i quants(const MXFP4::Block& block) {
    const auto* doubled = reinterpret_cast<const __m128i*>(MXFP4::kDoubled);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(doubled)), load_nibbles(block.q));
  }
};

/// 8 blocks of 32 weights of a format T.
template <class T>
struct Format {
  static constexpr int64_t kRawBytes = 8 * sizeof(typename T::Block);
  static constexpr bool kSigned = Quants<T>::kSigned, kWide = Quants<T>::kWide;

  SW_AVX2_INLINE static WeightBlock unpack(const std::byte* src) {
    using Block = typename T::Block;
    const auto* blocks = reinterpret_cast<const Block*>(src);
    WeightBlock out;
    const __m256 scale = load_scales(blocks);
    set_scales(scale, out);
    if constexpr (requires { Quants<T>::kZero; }) {
      out.min = _mm256_mul_ps(scale, _mm256_set1_ps(Quants<T>::kZero));
    } else if constexpr (requires(Block b) { b.dmin; }) {
      out.min = _mm256_sub_ps(_mm256_setzero_ps(), load_halves(blocks, &Block::dmin));
    }
    load_quants<Quants<T>>(blocks, out);
    return out;
  }

 private:
  template <class Block>
  SW_AVX2_INLINE static __m256 load_scales(const Block* b) {
    if constexpr (requires { b->d; }) {
      return load_halves(b, &Block::d);
    } else {
      const auto at = [b](int i) { return T::half_scale(b[i].e); };
      return _mm256_setr_ps(at(0), at(2), at(4), at(6), at(1), at(3), at(5), at(7));
    }
  }
};

/// Calls f.operator()<Format>() with the format of `type`; false where it is none of these.
template <class F>
bool with_format_q(Type type, F&& f) {
  switch (type) {
    case Type::Q8_0:
      return f.template operator()<Format<Q8_0>>(), true;
    case Type::Q4_0:
      return f.template operator()<Format<Q4_0>>(), true;
    case Type::Q4_1:
      return f.template operator()<Format<Q4_1>>(), true;
    case Type::Q5_0:
      return f.template operator()<Format<Q5_0>>(), true;
    case Type::Q5_1:
      return f.template operator()<Format<Q5_1>>(), true;
    case Type::MXFP4:
      return f.template operator()<Format<MXFP4>>(), true;
    default:
      return false;
  }
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options
