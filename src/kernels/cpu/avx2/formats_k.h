// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cpu/avx2/int8_tile.h"
#include "quant/q4_k.h"
#include "quant/q5_k.h"
#include "quant/q6_k.h"

/// How Q4_K, Q5_K and Q6_K are unpacked for int8_tile.h.
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

SW_AVX2_INLINE __m256i load_bytes(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

/// Of the groups 0 2 4 6 1 3 5 7.
struct KFactors {
  __m256 scale, min;
};

/// Scales and minimums from the 6-bit fields that Q4_K and Q5_K share (see quant/k_scales.h).
template <class Block>
SW_AVX2_INLINE KFactors read_factors(const Block& block) {
  uint32_t field[3];
  std::memcpy(field, block.scales, sizeof field);
  const uint32_t scale_low = field[0] & 0x3f3f3f3f, min_low = field[1] & 0x3f3f3f3f;
  const uint32_t scale_high = (field[2] & 0x0f0f0f0f) | (field[0] >> 2 & 0x30303030);
  const uint32_t min_high = (field[2] >> 4 & 0x0f0f0f0f) | (field[1] >> 2 & 0x30303030);
  const __m128i packed = _mm_set_epi32(static_cast<int>(min_high), static_cast<int>(min_low),
                                       static_cast<int>(scale_high), static_cast<int>(scale_low));
  // Even groups first, then odd ones.
  const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  const __m128i bytes = _mm_shuffle_epi8(packed, order);
  const __m256 d = _mm256_set1_ps(_cvtsh_ss(block.d)), dmin = _mm256_set1_ps(_cvtsh_ss(block.dmin));
  return {.scale = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))),
          .min = _mm256_mul_ps(dmin, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))))};
}

template <class Block>
SW_AVX2_INLINE void unpack_scales(const Block& block, WeightBlock& out) {
  const KFactors factors = read_factors(block);
  out.scale[0] = _mm256_permute2f128_ps(factors.scale, factors.scale, 0x00);
  out.scale[1] = _mm256_permute2f128_ps(factors.scale, factors.scale, 0x11);
  out.min = factors.min;
}

/// Splits 128 bytes, whose low nibbles are the even groups and high nibbles the odd ones.
SW_AVX2_INLINE void unpack_nibbles(const uint8_t* q, __m256i (&out)[8]) {
  const __m256i rows[4] = {load_bytes(q), load_bytes(q + 32), load_bytes(q + 64), load_bytes(q + 96)};
  const __m256i mask = _mm256_set1_epi8(15);
  __m256i both[4];
  transpose_4x4(rows, both);
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    out[k] = _mm256_and_si256(both[k], mask);
    out[4 + k] = _mm256_and_si256(_mm256_srli_epi16(both[k], 4), mask);
  }
}

struct FormatQ4K {
  static constexpr int64_t kRawBytes = sizeof(Q4_K::Block);
  static constexpr bool kSigned = false, kWide = false;

  SW_AVX2_INLINE static WeightBlock unpack(const std::byte* src) {
    const auto& block = *reinterpret_cast<const Q4_K::Block*>(src);
    WeightBlock out;
    unpack_scales(block, out);
    unpack_nibbles(block.q, out.q);
    return out;
  }
};

struct FormatQ5K {
  static constexpr int64_t kRawBytes = sizeof(Q5_K::Block);
  static constexpr bool kSigned = false, kWide = false;

  SW_AVX2_INLINE static WeightBlock unpack(const std::byte* src) {
    const auto& block = *reinterpret_cast<const Q5_K::Block*>(src);
    WeightBlock out;
    unpack_scales(block, out);
    unpack_nibbles(block.q, out.q);
    // Bit g of byte i is the fifth bit of weight i of group g: lane c of each half wants bit 2 c or 2 c + 1.
    const __m256i high = load_bytes(block.high), one = _mm256_set1_epi8(1);
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    const __m256i odd = _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7);
    const __m256i bits[4] = {_mm256_shuffle_epi32(high, 0x00), _mm256_shuffle_epi32(high, 0x55),
                             _mm256_shuffle_epi32(high, 0xaa), _mm256_shuffle_epi32(high, 0xff)};
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const __m256i even_bit = _mm256_and_si256(_mm256_srlv_epi32(bits[k], even), one);
      const __m256i odd_bit = _mm256_and_si256(_mm256_srlv_epi32(bits[k], odd), one);
      out.q[k] = _mm256_or_si256(out.q[k], _mm256_slli_epi16(even_bit, 4));
      out.q[4 + k] = _mm256_or_si256(out.q[4 + k], _mm256_slli_epi16(odd_bit, 4));
    }
    return out;
  }
};

struct FormatQ6K {
  static constexpr int64_t kRawBytes = sizeof(Q6_K::Block);
  static constexpr bool kSigned = true, kWide = false;

  SW_AVX2_INLINE static WeightBlock unpack(const std::byte* src) {
    const auto& block = *reinterpret_cast<const Q6_K::Block*>(src);
    WeightBlock out;
    unpack_scales(block, out);
    __m256i low[8];  // [k]: groups 0 1 4 5 of the block, [4 + k]: groups 2 3 6 7
    unpack_nibbles(block.low, low);
    const __m256 first = _mm256_castsi256_ps(load_bytes(block.high));
    const __m256 second = _mm256_castsi256_ps(load_bytes(block.high + 32));
    const __m256 bits[4] = {_mm256_shuffle_ps(first, second, 0x00), _mm256_shuffle_ps(first, second, 0x55),
                            _mm256_shuffle_ps(first, second, 0xaa), _mm256_shuffle_ps(first, second, 0xff)};
    const __m256i even = _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4);
    const __m256i odd = _mm256_setr_epi32(2, 6, 2, 6, 2, 6, 2, 6);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const __m256i even_low = _mm256_blend_epi32(low[k], _mm256_slli_epi64(low[4 + k], 32), 0xaa);
      const __m256i odd_low = _mm256_blend_epi32(_mm256_srli_epi64(low[k], 32), low[4 + k], 0xaa);
      out.q[k] = join(even_low, _mm256_srlv_epi32(_mm256_castps_si256(bits[k]), even));
      out.q[4 + k] = join(odd_low, _mm256_srlv_epi32(_mm256_castps_si256(bits[k]), odd));
    }
    return out;
  }

  /// Groups of 32 have two scales here, one for each half: those of the even groups' first halves, of their
  /// second halves, then of the odd groups'.
  SW_AVX2_INLINE static __m128i ordered_scales(const Q6_K::Block& block) {
    const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales)), order);
  }

 private:
  /// Four low bits and the two lowest bits of `high`, less 32.
  SW_AVX2_INLINE static __m256i join(__m256i low, __m256i high) {
    const __m256i top = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
    return _mm256_sub_epi8(_mm256_or_si256(low, top), _mm256_set1_epi8(32));
  }

  SW_AVX2_INLINE static void unpack_scales(const Q6_K::Block& block, WeightBlock& out) {
    const __m128i bytes = ordered_scales(block);
    const __m256 d = _mm256_set1_ps(_cvtsh_ss(block.d));
    out.scale[0] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
    out.scale[1] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
  }
};

/// Calls f.operator()<Format>() with the format of `type`; false where it is none of these.
template <class F>
bool with_format_k(Type type, F&& f) {
  if (type == Type::Q4_K) return f.template operator()<FormatQ4K>(), true;
  if (type == Type::Q5_K) return f.template operator()<FormatQ5K>(), true;
  if (type == Type::Q6_K) return f.template operator()<FormatQ6K>(), true;
  return false;
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options
