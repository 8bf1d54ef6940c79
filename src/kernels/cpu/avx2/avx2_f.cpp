// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/simd.h"

/// f32 activations, and any weights: plain ones are read as they are, others are decoded a piece of a few
/// rows at a time. Each output is one chain of fused multiply-adds in 8 lanes; of decoded rows, one chain a
/// piece.
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

constexpr int64_t kRowTile = 4, kTokenTile = 3;  // 12 sums, 3 activations, 1 weight: all 16 registers
constexpr int64_t kTokenBlock = 48;              ///< tokens whose activations should stay in the L2 cache
constexpr int64_t kPiece =
    1024;  ///< weights of a row that are decoded at a time: of a row tile, half an L1 cache

/// Activations as they are, filled up with zeros to whole cache lines.
size_t act_bytes(int64_t n_in) { return (static_cast<size_t>(n_in) * sizeof(float) + 63) / 64 * 64; }

void pack(const float* x, int64_t n_in, std::byte* packed) {
  const size_t n_bytes = static_cast<size_t>(n_in) * sizeof(float);
  std::memcpy(packed, x, n_bytes);
  std::memset(packed + n_bytes, 0, act_bytes(n_in) - n_bytes);
}

/// The elements [begin, begin + n) of rows r, r + 1, ... of the matrix, whose bytes from there on lie at
/// `data`, `row_bytes` apart.
struct Rows {
  const std::byte* data;
  int64_t row_bytes, begin, n, r;
};

/// Elements [i, i + 8) of R rows, or (kPart) the last few, times those of T tokens.
template <class Load, int R, int T, bool kPart>
inline void add_vector(const Rows& rows, const float* const (&x)[T], int64_t i, __m256 (&acc)[R][T]) {
  __m256 act[T];
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) act[t] = _mm256_loadu_ps(x[t] + i);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const std::byte* p = rows.data + r * rows.row_bytes + i * Load::kBytes;
    const __m256 w = kPart ? Load::load_part(p, rows.n - i) : Load::load(p);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) acc[r][t] = _mm256_fmadd_ps(w, act[t], acc[r][t]);
  }
}

/// R rows and T tokens from `t` on. The first elements of rows set an output, others add to it.
template <class Load, int R, int T>
void micro_tile(const MatmulArgs& a, const Rows& rows, int64_t t) {
  const int64_t n_whole = rows.n / 8 * 8;
  const float* x[T];
  for (int j = 0; j < T; ++j) {
    x[j] = reinterpret_cast<const float*>(a.act(t + j, act_bytes(a.n_in))) + rows.begin;
  }
  __m256 acc[R][T];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < T; ++j) acc[i][j] = _mm256_setzero_ps();
  }
  for (int64_t i = 0; i < n_whole; i += 8) add_vector<Load, R, T, false>(rows, x, i, acc);
  if (n_whole < rows.n) add_vector<Load, R, T, true>(rows, x, n_whole, acc);
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < T; ++j) {
      float& out = a.out[(t + j) * a.out_stride + rows.r + i];
      out = rows.begin == 0 ? sum_lanes(acc[i][j]) : out + sum_lanes(acc[i][j]);
    }
  }
}

template <class Load, int R>
void run_rows(const MatmulArgs& a, const Rows& rows, int64_t begin, int64_t end) {
  int64_t t = begin;
  for (; t + kTokenTile <= end; t += kTokenTile) micro_tile<Load, R, kTokenTile>(a, rows, t);
  if (end - t == 2) micro_tile<Load, R, 2>(a, rows, t);
  if (end - t == 1) micro_tile<Load, R, 1>(a, rows, t);
}

template <class Load>
void run_format(const MatmulArgs& a, size_t stored_row_bytes) {
  const auto row_bytes = static_cast<int64_t>(stored_row_bytes);
  const auto rows = [&](int64_t r) { return Rows{a.weights + r * row_bytes, row_bytes, 0, a.n_in, r}; };
  for (int64_t begin = 0; begin < a.n_token; begin += kTokenBlock) {
    const int64_t end = begin + kTokenBlock < a.n_token ? begin + kTokenBlock : a.n_token;
    int64_t r = a.row_begin;
    for (; r + kRowTile <= a.row_end; r += kRowTile) run_rows<Load, kRowTile>(a, rows(r), begin, end);
    for (; r < a.row_end; ++r) run_rows<Load, 1>(a, rows(r), begin, end);
  }
}

/// How rows of a format become floats: TypeTraits::decode_range, and their size.
struct RowDecoder {
  void (*decode_range)(const std::byte* row, int64_t begin, int64_t n_elems, float* dst);
  int64_t row_bytes;
};

/// R rows from `r` on: each piece is decoded once, for all tokens.
template <int R>
void run_decoded_rows(const MatmulArgs& a, const RowDecoder& decoder, int64_t r) {
  alignas(64) float weights[R][kPiece];
  for (int64_t begin = 0; begin < a.n_in; begin += kPiece) {
    const int64_t n = a.n_in - begin < kPiece ? a.n_in - begin : kPiece;
    for (int i = 0; i < R; ++i) {
      decoder.decode_range(a.weights + (r + i) * decoder.row_bytes, begin, n, weights[i]);
    }
    const Rows rows{reinterpret_cast<const std::byte*>(weights), sizeof weights[0], begin, n, r};
    run_rows<LoadF32, R>(a, rows, 0, a.n_token);
  }
}

void run_decoded(const MatmulArgs& a, const RowDecoder& decoder) {
  int64_t r = a.row_begin;
  for (; r + kRowTile <= a.row_end; r += kRowTile) run_decoded_rows<kRowTile>(a, decoder, r);
  for (; r < a.row_end; ++r) run_decoded_rows<1>(a, decoder, r);
}

const char* refuses(const MatmulDesc&) { return nullptr; }

}  // namespace
}  // namespace sw

#pragma GCC pop_options

namespace sw {
namespace {

void run(const MatmulArgs& a) {
  const size_t stored_row_bytes = row_bytes(a.weight, a.n_in);
  if (a.weight == Type::F32) return run_format<LoadF32>(a, stored_row_bytes);
  if (a.weight == Type::F16) return run_format<LoadF16>(a, stored_row_bytes);
  if (a.weight == Type::BF16) return run_format<LoadBf16>(a, stored_row_bytes);
  run_decoded(a, {traits(a.weight).decode_range, static_cast<int64_t>(stored_row_bytes)});
}

}  // namespace

const MatmulKernel avx2_f = {
    .name = "avx2_f", .isa = Isa::Avx2, .refuses = refuses, .act_bytes = act_bytes, .pack = pack, .run = run};

}  // namespace sw
#else
namespace sw {
const MatmulKernel avx2_f = not_built("avx2_f", Isa::Avx2);
}
#endif
