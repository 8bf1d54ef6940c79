// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/int8_tile.h"
#include "quant/q4_0.h"
#include "quant/q8_0.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

/// The scales of 8 blocks, even ones first, then odd ones.
template <class Block>
SW_AVX2_INLINE __m256 load_scales(const Block* b) {
  const auto d = [b](int i) { return static_cast<short>(b[i].d); };
  return _mm256_cvtph_ps(_mm_setr_epi16(d(0), d(2), d(4), d(6), d(1), d(3), d(5), d(7)));
}

SW_AVX2_INLINE void set_scales(__m256 scale, WeightBlock& out) {
  out.scale[0] = _mm256_permute2f128_ps(scale, scale, 0x00);
  out.scale[1] = _mm256_permute2f128_ps(scale, scale, 0x11);
}

struct FormatQ80 {
  static constexpr int64_t kRawBytes = 8 * sizeof(Q8_0::Block);
  static constexpr bool kSigned = true, kWide = true;

  SW_AVX2_INLINE static WeightBlock unpack(const std::byte* src) {
    const auto* blocks = reinterpret_cast<const Q8_0::Block*>(src);
    WeightBlock out;
    set_scales(load_scales(blocks), out);
    for (int odd = 0; odd < 2; ++odd) {
      const __m256i rows[4] = {load(blocks[odd]), load(blocks[2 + odd]), load(blocks[4 + odd]),
                               load(blocks[6 + odd])};
      transpose_4x4(rows, out.q + 4 * odd);
    }
    return out;
  }

 private:
  SW_AVX2_INLINE static __m256i load(const Q8_0::Block& block) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.q));
  }
};

struct FormatQ40 {
  static constexpr int64_t kRawBytes = 8 * sizeof(Q4_0::Block);
  static constexpr bool kSigned = false, kWide = false;

  SW_AVX2_INLINE static WeightBlock unpack(const std::byte* src) {
    const auto* blocks = reinterpret_cast<const Q4_0::Block*>(src);
    WeightBlock out;
    const __m256 scale = load_scales(blocks);
    set_scales(scale, out);
    out.min = _mm256_mul_ps(scale, _mm256_set1_ps(8.0f));
    for (int odd = 0; odd < 2; ++odd) {
      const __m256i rows[4] = {load(blocks[odd]), load(blocks[2 + odd]), load(blocks[4 + odd]),
                               load(blocks[6 + odd])};
      transpose_4x4(rows, out.q + 4 * odd);
    }
    return out;
  }

 private:
  /// Low nibbles are the first half of a group, high ones the second.
  SW_AVX2_INLINE static __m256i load(const Q4_0::Block& block) {
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.q));
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(q, 4), q), _mm256_set1_epi8(15));
  }
};

template <class Format>
void run_format(const MatmulArgs& a) {
  Int8Matmul<Format>(a, 32, Format::kRawBytes / 8).run();
}

void run(const MatmulArgs& a) {
  if (a.weight == Type::Q8_0) return run_format<FormatQ80>(a);
  run_format<FormatQ40>(a);
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options

namespace sw {
namespace {

const char* refuses(const MatmulDesc& desc) {
  const bool mine = desc.weight == Type::Q8_0 || desc.weight == Type::Q4_0;
  return mine ? nullptr : "only Q8_0 and Q4_0 weights";
}

}  // namespace

const MatmulKernel avx2_q = {.name = "avx2_q",
                             .isa = Isa::Avx2,
                             .refuses = refuses,
                             .act_bytes = act_q8_bytes,
                             .pack = pack_act_q8_avx2,
                             .run = run};

}  // namespace sw
#else
namespace sw {
const MatmulKernel avx2_q = not_built("avx2_q", Isa::Avx2);
}
#endif
