// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cpu/avx2/int8_tile.h"
#include "kernels/cpu/avx512/vnni_tile.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

namespace sw {
namespace {

/// Rows as stored for vnni_tile.h: unpacked as for AVX2, two put together. This costs about as much as the
/// products of two tokens.
template <class Format>
struct StoredSource {
  static constexpr int kZero = Format::kSigned ? 128 : 0;
  StoredRows<Format> rows;
  int64_t row_end;

  SW_AVX512_INLINE GroupBlock unpack(int64_t r, int64_t b) const {
    GroupBlock out;
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
      const WeightBlock first = unpack_row(r + 2 * p, b), second = unpack_row(r + 2 * p + 1, b);
#pragma GCC unroll 8
      for (int v = 0; v < 8; ++v) {
        out.q[p][v] = _mm512_inserti64x4(_mm512_castsi256_si512(first.q[v]), second.q[v], 1);
        if constexpr (kZero != 0) out.q[p][v] = _mm512_xor_si512(out.q[p][v], _mm512_set1_epi8(-128));
      }
#pragma GCC unroll 2
      for (int odd = 0; odd < 2; ++odd) out.scale[p][odd] = join(first.scale[odd], second.scale[odd]);
      if constexpr (kZero == 0) out.min[p] = join(first.min, second.min);
    }
    return out;
  }

 private:
  /// Past the end the last row again, which nobody stores.
  SW_AVX512_INLINE WeightBlock unpack_row(int64_t r, int64_t b) const {
    return rows.unpack(r < row_end ? r : row_end - 1, b);
  }
  SW_AVX512_INLINE static __m512 join(__m256 first, __m256 second) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1);
  }
};

/// The product with AVX-512 where that gains: false, and nothing done, for few tokens and very long rows.
template <class Format>
bool run_stored(const MatmulArgs& a, size_t stored_row_bytes) {
  using Matmul = VnniMatmul<StoredSource<Format>>;
  constexpr int64_t kFewTokens = 2;
  if (a.n_token <= kFewTokens || Matmul::blocks(a.n_in) > Matmul::kTileBlocks) return false;
  const StoredSource<Format> source{StoredRows<Format>(a, stored_row_bytes), a.row_end};
  Matmul(a, source).run_tiles();
  return true;
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options
