// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cpu/act_q8.h"
#include "kernels/cpu/avx2/simd.h"
#include "kernels/matmul.h"

/// The integer matrix product, written once for every quantised format. A format brings
///   kRawBytes             stored bytes of 256 weights
///   kSigned               weights are -128..127 and have no minimum; else 0..31 less a minimum per group
///   kWide                 products of 8 weights do not fit the sum in 16 bits
///   unpack(src)           256 stored weights -> WeightBlock
/// and Int8Matmul<Format>::run is its kernel.
///
/// Each output's bits are those of one fixed sum: per block of 256 the even groups, the odd groups, the
/// minimums; blocks in ascending order; then the 8 lanes. Integer sums are exact, so tiling is free.
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

/// 256 weights in the order of ActQ8: w = scale * q - min.
struct WeightBlock {
  __m256i q[8];
  __m256 scale[2];  ///< lane by lane for the even and the odd groups' vectors
  __m256 min;       ///< of the groups, in ActQ8's order; unset for a signed format
};

/// A micro-tile is 3 weight rows times 2 tokens: 6 integer sums and 6 results in 16 registers.
constexpr int64_t kRowTile = 3, kTokenTile = 2;
/// Unpacked rows are kept on the stack for all tokens: 33 KiB, most of an L1 cache.
constexpr int64_t kTileBlocks = 96, kMaxTileRows = 12;

/// Keeps a value in a register here and now. Left alone, GCC regroups the integer sums below into trees,
/// which need more registers than there are.
SW_AVX2_INLINE void pin(__m256i& v) { asm("" : "+x"(v)); }

/// Adds up four products of 8-bit integers to two of 16 bits, or (wide) one of 32 bits.
template <class Format>
SW_AVX2_INLINE __m256i multiply(__m256i w, __m256i magnitude, __m256i x) {
  if constexpr (!Format::kSigned) return _mm256_maddubs_epi16(w, x);
  const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w));
  return Format::kWide ? _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)) : pairs;
}

template <class Format>
SW_AVX2_INLINE __m256i add_products(__m256i a, __m256i b) {
  return Format::kWide ? _mm256_add_epi32(a, b) : _mm256_add_epi16(a, b);
}

/// The products of R rows and T tokens over the even (odd = 0) or the odd groups of one block.
template <class Format, int R, int T>
SW_AVX2_INLINE void add_groups(const WeightBlock* const (&w)[R], const ActQ8* const (&x)[T], int odd,
                               __m256 (&acc)[R][T]) {
  __m256i sum[R][T];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    __m256i weight[R], magnitude[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      weight[r] = w[r]->q[4 * odd + k];
      pin(weight[r]);
      magnitude[r] = _mm256_abs_epi8(weight[r]);
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      const __m256i act = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[t]->q + 128 * odd + 32 * k));
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const __m256i product = multiply<Format>(weight[r], magnitude[r], act);
        sum[r][t] = k == 0 ? product : add_products<Format>(sum[r][t], product);
        pin(sum[r][t]);
      }
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
    const __m256 act_scale = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(x[t]->scale + 4 * odd));
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const __m256i dot = Format::kWide ? sum[r][t] : _mm256_madd_epi16(sum[r][t], _mm256_set1_epi16(1));
      const __m256 scale = _mm256_mul_ps(w[r]->scale[odd], act_scale);
      acc[r][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, acc[r][t]);
    }
  }
}

template <class Format, int R, int T>
SW_AVX2_INLINE void add_block(const WeightBlock* const (&w)[R], const ActQ8* const (&x)[T],
                              __m256 (&acc)[R][T]) {
  add_groups<Format>(w, x, 0, acc);
  add_groups<Format>(w, x, 1, acc);
  if constexpr (Format::kSigned) return;
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
    const __m256 sum = _mm256_loadu_ps(x[t]->sum);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) acc[r][t] = _mm256_fnmadd_ps(w[r]->min, sum, acc[r][t]);
  }
}

/// Rows as stored, unpacked block by block. Formats whose rows begin with a header need a reader of their
/// own.
template <class Format>
struct StoredRows {
  const std::byte* data;
  int64_t row_bytes;
  const std::byte* end;  ///< of the rows to multiply
  int64_t n_whole;       ///< whole blocks of 256 in a row
  int64_t tail_bytes;    ///< stored bytes of a row beyond them
  int64_t n_block;

  /// `stored_row_bytes` is row_bytes() of quant/type.h: an inline function, so the caller asks it.
  StoredRows(const MatmulArgs& a, size_t stored_row_bytes)
      : data(a.weights),
        row_bytes(static_cast<int64_t>(stored_row_bytes)),
        end(data + a.row_end * row_bytes),
        n_whole(a.n_in / 256),
        tail_bytes(row_bytes - n_whole * Format::kRawBytes),
        n_block(n_whole + (tail_bytes > 0)) {}

