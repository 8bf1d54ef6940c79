// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/simd.h"

/// Plain weights, f32 activations: each output is one chain of fused multiply-adds in 8 lanes.
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

constexpr int64_t kRowTile = 4, kTokenTile = 3;  // 12 sums, 3 activations, 1 weight: all 16 registers
constexpr int64_t kTokenBlock = 48;              ///< tokens whose activations should stay in the L2 cache

/// Activations as they are, filled up with zeros to whole cache lines.
size_t act_bytes(int64_t n_in) { return (static_cast<size_t>(n_in) * sizeof(float) + 63) / 64 * 64; }

void pack(const float* x, int64_t n_in, std::byte* packed) {
  const size_t n_bytes = static_cast<size_t>(n_in) * sizeof(float);
  std::memcpy(packed, x, n_bytes);
  std::memset(packed + n_bytes, 0, act_bytes(n_in) - n_bytes);
}

/// Stored rows, one after the other.
struct Rows {
  const std::byte* data;
  int64_t row_bytes, n_in;
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
    const __m256 w = kPart ? Load::load_part(p, rows.n_in - i) : Load::load(p);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) acc[r][t] = _mm256_fmadd_ps(w, act[t], acc[r][t]);
  }
}

/// R rows from `r` on and T tokens from `t` on.
template <class Load, int R, int T>
void micro_tile(const MatmulArgs& a, int64_t row_bytes, int64_t r, int64_t t) {
  const int64_t n_whole = a.n_in / 8 * 8;
  const Rows rows{a.weights + r * row_bytes, row_bytes, a.n_in};
  const float* x[T];
  for (int j = 0; j < T; ++j) x[j] = reinterpret_cast<const float*>(a.act(t + j, act_bytes(a.n_in)));
  __m256 acc[R][T];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < T; ++j) acc[i][j] = _mm256_setzero_ps();
  }
  for (int64_t i = 0; i < n_whole; i += 8) add_vector<Load, R, T, false>(rows, x, i, acc);
  if (n_whole < a.n_in) add_vector<Load, R, T, true>(rows, x, n_whole, acc);
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < T; ++j) a.out[(t + j) * a.out_stride + r + i] = sum_lanes(acc[i][j]);
  }
}

template <class Load, int R>
void run_rows(const MatmulArgs& a, int64_t row_bytes, int64_t r, int64_t begin, int64_t end) {
  int64_t t = begin;
  for (; t + kTokenTile <= end; t += kTokenTile) micro_tile<Load, R, kTokenTile>(a, row_bytes, r, t);
  if (end - t == 2) micro_tile<Load, R, 2>(a, row_bytes, r, t);
  if (end - t == 1) micro_tile<Load, R, 1>(a, row_bytes, r, t);
}

template <class Load>
void run_format(const MatmulArgs& a, size_t stored_row_bytes) {
  const auto row_bytes = static_cast<int64_t>(stored_row_bytes);
  for (int64_t begin = 0; begin < a.n_token; begin += kTokenBlock) {
    const int64_t end = begin + kTokenBlock < a.n_token ? begin + kTokenBlock : a.n_token;
    int64_t r = a.row_begin;
    for (; r + kRowTile <= a.row_end; r += kRowTile) run_rows<Load, kRowTile>(a, row_bytes, r, begin, end);
    for (; r < a.row_end; ++r) run_rows<Load, 1>(a, row_bytes, r, begin, end);
  }
}

const char* refuses(const MatmulDesc& desc) {
  const bool mine = desc.weight == Type::F32 || desc.weight == Type::F16 || desc.weight == Type::BF16;
  return mine ? nullptr : "only F32, F16 and BF16 weights";
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options

namespace sw {
namespace {

void run(const MatmulArgs& a) {
  const size_t stored_row_bytes = row_bytes(a.weight, a.n_in);
  if (a.weight == Type::F32) return run_format<LoadF32>(a, stored_row_bytes);
  if (a.weight == Type::F16) return run_format<LoadF16>(a, stored_row_bytes);
  run_format<LoadBf16>(a, stored_row_bytes);
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
