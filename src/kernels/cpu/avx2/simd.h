// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <immintrin.h>

/// What the AVX2 files share. All of it is in an anonymous namespace on purpose: code for a higher
/// instruction set must never be a weak symbol, of which the linker keeps one copy for every caller. For
/// the same reason nothing in here, or in the files that include it, calls a std:: template or an inline
/// function of another header inside the pragma's region (scripts/check_isa looks at the objects).
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

/// For the pieces of inner loops: values must stay in registers, however often a piece is used.
#define SW_AVX2_INLINE inline __attribute__((always_inline))

namespace sw {
namespace {

/// Asks the cache for what stands 4 KiB behind `p`, as many bytes as are read at `p` now, unless `end` comes
/// before. Products with few tokens wait for their weights, and the CPU's own prefetcher asks too late where
/// rows are short.
SW_AVX2_INLINE void prefetch_ahead(const std::byte* p, int64_t n_bytes, const std::byte* end) {
  constexpr int64_t kAhead = 4096, kLine = 64;
  if (end - p <= kAhead) return;
  for (int64_t at = 0; at < n_bytes; at += kLine)
    _mm_prefetch(reinterpret_cast<const char*>(p + kAhead + at), _MM_HINT_T0);
}

/// The sum of 8 lanes, always in this order.
inline float sum_lanes(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_hadd_ps(s, s);
  return _mm_cvtss_f32(_mm_hadd_ps(s, s));
}

inline float max_lanes(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/// All ones in the first n of 8 lanes, 0 <= n <= 8.
inline __m256i first_lanes(int64_t n) {
  static constexpr int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask + 8 - n));
}

/// How 8 elements of a plain format become f32, and the last n < 8 of a row, filled up with zeros.
struct LoadF32 {
  static constexpr int64_t kBytes = 4;
  static __m256 load(const std::byte* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static __m256 load_part(const std::byte* p, int64_t n) {
    return _mm256_maskload_ps(reinterpret_cast<const float*>(p), first_lanes(n));
  }
};

template <class Half>
struct LoadHalf {
  static constexpr int64_t kBytes = 2;
  static __m256 load(const std::byte* p) {
    return Half::widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static __m256 load_part(const std::byte* p, int64_t n) {
    __m128i bits = _mm_setzero_si128();
    std::memcpy(&bits, p, static_cast<size_t>(n * kBytes));
    return Half::widen(bits);
  }
};

struct WidenF16 {
  static __m256 widen(__m128i bits) { return _mm256_cvtph_ps(bits); }
};
struct WidenBf16 {
  static __m256 widen(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
};
using LoadF16 = LoadHalf<WidenF16>;
using LoadBf16 = LoadHalf<WidenBf16>;

/// exp_exact() of base/math.h in each lane: the same operations in the same order, the same bits.
inline __m256 exp_lanes(__m256 x) {
  const __m256 shift = _mm256_set1_ps(12582912.0f), one = _mm256_set1_ps(1.0f);
  const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), shift);
  const __m256 n = _mm256_sub_ps(shifted, shift);
  __m256 r = _mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(0.693359375f)));
  r = _mm256_add_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(2.12194440e-4f)));
  __m256 p = _mm256_set1_ps(1.0f / 5040.0f);
  p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.0f / 720.0f));
  p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.0f / 120.0f));
  p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.0f / 24.0f));
  p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.0f / 6.0f));
  p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(0.5f));
  p = _mm256_add_ps(_mm256_mul_ps(p, r), one);
  p = _mm256_add_ps(_mm256_mul_ps(p, r), one);
  const __m256i exponent = _mm256_cvttps_epi32(n), half = _mm256_srai_epi32(exponent, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i scale_a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i scale_b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(exponent, half), bias), 23);
  p = _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(scale_a)), _mm256_castsi256_ps(scale_b));
  p = _mm256_and_ps(p, _mm256_cmp_ps(x, _mm256_set1_ps(-87.33654f), _CMP_GE_OQ));
  const __m256 infinity = _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000));
  p = _mm256_blendv_ps(p, infinity, _mm256_cmp_ps(x, _mm256_set1_ps(88.72283f), _CMP_GT_OQ));
  return _mm256_blendv_ps(p, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/// Transposes 4 x 4 values of 32 bits in each half: lane 4 h + c of out[k] is lane 4 h + k of in[c].
SW_AVX2_INLINE void transpose_4x4(const __m256i (&in)[4], __m256i* out) {
  const __m256i a = _mm256_unpacklo_epi32(in[0], in[1]), b = _mm256_unpacklo_epi32(in[2], in[3]);
  const __m256i c = _mm256_unpackhi_epi32(in[0], in[1]), d = _mm256_unpackhi_epi32(in[2], in[3]);
  out[0] = _mm256_unpacklo_epi64(a, b);
  out[1] = _mm256_unpackhi_epi64(a, b);
  out[2] = _mm256_unpacklo_epi64(c, d);
  out[3] = _mm256_unpackhi_epi64(c, d);
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options
