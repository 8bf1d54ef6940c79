// SPDX-License-Identifier: MIT
#pragma once
#include <type_traits>

#include "base/error.h"
#include "kernels/cpu/avx2/simd.h"
#include "quant/iq4_nl.h"
#include "quant/q4_0.h"
#include "quant/q5_1.h"
#include "quant/q8_0.h"
#include "quant/type.h"

/// How rows of a KV cache become f32, 8 elements at a time and to the bits of their formats' at(). An object
/// stands at element `begin` of a row, a multiple of 8, and loads elements of that block alone:
///   kBlockElems     elements of a block, or 8 where each stands for itself
///   load(d)         elements begin + d .. begin + d + 7; d is a multiple of 8
///   load_part(n)    elements begin .. begin + n - 1, n < 8, filled up with zeros
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

/// A format without blocks; Load is one of simd.h.
template <class Load>
class PlainRows {
 public:
  static constexpr int64_t kBlockElems = 8;

  PlainRows() = default;
  SW_AVX2_INLINE PlainRows(const std::byte* row, int64_t begin) : at_(row + begin * Load::kBytes) {}
  SW_AVX2_INLINE __m256 load(int64_t d) const { return Load::load(at_ + d * Load::kBytes); }
  SW_AVX2_INLINE __m256 load_part(int64_t n) const { return Load::load_part(at_, n); }

 private:
  const std::byte* at_;
};

/// An f16 in each of 8 lanes.
SW_AVX2_INLINE __m256 all_lanes(uint16_t half) {
  return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(half)));
}

/// 8 bytes from `p` on.
SW_AVX2_INLINE __m128i load_bytes(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

/// The nibbles of elements d .. d + 7 of a block whose high nibbles are its second half.
SW_AVX2_INLINE __m128i load_8_nibbles(const uint8_t (&q)[16], int64_t d) {
  const __m128i bytes = load_bytes(q + d % 16);
  return _mm_and_si128(d < 16 ? bytes : _mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
}

template <class T>
struct Quants8;  // elements d .. d + 7 of a block without its factors, as signed bytes
template <>
struct Quants8<Q8_0> {
  SW_AVX2_INLINE static __m128i load(const Q8_0::Block& block, int64_t d) { return load_bytes(block.q + d); }
};
template <>
struct Quants8<Q4_0> {
  SW_AVX2_INLINE static __m128i load(const Q4_0::Block& block, int64_t d) {
    return _mm_sub_epi8(load_8_nibbles(block.q, d), _mm_set1_epi8(8));
  }
};
template <>
struct Quants8<Q5_1> {
  SW_AVX2_INLINE static __m128i load(const Q5_1::Block& block, int64_t d) {
    const __m128i bit_of = _mm_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    const __m128i bits = _mm_set1_epi8(static_cast<char>(block.high.bytes[d / 8]));
    const __m128i is_set = _mm_cmpeq_epi8(_mm_and_si128(bits, bit_of), bit_of);
    return _mm_or_si128(load_8_nibbles(block.q, d), _mm_and_si128(is_set, _mm_set1_epi8(16)));
  }
};
template <>
struct Quants8<IQ4_NL> {
  SW_AVX2_INLINE static __m128i load(const IQ4_NL::Block& block, int64_t d) {
    const auto* values = reinterpret_cast<const __m128i*>(&Iq4Values::kEntries);
    return _mm_shuffle_epi8(_mm_loadu_si128(values), load_8_nibbles(block.q, d));
  }
};

/// A format T whose blocks of 32 have a factor and perhaps a least value.
template <class T>
class BlockRows {
 public:
  static constexpr int64_t kBlockElems = T::kBlockElems;
  static_assert(kBlockElems == 32);

  BlockRows() = default;
  SW_AVX2_INLINE BlockRows(const std::byte* row, int64_t begin)
      : block_(reinterpret_cast<const Block*>(row) + begin / kBlockElems),
        skipped_(begin % kBlockElems),
        factor_(all_lanes(block_->d)) {
    if constexpr (kHasLeast) least_.value = all_lanes(block_->dmin);
  }
  SW_AVX2_INLINE __m256 load(int64_t d) const {
    const __m256i q = _mm256_cvtepi8_epi32(Quants8<T>::load(*block_, skipped_ + d));
    const __m256 scaled = _mm256_mul_ps(factor_, _mm256_cvtepi32_ps(q));
    if constexpr (kHasLeast) {
      return _mm256_add_ps(scaled, least_.value);  // not fused, as at() is not
    } else {
      return scaled;
    }
  }
  SW_AVX2_INLINE __m256 load_part(int64_t n) const {
    return _mm256_and_ps(load(0), _mm256_castsi256_ps(first_lanes(n)));
  }

 private:
  using Block = typename T::Block;
  static constexpr bool kHasLeast = requires(Block b) { b.dmin; };
  struct Nothing {};
  struct Least {
    __m256 value;
  };

  const Block* block_;
  int64_t skipped_;
  __m256 factor_;
  [[no_unique_address]] std::conditional_t<kHasLeast, Least, Nothing> least_;
};

/// Calls f.operator()<Rows>() with the reader of a type of kv/cache_type.h.
template <class F>
void with_cached_rows(Type type, F&& f) {
  switch (type) {
    case Type::F32:
      return f.template operator()<PlainRows<LoadF32>>();
    case Type::F16:
      return f.template operator()<PlainRows<LoadF16>>();
    case Type::BF16:
      return f.template operator()<PlainRows<LoadBf16>>();
    case Type::Q8_0:
      return f.template operator()<BlockRows<Q8_0>>();
    case Type::Q5_1:
      return f.template operator()<BlockRows<Q5_1>>();
    case Type::Q4_0:
      return f.template operator()<BlockRows<Q4_0>>();
    case Type::IQ4_NL:
      return f.template operator()<BlockRows<IQ4_NL>>();
    default:
      SW_ASSERT(!"a type of kCacheTypes");
  }
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options
