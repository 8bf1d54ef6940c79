// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx512/rows4.h"
#include "kernels/cpu/avx512/vnni_tile.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

namespace sw {
namespace {

SW_AVX512_INLINE __m128i load_16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

/// Values of rows 2 p and 2 p + 1 in the lanes of their halves, from one of each row in lanes 0-3 (or 4-7:
/// `first`).
SW_AVX512_INLINE __m512 spread_pair(__m256 of_rows, int first) {
  const __m512i row = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  return _mm512_permutexvar_ps(_mm512_add_epi32(row, _mm512_set1_epi32(first)),
                               _mm512_zextps256_ps512(of_rows));
}

/// From scales of a pair in ActQ8's order to those of each lane.
SW_AVX512_INLINE void set_scales(__m512 scale, __m512 (&out)[2]) {
  out[0] = _mm512_shuffle_f32x4(scale, scale, 0xa0);
  out[1] = _mm512_shuffle_f32x4(scale, scale, 0xf5);
}

struct Rows4FormatQ4K {
  using Block = Rows4Q4K;
  static constexpr int kZero = 0;

  SW_AVX512_INLINE static GroupBlock unpack(const std::byte* group, int64_t, int64_t b) {
    const Rows4Q4K& packed = reinterpret_cast<const Rows4Q4K*>(group)[b];
    GroupBlock out;
    const __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const __m512i both = _mm512_loadu_si512(packed.q[p][k]);
        out.q[p][k] = _mm512_and_si512(both, nibble);
        out.q[p][4 + k] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
      }
    }
    const __m128i fields[3] = {load_16(packed.fields[0]), load_16(packed.fields[1]),
                               load_16(packed.fields[2])};
    const __m128i low = _mm_set1_epi8(63);
    const __m128i min_bits[3] = {_mm_and_si128(_mm_srli_epi16(fields[0], 6), _mm_set1_epi8(0x03)),
                                 _mm_and_si128(_mm_srli_epi16(fields[1], 4), _mm_set1_epi8(0x0c)),
                                 _mm_and_si128(_mm_srli_epi16(fields[2], 2), _mm_set1_epi8(0x30))};
    const __m128i min[2] = {_mm_and_si128(fields[2], low),
                            _mm_or_si128(_mm_or_si128(min_bits[0], min_bits[1]), min_bits[2])};
    const __m256 factors = _mm256_cvtph_ps(load_16(packed.d));  // d of four rows, then dmin
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
      set_scales(_mm512_mul_ps(spread_pair(factors, 2 * p), widen(_mm_and_si128(fields[p], low))),
                 out.scale[p]);
      out.min[p] = _mm512_mul_ps(spread_pair(factors, 4 + 2 * p), widen(min[p]));
    }
    return out;
  }

 private:
  SW_AVX512_INLINE static __m512 widen(__m128i bytes) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }
};

struct Rows4FormatQ6K {
  using Block = Rows4Q6K;
  static constexpr int kZero = 32;

  SW_AVX512_INLINE static GroupBlock unpack(const std::byte* group, int64_t n_in, int64_t b) {
    const auto* blocks = reinterpret_cast<const Rows4Q6K*>(group);
    const auto* factors = reinterpret_cast<const uint16_t*>(blocks + n_in / 256) + 4 * b;
    const Rows4Q6K& packed = blocks[b];
    const __m256 d = _mm256_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(factors)));
    GroupBlock out;
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
      __m512i high[2][4];
#pragma GCC unroll 2
      for (int odd = 0; odd < 2; ++odd) {
        shift_high(_mm512_loadu_si512(packed.high[p][odd]), high[odd]);
        const __m512 scale = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16(packed.scales[p][odd])));
        out.scale[p][odd] = _mm512_mul_ps(spread_pair(d, 2 * p), scale);
      }
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const __m512i both = _mm512_loadu_si512(packed.low[p][k]);
        out.q[p][k] = join(both, high[0][k]);
        out.q[p][4 + k] = join(_mm512_srli_epi16(both, 4), high[1][k]);
      }
    }
    return out;
  }

 private:
  /// Bits 4 and 5 of out[k] are bits 2 k and 2 k + 1.
  SW_AVX512_INLINE static void shift_high(__m512i high, __m512i (&out)[4]) {
    out[0] = _mm512_slli_epi16(high, 4);
    out[1] = _mm512_slli_epi16(high, 2);
    out[2] = high;
    out[3] = _mm512_srli_epi16(high, 2);
  }
  /// Bits 0-3 of `low` and 4-5 of `high`.
  SW_AVX512_INLINE static __m512i join(__m512i low, __m512i high) {
    constexpr int kSelect = 0xca;  // the mask's ones choose the first
    const __m512i both = _mm512_ternarylogic_epi32(_mm512_set1_epi8(15), low, high, kSelect);
    return _mm512_and_si512(both, _mm512_set1_epi8(63));
  }
};

