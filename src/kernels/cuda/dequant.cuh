// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <cuda_fp16.h>

#include "kernels/cuda/with_gpu_type.h"
#include "quant/rows.h"

/// Weight formats as the GPU reads them: in quads, four neighbours of a row. Decoded values have the same
/// bits as those of quant/<format>.h, whose structs say what stands in a block; products are rounded one by
/// one here so that nvcc does not fuse them. Blocks of 34, 18, 22 and 210 bytes begin at even addresses only,
/// those of 17 bytes at any.
namespace sw::cuda {

/// Whether `p` is a multiple of `n_bytes`.
__device__ __forceinline__ bool is_aligned(const void* p, size_t n_bytes) {
  return reinterpret_cast<uintptr_t>(p) % n_bytes == 0;
}

/// Four values at `p`, of which `n` are there; the others are 0. kAligned: the caller knows that all are
/// there, at a multiple of their size, and no branch keeps many loads from being on their way at once.
template <bool kAligned>
__device__ __forceinline__ float4 load_quad(const float* p, int n) {
  if (kAligned || (n >= 4 && is_aligned(p, sizeof(float4)))) return *reinterpret_cast<const float4*>(p);
  return {n > 0 ? p[0] : 0.0f, n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, n > 3 ? p[3] : 0.0f};
}

/// The same of 16-bit values, as their bits.
template <bool kAligned>
__device__ __forceinline__ ushort4 load_quad(const uint16_t* p, int n) {
  if (kAligned || (n >= 4 && is_aligned(p, sizeof(ushort4)))) return *reinterpret_cast<const ushort4*>(p);
  const uint16_t zero = 0;
  return {n > 0 ? p[0] : zero, n > 1 ? p[1] : zero, n > 2 ? p[2] : zero, n > 3 ? p[3] : zero};
}

__device__ __forceinline__ float half_value(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
__device__ __forceinline__ float half_at(const uint8_t* p) {
  return half_value(*reinterpret_cast<const uint16_t*>(p));
}

/// Four bytes at a multiple of four.
__device__ __forceinline__ uint32_t word_at(const uint8_t* p) {
  return *reinterpret_cast<const uint32_t*>(p);
}
/// Four bytes at an even address.
__device__ __forceinline__ uint32_t even_word_at(const uint8_t* p) {
  const auto* halves = reinterpret_cast<const uint16_t*>(p);
  return halves[0] | static_cast<uint32_t>(halves[1]) << 16;
}
__device__ __forceinline__ int byte_of(uint32_t word, int i) { return static_cast<int>(word >> 8 * i & 255); }

/// 128 + byte i of `q`, which is below 128.
__device__ __forceinline__ float biased_byte(uint32_t q, int i) {
  return __uint_as_float(__byte_perm(q, 0x43000000u, 0x7044 | i << 8));
}

/// step * (q - zero) of the four bytes of `q`.
__device__ __forceinline__ float4 scaled(uint32_t q, int zero, float step) {
  return {step * static_cast<float>(byte_of(q, 0) - zero), step * static_cast<float>(byte_of(q, 1) - zero),
          step * static_cast<float>(byte_of(q, 2) - zero), step * static_cast<float>(byte_of(q, 3) - zero)};
}

/// A scale and a minimum of Q4_K and Q5_K, under their f16 factors (see quant/k_scales.h).
struct KScale {
  float step, offset;

  /// `block` begins with the two factors, then the 12 packed bytes; `j` is the sub-block.
  __device__ __forceinline__ KScale(const uint8_t* block, int j) {
    const uint32_t factors = word_at(block);
    const uint8_t* packed = block + 4;
    const int scale = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
    const int min = j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    step = half_value(static_cast<uint16_t>(factors)) * static_cast<float>(scale);
    offset = half_value(static_cast<uint16_t>(factors >> 16)) * static_cast<float>(min);
  }
  __device__ __forceinline__ float value(int q) const {
    return __fsub_rn(__fmul_rn(step, static_cast<float>(q)), offset);
  }
  __device__ __forceinline__ float4 values(uint32_t q) const {
    return {value(byte_of(q, 0)), value(byte_of(q, 1)), value(byte_of(q, 2)), value(byte_of(q, 3))};
  }
};

/// quad<kAligned>(row, k, n): the weights k .. k + 3 of a row of n, k a multiple of 4; 0 beyond the row's
/// end. kAligned (see load_quad) matters to formats without blocks only. Any format is read through its at();
/// those below are read faster.
template <class Format>
struct Decoder {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int n) {
    float weights[4];
    decode_quad<Format>(reinterpret_cast<const std::byte*>(row), k, n, weights);
    return {weights[0], weights[1], weights[2], weights[3]};
  }
};

template <>
struct Decoder<F32> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int n) {
    return load_quad<kAligned>(reinterpret_cast<const float*>(row) + k, n - k);
  }
};

template <>
struct Decoder<F16> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int n) {
    const ushort4 bits = load_quad<kAligned>(reinterpret_cast<const uint16_t*>(row) + k, n - k);
    return {half_value(bits.x), half_value(bits.y), half_value(bits.z), half_value(bits.w)};
  }
};

