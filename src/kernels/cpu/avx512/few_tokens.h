// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cpu/avx2/formats_k.h"
#include "kernels/cpu/avx512/vnni_tile.h"

/// The products of rows as stored with one or two tokens, where unpacking is most of the work: a register
/// holds two of ActQ8's vectors of 32 bytes, and one permutation brings the stored bytes into their order.
/// Each lane does what avx2/int8_tile.h's does in the same order, and integer sums are exact: the bits are
/// the same.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

namespace sw {
namespace {

/// 256 weights of a row: w = scale * (q - kZero) - min.
struct RowBlock {
  __m512i q[4];  ///< vectors 0 1 and 2 3 of the even groups, then of the odd ones
  __m512 scale;  ///< lanes 0-7 of the even groups' vectors, 8-15 of the odd ones'
  __m256 min;    ///< of the groups, in ActQ8's order; unset where kZero is not 0
};

SW_AVX512_INLINE __m512i load_64(const void* p) { return _mm512_loadu_si512(p); }
SW_AVX512_INLINE __m512i nibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }

/// Four lanes of even groups and four of odd ones, each for both halves of its groups.
SW_AVX512_INLINE __m512 for_both_halves(__m256 v) {
  const __m512 wide = _mm512_castps256_ps512(v);
  return _mm512_shuffle_f32x4(wide, wide, 0x50);
}

/// The 32-bit lanes of vectors 2 p and 2 p + 1: those of each half h of four groups, whose first lanes stand
/// at `begin` among the 32 lanes of two registers.
SW_AVX512_INLINE __m512i lanes_of(int p, int begin0, int begin1, int begin2, int begin3) {
  const __m512i k = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 1, 1, 1, 1, 5, 5, 5, 5);
  const __m512i begin = _mm512_broadcast_i32x4(_mm_setr_epi32(begin0, begin1, begin2, begin3));
  return _mm512_add_epi32(_mm512_add_epi32(k, begin), _mm512_set1_epi32(2 * p));
}
SW_AVX512_INLINE __m512i in_each_half(int a, int b, int c, int d) {
  return _mm512_broadcast_i32x4(_mm_setr_epi32(a, b, c, d));
}

template <class Format>
struct RowReader;

/// The quants' low four bits of Q4_K and Q5_K, and their scales and minimums.
template <class Block>
SW_AVX512_INLINE void read_low(const Block& block, RowBlock& out) {
  const __m512i first = load_64(block.q), second = load_64(block.q + 64);
#pragma GCC unroll 2
  for (int p = 0; p < 2; ++p) {
    const __m512i both = _mm512_permutex2var_epi32(first, lanes_of(p, 0, 8, 16, 24), second);
    out.q[p] = nibbles(both);
    out.q[2 + p] = nibbles(_mm512_srli_epi16(both, 4));
  }
  const KFactors factors = read_factors(block);
  out.scale = for_both_halves(factors.scale);
  out.min = factors.min;
}

template <>
struct RowReader<FormatQ4K> {
  static constexpr int kZero = 0;
  SW_AVX512_INLINE static RowBlock read(const std::byte* src) {
    RowBlock out;
    read_low(*reinterpret_cast<const Q4_K::Block*>(src), out);
    return out;
  }
};

template <>
struct RowReader<FormatQ5K> {
  static constexpr int kZero = 0;
  SW_AVX512_INLINE static RowBlock read(const std::byte* src) {
    const auto& block = *reinterpret_cast<const Q5_K::Block*>(src);
    RowBlock out;
    read_low(block, out);
    // Bit g of byte i is the fifth bit of weight i of group g: it is turned to its place.
    const __m512i high = _mm512_castsi256_si512(load_bytes(block.high)), fifth = _mm512_set1_epi8(16);
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
      const __m512i bits = _mm512_permutexvar_epi32(lanes_of(p, 0, 0, 0, 0), high);
      const __m512i even = _mm512_rolv_epi32(bits, in_each_half(4, 2, 0, 30));
      const __m512i odd = _mm512_rolv_epi32(bits, in_each_half(3, 1, 31, 29));
      out.q[p] = _mm512_or_si512(out.q[p], _mm512_and_si512(even, fifth));
      out.q[2 + p] = _mm512_or_si512(out.q[2 + p], _mm512_and_si512(odd, fifth));
    }
    return out;
  }
};