struct Rows4FormatQ8 {
  using Block = Rows4Q8_0;
  static constexpr int kZero = 128;

  SW_AVX512_INLINE static GroupBlock unpack(const std::byte* group, int64_t n_in, int64_t b) {
    const Rows4Q8_0& packed = reinterpret_cast<const Rows4Q8_0*>(group)[b];
    const int64_t n_rest = n_in - 256 * b;
    if (n_rest < 256) return unpack_short(packed, static_cast<int>(n_rest / 32));
    GroupBlock out;
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
#pragma GCC unroll 8
      for (int v = 0; v < 8; ++v) out.q[p][v] = _mm512_loadu_si512(packed.q[p][v]);
    }
    unpack_scales(packed, out);
    return out;
  }

 private:
  SW_AVX512_INLINE static void unpack_scales(const Rows4Q8_0& packed, GroupBlock& out) {
#pragma GCC unroll 2
    for (int p = 0; p < 2; ++p) {
      const auto* halves = reinterpret_cast<const __m256i*>(packed.d[p]);
      set_scales(_mm512_cvtph_ps(_mm256_loadu_si256(halves)), out.scale[p]);
    }
  }

  /// A last block of fewer groups; lanes that are not there become 0.
  static GroupBlock unpack_short(const Rows4Q8_0& packed, int n_group) {
    GroupBlock out;
    const uint8_t* q = packed.q[0][0];
    for (int p = 0; p < 2; ++p) {
      for (int v = 0; v < 8; ++v) {
        const int n_lane = rows4_lanes(n_group, v / 4);
        out.q[p][v] = _mm512_maskz_expandloadu_epi32(static_cast<__mmask16>(0x1111 * ((1 << n_lane) - 1)), q);
        q += 16 * n_lane;
      }
    }
    unpack_scales(packed, out);
    return out;
  }
};

template <class Format>
struct Rows4Source {
  static constexpr int kZero = Format::kZero;
  const std::byte* data;
  int64_t n_in;
  int64_t group_bytes;
  const std::byte* end;

  SW_AVX512_INLINE const std::byte* group(int64_t r) const { return data + r / kRows4Group * group_bytes; }
  SW_AVX512_INLINE GroupBlock unpack(int64_t r, int64_t b) const { return Format::unpack(group(r), n_in, b); }
  SW_AVX512_INLINE void prefetch(int64_t r, int64_t b) const {
    constexpr int64_t kBytes = sizeof(typename Format::Block);
    prefetch_ahead(group(r) + b * kBytes, kBytes, end);
  }
};

/// Unpacks on the way for few tokens and for rows too long to keep, else once for all tokens.
template <class Format>
void run_format(const MatmulArgs& a) {
  using Matmul = VnniMatmul<Rows4Source<Format>>;
  static_assert(Matmul::kRows == kRows4Group);
  const auto group_bytes = static_cast<int64_t>(rows4_group_bytes(a.weight, a.n_in));
  const int64_t n_group = (a.row_end + kRows4Group - 1) / kRows4Group;
  const Rows4Source<Format> source{a.weights, a.n_in, group_bytes, a.weights + n_group * group_bytes};
  const Matmul matmul(a, source);
  if (a.n_token <= Matmul::kTokenTile || matmul.n_block > Matmul::kTileBlocks) return matmul.run_stream();
  matmul.run_tiles();
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options

namespace sw {
namespace {

const char* refuses(const MatmulDesc& desc) {
  const bool mine = desc.weight == Type::Q4_K || desc.weight == Type::Q6_K || desc.weight == Type::Q8_0;
  return mine ? nullptr : "only Q4_K, Q6_K and Q8_0 weights";
}

void run(const MatmulArgs& a) {
  SW_ASSERT(a.row_begin % kRows4Group == 0);
  if (a.weight == Type::Q4_K) return run_format<Rows4FormatQ4K>(a);
  if (a.weight == Type::Q6_K) return run_format<Rows4FormatQ6K>(a);
  run_format<Rows4FormatQ8>(a);
}

}  // namespace

const MatmulKernel avx512_rows4 = {.name = "avx512_rows4",
                                   .isa = Isa::Avx512Vnni,
                                   .layout = &rows4,
                                   .refuses = refuses,
                                   .act_bytes = act_q8_bytes,
                                   .pack = pack_act_q8_avx2,
                                   .run = run};

}  // namespace sw
#else
namespace sw {
const MatmulKernel avx512_rows4 = not_built("avx512_rows4", Isa::Avx512Vnni);
}
#endif