  SW_AVX2_INLINE const std::byte* block(int64_t r, int64_t b) const {
    return data + r * row_bytes + b * Format::kRawBytes;
  }
  /// Block `b` of row `r`; the last one may be short and is filled up with zeros.
  SW_AVX2_INLINE WeightBlock unpack(int64_t r, int64_t b) const {
    const std::byte* src = block(r, b);
    if (b < n_whole) return Format::unpack(src);
    std::byte padded[Format::kRawBytes] = {};
    std::memcpy(padded, src, static_cast<size_t>(tail_bytes));
    return Format::unpack(padded);
  }
};

template <class Format>
struct Int8Matmul {
  const MatmulArgs& args;
  StoredRows<Format> rows;
  size_t act_bytes;
  int64_t n_block;

  Int8Matmul(const MatmulArgs& a, size_t stored_row_bytes)
      : args(a), rows(a, stored_row_bytes), act_bytes(act_q8_bytes(a.n_in)), n_block(rows.n_block) {}

  /// R rows from `r` on and T tokens from `t` on; weights.add(b, ...) adds their products with block b.
  template <int R, int T, class Weights>
  void micro_tile(int64_t r, int64_t t, const Weights& weights) const {
    const ActQ8* x[T];
#pragma GCC unroll 4
    for (int j = 0; j < T; ++j) x[j] = reinterpret_cast<const ActQ8*>(args.act(t + j, act_bytes));
    __m256 acc[R][T];
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < T; ++j) acc[i][j] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < n_block; ++b) {
      weights.template add<R, T>(b, x, acc);
#pragma GCC unroll 4
      for (int j = 0; j < T; ++j) ++x[j];
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < T; ++j) args.out[(t + j) * args.out_stride + r + i] = sum_lanes(acc[i][j]);
    }
  }

  /// One row's weights, unpacked on the way.
  struct Stored {
    const StoredRows<Format>& rows;
    int64_t row;

    template <int R, int T>
    SW_AVX2_INLINE void add(int64_t b, const ActQ8* const (&x)[T], __m256 (&acc)[R][T]) const {
      static_assert(R == 1);
      prefetch_ahead(rows.block(row, b), Format::kRawBytes, rows.end);
      const WeightBlock block = rows.unpack(row, b);
      const WeightBlock* const w[1] = {&block};
      add_block<Format>(w, x, acc);
    }
  };

  /// Rows that were unpacked before.
  struct Tile {
    const WeightBlock* blocks;
    int64_t n_block;

    template <int R, int T>
    SW_AVX2_INLINE void add(int64_t b, const ActQ8* const (&x)[T], __m256 (&acc)[R][T]) const {
      const WeightBlock* w[R];
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) w[i] = blocks + i * n_block + b;
      add_block<Format, R, T>(w, x, acc);
    }
  };

  /// One or two tokens from `t` on.
  template <int R, class Weights>
  void tokens(int64_t r, int64_t t, const Weights& weights) const {
    if (args.n_token - t >= kTokenTile) {
      micro_tile<R, kTokenTile>(r, t, weights);
    } else {
      micro_tile<R, 1>(r, t, weights);
    }
  }

  /// One row after the other: a pure stream, as the CPU's prefetcher likes it.
  void run_stored() const {
    for (int64_t t = 0; t < args.n_token; t += kTokenTile) {
      for (int64_t r = args.row_begin; r < args.row_end; ++r) {
        tokens<1>(r, t, Stored{rows, r});
      }
    }
  }

  void run_tile(WeightBlock* tile, int64_t begin, int64_t end) const {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t b = 0; b < n_block; ++b) {
        tile[(r - begin) * n_block + b] = rows.unpack(r, b);
      }
    }
    for (int64_t t = 0; t < args.n_token; t += kTokenTile) {
      int64_t r = begin;
      for (; r + kRowTile <= end; r += kRowTile) {
        tokens<kRowTile>(r, t, Tile{tile + (r - begin) * n_block, n_block});
      }
      for (; r < end; ++r) tokens<1>(r, t, Tile{tile + (r - begin) * n_block, n_block});
    }
  }

  /// Unpacks rows on the way for few tokens and for rows too long to keep, else once for all tokens.
  void run() const {
    int64_t n_row = n_block * kMaxTileRows <= kTileBlocks ? kMaxTileRows : kTileBlocks / n_block;
    if (n_row > kRowTile) n_row -= n_row % kRowTile;
    if (args.n_token <= kTokenTile || n_row == 0) return run_stored();
    WeightBlock tile[kTileBlocks];
    for (int64_t r = args.row_begin; r < args.row_end; r += n_row) {
      run_tile(tile, r, r + n_row < args.row_end ? r + n_row : args.row_end);
    }
  }
};

}  // namespace
}  // namespace sw

#pragma GCC pop_options
