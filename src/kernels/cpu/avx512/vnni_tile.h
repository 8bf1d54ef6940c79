// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cpu/act_q8.h"
#include "kernels/cpu/avx2/simd.h"
#include "kernels/matmul.h"

/// The integer matrix product of avx2/int8_tile.h with AVX-512 VNNI, written once for every format and
/// layout. A source of weights brings
///   kZero         what stands for 0 in its unsigned quants, or 0: then it has minimums
///   unpack(r, b)  block b of the four rows from r on -> GroupBlock; rows past row_end may be anything
///   prefetch(r, b)  asks for what comes some blocks after this one; for run_stream() only
///
/// A register holds two rows' vectors of 32 bytes, lanes 0-7 the first row's. Each lane does what
/// int8_tile.h's does in the same order, and integer sums are exact: the bits are the same.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

#define SW_AVX512_INLINE inline __attribute__((always_inline))

namespace sw {
namespace {

/// 256 weights of four rows, as two pairs: w = scale * (q - kZero) - min.
struct GroupBlock {
  __m512i q[2][8];
  __m512 scale[2][2];  ///< [pair][odd], lane by lane
  __m512 min[2];       ///< in the lanes of ActQ8's sums; unset where kZero is not 0
};

/// 32 bytes for both rows.
SW_AVX512_INLINE __m512i both_rows(const int8_t* q) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)));
}

/// Keeps a value in a register here and now: the compiler's own order of the integer sums needs more of them.
SW_AVX512_INLINE void pin(__m512i& v) { asm("" : "+v"(v)); }

/// The products of four rows and T tokens over the even (odd = 0) or the odd groups of one block.
template <class Source, int T>
SW_AVX512_INLINE void add_groups(const GroupBlock& w, const ActQ8* const (&x)[T], int odd,
                                 __m512 (&acc)[2][T]) {
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(Source::kZero));
  __m512i sum[2][T], offset[T];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512i weight[2] = {w.q[0][4 * odd + k], w.q[1][4 * odd + k]};
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const __m512i act = both_rows(x[t]->q + 128 * odd + 32 * k);
#pragma GCC unroll 2
      for (int p = 0; p < 2; ++p) {
        sum[p][t] = _mm512_dpbusd_epi32(k == 0 ? _mm512_setzero_si512() : sum[p][t], weight[p], act);
        pin(sum[p][t]);
      }
      if constexpr (Source::kZero != 0)
        offset[t] = _mm512_dpbusd_epi32(k == 0 ? _mm512_setzero_si512() : offset[t], zero, act);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const __m512 act_scale = _mm512_broadcast_f32x4(_mm_loadu_ps(x[t]->scale + 4 * odd));
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
      __m512i dot = sum[p][t];
      if constexpr (Source::kZero != 0) dot = _mm512_sub_epi32(dot, offset[t]);
      const __m512 scale = _mm512_mul_ps(w.scale[p][odd], act_scale);
      acc[p][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, acc[p][t]);
    }
  }
}

template <class Source, int T>
SW_AVX512_INLINE void add_block(const GroupBlock& w, const ActQ8* const (&x)[T], __m512 (&acc)[2][T]) {
  add_groups<Source>(w, x, 0, acc);
  add_groups<Source>(w, x, 1, acc);
  if constexpr (Source::kZero != 0) return;
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const __m512 sum = _mm512_broadcast_f32x8(_mm256_loadu_ps(x[t]->sum));
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) acc[p][t] = _mm512_fnmadd_ps(w.min[p], sum, acc[p][t]);
  }
}

/// The sums of 8 lanes of four rows, each in the order of sum_lanes().
SW_AVX512_INLINE __m128 sum_rows(__m512 rows01, __m512 rows23) {
  const __m512 low = _mm512_shuffle_f32x4(rows01, rows23, 0x88),
               high = _mm512_shuffle_f32x4(rows01, rows23, 0xdd);
  __m512 sum = _mm512_add_ps(low, high);  // four lanes per row
  sum = _mm512_add_ps(sum, _mm512_permute_ps(sum, 0xb1));
  sum = _mm512_add_ps(sum, _mm512_permute_ps(sum, 0x4e));
  return _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, sum));
}