template <>
struct RowReader<FormatQ6K> {
  static constexpr int kZero = 32;
  SW_AVX512_INLINE static RowBlock read(const std::byte* src) {
    const auto& block = *reinterpret_cast<const Q6_K::Block*>(src);
    const __m512i first = load_64(block.low), second = load_64(block.low + 64), high = load_64(block.high);
    const __m512i top = _mm512_set1_epi8(48), nibble = in_each_half(0, 4, 0, 4);
    RowBlock out;
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
      const __m512i even = _mm512_permutex2var_epi32(first, lanes_of(p, 0, 0, 16, 16), second);
      const __m512i odd = _mm512_permutex2var_epi32(first, lanes_of(p, 8, 8, 24, 24), second);
      const __m512i bits = _mm512_permutexvar_epi32(lanes_of(p, 0, 0, 8, 8), high);
      const __m512i even_top = _mm512_and_si512(_mm512_rolv_epi32(bits, in_each_half(4, 0, 4, 0)), top);
      const __m512i odd_top = _mm512_and_si512(_mm512_rolv_epi32(bits, in_each_half(2, 30, 2, 30)), top);
      out.q[p] = _mm512_or_si512(nibbles(_mm512_srlv_epi32(even, nibble)), even_top);
      out.q[2 + p] = _mm512_or_si512(nibbles(_mm512_srlv_epi32(odd, nibble)), odd_top);
    }
    const __m512 scale = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(FormatQ6K::ordered_scales(block)));
    out.scale = _mm512_mul_ps(_mm512_set1_ps(_cvtsh_ss(block.d)), scale);
    return out;
  }
};

/// Of the even groups in lanes 0-7 and of the odd ones in 8-15: the sums of two registers each, lane by lane.
SW_AVX512_INLINE __m512i fold(__m512i even, __m512i odd) {
  return _mm512_add_epi32(_mm512_shuffle_i64x2(even, odd, 0x44), _mm512_shuffle_i64x2(even, odd, 0xee));
}

/// R rows from `r` on and T tokens from `t` on.
template <class Format, int R, int T>
void few_tile(const MatmulArgs& a, size_t stored_row_bytes, int64_t r, int64_t t) {
  using Reader = RowReader<Format>;
  const size_t act_bytes = act_q8_bytes(a.n_in);
  const std::byte* row[R];
  const ActQ8* x[T];
  __m256 acc[R][T];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
    row[i] = a.weights + static_cast<size_t>(r + i) * stored_row_bytes;
#pragma GCC unroll 4
    for (int j = 0; j < T; ++j) acc[i][j] = _mm256_setzero_ps();
  }
#pragma GCC unroll 4
  for (int j = 0; j < T; ++j) x[j] = reinterpret_cast<const ActQ8*>(a.act(t + j, act_bytes));
  const std::byte* end = a.weights + static_cast<size_t>(a.row_end) * stored_row_bytes;
  const __m512i none = _mm512_setzero_si512(), zero = _mm512_set1_epi8(Reader::kZero);
  for (int64_t b = 0; b < a.n_in / 256; ++b) {
    RowBlock w[R];
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      prefetch_ahead(row[i], Format::kRawBytes, end);
      w[i] = Reader::read(row[i]);
      row[i] += Format::kRawBytes;
    }
#pragma GCC unroll 4
    for (int j = 0; j < T; ++j) {
      __m512i act[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) act[k] = load_64(x[j]->q + 64 * k);
      __m512i offset = none;
      if constexpr (Reader::kZero != 0) {
        offset = fold(_mm512_dpbusd_epi32(_mm512_dpbusd_epi32(none, zero, act[0]), zero, act[1]),
                      _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(none, zero, act[2]), zero, act[3]));
      }
      const __m512 act_scale = for_both_halves(_mm256_loadu_ps(x[j]->scale));
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) {
        const __m512i(&q)[4] = w[i].q;
        __m512i dot = fold(_mm512_dpbusd_epi32(_mm512_dpbusd_epi32(none, q[0], act[0]), q[1], act[1]),
                           _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(none, q[2], act[2]), q[3], act[3]));
        if constexpr (Reader::kZero != 0) dot = _mm512_sub_epi32(dot, offset);
        const __m512 product = _mm512_cvtepi32_ps(dot), scale = _mm512_mul_ps(w[i].scale, act_scale);
        acc[i][j] =
            _mm256_fmadd_ps(_mm512_castps512_ps256(product), _mm512_castps512_ps256(scale), acc[i][j]);
        acc[i][j] =
            _mm256_fmadd_ps(_mm512_extractf32x8_ps(product, 1), _mm512_extractf32x8_ps(scale, 1), acc[i][j]);
        if constexpr (Reader::kZero == 0)
          acc[i][j] = _mm256_fnmadd_ps(w[i].min, _mm256_loadu_ps(x[j]->sum), acc[i][j]);
      }
      ++x[j];
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < T; ++j) a.out[(t + j) * a.out_stride + r + i] = sum_lanes(acc[i][j]);
  }
}

/// Two rows at a time: one alone would wait for its own sums.
template <class Format, int T>
void few_rows(const MatmulArgs& a, size_t stored_row_bytes, int64_t t) {
  int64_t r = a.row_begin;
  for (; r + 2 <= a.row_end; r += 2) few_tile<Format, 2, T>(a, stored_row_bytes, r, t);
  if (r < a.row_end) few_tile<Format, 1, T>(a, stored_row_bytes, r, t);
}

template <class Format>
void run_few(const MatmulArgs& a, size_t stored_row_bytes) {
  int64_t t = 0;
  for (; t + 2 <= a.n_token; t += 2) few_rows<Format, 2>(a, stored_row_bytes, t);
  if (t < a.n_token) few_rows<Format, 1>(a, stored_row_bytes, t);
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options