template <>
struct Decoder<BF16> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int n) {
    const ushort4 bits = load_quad<kAligned>(reinterpret_cast<const uint16_t*>(row) + k, n - k);
    return {value(bits.x), value(bits.y), value(bits.z), value(bits.w)};
  }
  static __device__ __forceinline__ float value(uint16_t bits) {
    return __uint_as_float(static_cast<uint32_t>(bits) << 16);
  }
};

template <>
struct Decoder<Q8_0> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 32 * static_cast<int64_t>(sizeof(Q8_0::Block));
    // Flipping the sign bit makes a signed byte q the unsigned q + 128.
    return scaled(even_word_at(block + 2 + k % 32) ^ 0x80808080u, 128, half_at(block));
  }
};

template <>
struct Decoder<Q4_0> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 32 * static_cast<int64_t>(sizeof(Q4_0::Block));
    const uint32_t q = even_word_at(block + 2 + k % 16) >> k % 32 / 16 * 4;
    return scaled(q & 0x0f0f0f0fu, 8, half_at(block));
  }
};

/// d q + dmin of the four bytes of `q`; both factors are f16, d in the low half of `factors`.
__device__ __forceinline__ float4 affine(uint32_t factors, uint32_t q) {
  const float d = half_value(static_cast<uint16_t>(factors)),
              min = half_value(static_cast<uint16_t>(factors >> 16));
  const auto value = [=](int i) { return __fadd_rn(__fmul_rn(d, static_cast<float>(byte_of(q, i))), min); };
  return {value(0), value(1), value(2), value(3)};
}

/// The bits k .. k + 3 of `high`, each as the fifth of its byte.
__device__ __forceinline__ uint32_t fifth_bits(uint32_t high, int k) {
  const uint32_t h = high >> k;
  return (h & 1) << 4 | (h & 2) << 11 | (h & 4) << 18 | (h & 8) << 25;
}

template <>
struct Decoder<Q4_1> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 32 * static_cast<int64_t>(sizeof(Q4_1::Block));
    const uint32_t q = word_at(block + 4 + k % 16) >> k % 32 / 16 * 4;
    return affine(word_at(block), q & 0x0f0f0f0fu);
  }
};

template <>
struct Decoder<Q5_0> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 32 * static_cast<int64_t>(sizeof(Q5_0::Block));
    const uint32_t q = even_word_at(block + 6 + k % 16) >> k % 32 / 16 * 4;
    return scaled((q & 0x0f0f0f0fu) | fifth_bits(even_word_at(block + 2), k % 32), 16, half_at(block));
  }
};

template <>
struct Decoder<Q5_1> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 32 * static_cast<int64_t>(sizeof(Q5_1::Block));
    const uint32_t q = word_at(block + 8 + k % 16) >> k % 32 / 16 * 4;
    return affine(word_at(block), (q & 0x0f0f0f0fu) | fifth_bits(word_at(block + 4), k % 32));
  }
};

template <>
struct Decoder<MXFP4> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 32 * static_cast<int64_t>(sizeof(MXFP4::Block));
    const uint32_t e = block[0];
    const float step = __uint_as_float(e > 1 ? (e - 1) << 23 : 0x00200000u << e);
    const auto value = [=](int i) {
      const uint32_t q = block[1 + k % 16 + i] >> k % 32 / 16 * 4;
      const auto doubled = static_cast<float>(0x0c08060403020100u >> 8 * (q & 7) & 255);
      return step * (q & 8 ? 0.0f - doubled : doubled);  // never -0, as the reference
    };
    return {value(0), value(1), value(2), value(3)};
  }
};

template <>
struct Decoder<Q4_K> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 256 * static_cast<int64_t>(sizeof(Q4_K::Block));
    const int j = k % 256 / 32;
    const uint32_t q = word_at(block + 16 + j / 2 * 32 + k % 32) >> j % 2 * 4;
    return KScale(block, j).values(q & 0x0f0f0f0fu);
  }
};

template <>
struct Decoder<Q5_K> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 256 * static_cast<int64_t>(sizeof(Q5_K::Block));
    const int j = k % 256 / 32;
    const uint32_t low = word_at(block + 48 + j / 2 * 32 + k % 32) >> j % 2 * 4;
    const uint32_t high = word_at(block + 16 + k % 32) >> j;
    return KScale(block, j).values((low & 0x0f0f0f0fu) | (high & 0x01010101u) << 4);
  }
};

template <>
struct Decoder<Q6_K> {
  template <bool kAligned>
  static __device__ __forceinline__ float4 quad(const uint8_t* row, int k, int) {
    const uint8_t* block = row + k / 256 * static_cast<int64_t>(sizeof(Q6_K::Block));
    const int half = k % 256 / 128, r = k % 128;
    const uint32_t low = even_word_at(block + 64 * half + r % 64) >> r / 64 * 4;
    const uint32_t high = even_word_at(block + 128 + 32 * half + r % 32) >> r / 32 * 2;
    const int scale = static_cast<int8_t>(block[192 + k % 256 / 16]);
    const float step = half_at(block + 208) * static_cast<float>(scale);
    return scaled((low & 0x0f0f0f0fu) | (high & 0x03030303u) << 4, 32, step);
  }
};

}  // namespace sw::cuda