template <class Source>
struct VnniMatmul {
  static constexpr int64_t kRows = 4;
  /// Two registers each of results and sums, and (kZero) one of offsets, in 32.
  static constexpr int kTokenTile = Source::kZero != 0 ? 5 : 6;
  /// Unpacked rows are kept on the stack for all tokens: at most 110 KiB, in an L2 cache. As many are taken
  /// at a time as fit an L1 cache.
  static constexpr int64_t kTileBlocks = 80, kL1Blocks = 24, kMaxTileGroups = 4;

  const MatmulArgs& args;
  const Source& source;
  size_t act_bytes;
  int64_t n_block;

  VnniMatmul(const MatmulArgs& a, const Source& weights)
      : args(a), source(weights), act_bytes(act_q8_bytes(a.n_in)), n_block(blocks(a.n_in)) {}

  static int64_t blocks(int64_t n_in) { return (n_in + 255) / 256; }

  /// Four rows from `r` on and T tokens from `t` on; weights.add(b, ...) adds their products with block b.
  template <int T, class Weights>
  void micro_tile(int64_t r, int64_t t, const Weights& weights) const {
    const ActQ8* x[T];
    __m512 acc[2][T];
#pragma GCC unroll 8
    for (int j = 0; j < T; ++j) {
      x[j] = reinterpret_cast<const ActQ8*>(args.act(t + j, act_bytes));
      acc[0][j] = acc[1][j] = _mm512_setzero_ps();
    }
    for (int64_t b = 0; b < n_block; ++b) {
      weights.template add<T>(b, x, acc);
#pragma GCC unroll 8
      for (int j = 0; j < T; ++j) ++x[j];
    }
    const int64_t n_row = args.row_end - r;
    const auto mask = static_cast<__mmask8>(n_row < kRows ? (1 << n_row) - 1 : 0xf);
#pragma GCC unroll 8
    for (int j = 0; j < T; ++j)
      _mm_mask_storeu_ps(args.out + (t + j) * args.out_stride + r, mask, sum_rows(acc[0][j], acc[1][j]));
  }

  /// Weights that are unpacked on the way.
  struct Stream {
    const Source& source;
    int64_t r;

    template <int T>
    SW_AVX512_INLINE void add(int64_t b, const ActQ8* const (&x)[T], __m512 (&acc)[2][T]) const {
      source.prefetch(r, b);
      add_block<Source>(source.unpack(r, b), x, acc);
    }
  };

  /// Weights that were unpacked before.
  struct Unpacked {
    const GroupBlock* blocks;

    template <int T>
    SW_AVX512_INLINE void add(int64_t b, const ActQ8* const (&x)[T], __m512 (&acc)[2][T]) const {
      add_block<Source>(blocks[b], x, acc);
    }
  };

  /// Up to T tokens from `t` on.
  template <int T, class Weights>
  void tokens(int64_t r, int64_t t, const Weights& weights) const {
    if constexpr (T > 1) {
      if (args.n_token - t < T) return tokens<T - 1>(r, t, weights);
    }
    micro_tile<T>(r, t, weights);
  }

  /// One group of rows after the other: a pure stream, as the CPU's prefetcher likes it.
  void run_stream() const {
    for (int64_t t = 0; t < args.n_token; t += kTokenTile) {
      for (int64_t r = args.row_begin; r < args.row_end; r += kRows)
        tokens<kTokenTile>(r, t, Stream{source, r});
    }
  }

  void run_tile(GroupBlock* tile, int64_t begin, int64_t end) const {
    GroupBlock* to = tile;
    for (int64_t r = begin; r < end; r += kRows) {
      for (int64_t b = 0; b < n_block; ++b) *to++ = source.unpack(r, b);
    }
    for (int64_t t = 0; t < args.n_token; t += kTokenTile) {
      const GroupBlock* from = tile;
      for (int64_t r = begin; r < end; r += kRows, from += n_block) tokens<kTokenTile>(r, t, Unpacked{from});
    }
  }

  /// Unpacks weights once for all tokens. Rows of at most kTileBlocks blocks.
  void run_tiles() const {
    const int64_t fitting = kL1Blocks / n_block;
    const int64_t n_group = fitting < 1 ? 1 : fitting < kMaxTileGroups ? fitting : kMaxTileGroups;
    const int64_t step = n_group * kRows;
    GroupBlock tile[kTileBlocks];
    for (int64_t r = args.row_begin; r < args.row_end; r += step)
      run_tile(tile, r, r + step < args.row_end ? r + step : args.row_end);
  }
};

}  // namespace
}  // namespace sw

#pragma GCC pop_options
