// SPDX-License-Identifier: MIT
#include "kernels/cpu/act_q8.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/simd.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

/// The bits of the largest magnitude of 32 values; NaN counts as the largest.
inline uint32_t max_magnitude_bits(const float* x) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  __m256i max = _mm256_setzero_si256();
  for (int i = 0; i < 32; i += 8) {
    const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i));
    max = _mm256_max_epu32(max, _mm256_and_si256(bits, mask));
  }
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(m));
}

/// 32 values times `inverse` as bytes, in their own order.
inline __m256i quantize(const float* x, float inverse) {
  const __m256 factor = _mm256_set1_ps(inverse);
  const auto round = [&](int i) { return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor)); };
  const __m256i low = _mm256_packs_epi32(round(0), round(8)), high = _mm256_packs_epi32(round(16), round(24));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // the packs work within halves
  return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
}

/// Sums of 4 groups, one per lane, from their 4 vectors.
inline __m128i sum_groups(const __m256i* q) {
  __m256i pairs = _mm256_setzero_si256();
  for (int k = 0; k < 4; ++k) {
    pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(_mm256_set1_epi8(1), q[k]));
  }
  const __m256i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

void pack_block(const float* x, ActQ8& block) {
  alignas(32) uint32_t max_bits[8];
  for (int g = 0; g < 8; ++g) max_bits[act_q8_group(g)] = max_magnitude_bits(x + 32 * g);
  const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(max_bits));
  const __m256 max = _mm256_castsi256_ps(bits), most = _mm256_set1_ps(127.0f);
  const __m256 finite = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(0x7f800000), bits));
  // NaN compares false, so a NaN group keeps no inverse either.
  const __m256 usable = _mm256_and_ps(finite, _mm256_cmp_ps(max, _mm256_set1_ps(kActQ8Tiny), _CMP_GE_OQ));
  alignas(32) float inverse[8];
  _mm256_store_ps(inverse, _mm256_and_ps(_mm256_div_ps(most, max), usable));

  __m256i even[4], odd[4], q[8];
  const __m256i zero = _mm256_setzero_si256();
  const auto group = [&](int g) {
    return max_bits[act_q8_group(g)] < 0x7f800000u ? quantize(x + 32 * g, inverse[act_q8_group(g)]) : zero;
  };
  for (int c = 0; c < 4; ++c) {
    even[c] = group(2 * c);
    odd[c] = group(2 * c + 1);
  }
  transpose_4x4(even, q);
  transpose_4x4(odd, q + 4);
  for (int k = 0; k < 8; ++k) _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.q + 32 * k), q[k]);

  const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
  __m256 scale = _mm256_and_ps(_mm256_div_ps(max, most), usable);
  scale = _mm256_blendv_ps(nan, scale, finite);
  const __m256 sums = _mm256_cvtepi32_ps(_mm256_set_m128i(sum_groups(q + 4), sum_groups(q)));
  _mm256_storeu_ps(block.scale, scale);
  _mm256_storeu_ps(block.sum, _mm256_mul_ps(scale, sums));
}

}  // namespace

void pack_act_q8_avx2(const float* x, int64_t n_in, std::byte* packed) {
  auto* block = reinterpret_cast<ActQ8*>(packed);
  int64_t i = 0;
  for (; i + 256 <= n_in; i += 256) pack_block(x + i, *block++);
  if (i == n_in) return;
  float values[256] = {};
  std::memcpy(values, x + i, static_cast<size_t>(n_in - i) * sizeof(float));
  pack_block(values, *block);
}

}  // namespace sw

#pragma GCC pop_options
#endif
