// SPDX-License-Identifier: MIT
#pragma once
#include <cuda_bf16.h>

#include "kernels/cuda/dequant.cuh"

/// Weights as operands of the tensor cores: a lane decodes 16 neighbours of a row, which stand as quantised
/// bytes in shared memory, to bf16.
namespace sw::cuda {

/// 16 of the 32 bytes of `a` and `b`, from byte `shift` (below 16) on.
__device__ __forceinline__ uint4 shifted_bytes(uint4 a, uint4 b, unsigned shift) {
  const bool by_two = shift & 8, by_one = shift & 4;
  const uint32_t u[6] = {by_two ? a.z : a.x, by_two ? a.w : a.y, by_two ? b.x : a.z,
                         by_two ? b.y : a.w, by_two ? b.z : b.x, by_two ? b.w : b.y};
  uint32_t v[5];
#pragma unroll
  for (int i = 0; i < 5; ++i) v[i] = by_one ? u[i + 1] : u[i];
  const unsigned bits = 8 * (shift & 3);
  return {__funnelshift_r(v[0], v[1], bits), __funnelshift_r(v[1], v[2], bits),
          __funnelshift_r(v[2], v[3], bits), __funnelshift_r(v[3], v[4], bits)};
}

/// 16 bytes at any address of shared memory. Only words that have one of them are read.
__device__ __forceinline__ uint4 load_16_bytes(const uint8_t* p) {
  const auto shift = static_cast<unsigned>(reinterpret_cast<uintptr_t>(p)) & 15;
  const auto* chunk = reinterpret_cast<const uint4*>(p - shift);
  return shift == 0 ? chunk[0] : shifted_bytes(chunk[0], chunk[1], shift);
}

/// Two values as bf16, the first in the low half.
__device__ __forceinline__ uint32_t packed_bf16(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

/// The same value twice, as bf16.
__device__ __forceinline__ uint32_t twice_bf16(float x) { return packed_bf16(x, x); }

/// step * (q + bias) + offset of the 16 bytes of `q`, each below 128, two at a time: q + bias is exact, and
/// step and offset have been rounded to bf16, which is far less than their weights were by their format.
/// `bias` is an integer 128 lower than what is to be added.
__device__ __forceinline__ void decode_bytes(uint4 q, float bias, uint32_t step, uint32_t offset,
                                             uint32_t (&pairs)[8]) {
  const uint32_t words[4] = {q.x, q.y, q.z, q.w};
  const auto as_pair = [](uint32_t bits) { return *reinterpret_cast<const __nv_bfloat162*>(&bits); };
  const __nv_bfloat162 biases = __float2bfloat162_rn(bias);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    // 0x43 above a byte: 128 and the byte, in bf16.
    const uint32_t biased = __byte_perm(words[i / 2], 0x43000000u, i % 2 == 0 ? 0x7170 : 0x7372);
    const __nv_bfloat162 pair = __hfma2(__hadd2(as_pair(biased), biases), as_pair(step), as_pair(offset));
    pairs[i] = *reinterpret_cast<const uint32_t*>(&pair);
  }
}

/// The nibbles of 16 bytes, each in a byte; shift 4: the high ones.
__device__ __forceinline__ uint4 nibbles(uint4 q, unsigned shift) {
  constexpr uint32_t kLow = 0x0f0f0f0fu;
  return {q.x >> shift & kLow, q.y >> shift & kLow, q.z >> shift & kLow, q.w >> shift & kLow};
}
/// q | (bits of `high` from `shift` on, `mask` of each byte) << 4.
__device__ __forceinline__ uint4 with_high_bits(uint4 q, uint4 high, unsigned shift, uint32_t mask) {
  return {q.x | (high.x >> shift & mask) << 4, q.y | (high.y >> shift & mask) << 4,
          q.z | (high.z >> shift & mask) << 4, q.w | (high.w >> shift & mask) << 4};
}

/// A format that is decoded as it was copied.
struct Unprepared {
  static constexpr int kScales = 0;
  static constexpr bool kPrepares = false;
};

/// Fragment<Format>::decode(row, part, scales, pairs): weights 16 part .. 16 part + 15 of a row that begins
/// at `row` with a block, as pairs of bf16. Where kPrepares, the threads that share a row, kShare neighbours
/// in a warp, have called prepare<kShare>(row, shift, thread, scales) before: it moves the row's block from
/// row + shift to row, a multiple of 16, and writes kScales scales. Any format is read through its Decoder;
/// those below are read faster.
template <class Format>
struct Fragment : Unprepared {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2*,
                                                uint32_t (&pairs)[8]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int k = static_cast<int>(16 * part) + 4 * i;
      const float4 w = Decoder<Format>::template quad<false>(row, k, k + 4);
      pairs[2 * i] = packed_bf16(w.x, w.y);
      pairs[2 * i + 1] = packed_bf16(w.z, w.w);
    }
  }
};

template <>
struct Fragment<BF16> : Unprepared {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2*,
                                                uint32_t (&pairs)[8]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint4 w = load_16_bytes(row + 32 * part + 16 * i);
      pairs[4 * i] = w.x;
      pairs[4 * i + 1] = w.y;
      pairs[4 * i + 2] = w.z;
      pairs[4 * i + 3] = w.w;
    }
  }
};

template <>
struct Fragment<F16> : Unprepared {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2*,
                                                uint32_t (&pairs)[8]) {
    Fragment<BF16>::decode(row, part, nullptr, pairs);
#pragma unroll
    for (uint32_t& pair : pairs) {
      pair =
          packed_bf16(half_value(static_cast<uint16_t>(pair)), half_value(static_cast<uint16_t>(pair >> 16)));
    }
  }
};

template <>
struct Fragment<Q8_0> : Unprepared {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2*,
                                                uint32_t (&pairs)[8]) {
    const uint8_t* block = row + part / 2 * static_cast<unsigned>(sizeof(Q8_0::Block));
    const uint4 q = load_16_bytes(block + 2 + part % 2 * 16);
    const float step = half_at(block), offset = -32896.0f * step;
    const uint32_t words[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      // Flipping the sign bit makes a signed byte q the unsigned q + 128; as such a part of a float it is
      // 2^15 + 128 + q. Both products are exact, so that the difference is rounded once.
      const uint32_t w = words[i] ^ 0x80808080u;
      const auto value = [=](int b) {
        return fmaf(__uint_as_float(__byte_perm(w, 0x47000000u, 0x7404 | b << 4)), step, offset);
      };
      pairs[2 * i] = packed_bf16(value(0), value(1));
      pairs[2 * i + 1] = packed_bf16(value(2), value(3));
    }
  }
};

template <>
struct Fragment<Q4_0> : Unprepared {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2*,
                                                uint32_t (&pairs)[8]) {
    const uint8_t* block = row + part / 2 * static_cast<unsigned>(sizeof(Q4_0::Block));
    decode_bytes(nibbles(load_16_bytes(block + 2), part % 2 * 4), -136.0f, twice_bf16(half_at(block)), 0,
                 pairs);
  }
};

template <>
struct Fragment<MXFP4> : Unprepared {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2*,
                                                uint32_t (&pairs)[8]) {
    const uint8_t* block = row + part / 2 * static_cast<unsigned>(sizeof(MXFP4::Block));
    const uint32_t e = block[0];
    const float step = __uint_as_float(e > 1 ? (e - 1) << 23 : 0x00200000u << e);
    const uint4 q = nibbles(load_16_bytes(block + 1), part % 2 * 4);
    const uint32_t words[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      // Bytes 0 and 2 of w | w >> 4 have two nibbles each; their low three bits select twice the magnitude.
      const uint32_t w = words[i], chosen = __byte_perm(w | w >> 4, 0, 0x4420) & 0x7777;
      const uint32_t doubled = __byte_perm(0x03020100u, 0x0c080604u, chosen);
      const auto value = [=](int b) {
        const float magnitude = step * (biased_byte(doubled, b) - 128.0f);
        return __uint_as_float(__float_as_uint(magnitude) | (w << (28 - 8 * b) & 0x80000000u));
      };
      pairs[2 * i] = packed_bf16(value(0), value(1));
      pairs[2 * i + 1] = packed_bf16(value(2), value(3));
    }
  }
};

/// Steps and offsets of the eight sub-blocks of Q4_K and Q5_K, for decode_bytes: of step * (q - kCenter) +
/// offset, whose offset is small, as are then the errors of both when they are rounded.
template <int kCenter>
struct KFragment {
  static constexpr float kBias = -128.0f - kCenter;
  static constexpr int kScales = 8;
  static constexpr bool kPrepares = true;

  template <int kShare>
  static __device__ __forceinline__ void prepare(uint8_t* row, unsigned, int thread, uint2* scales) {
    const uint4 head = *reinterpret_cast<const uint4*>(row);  // see KScale
    const uint32_t steps[2] = {head.y & 0x3f3f3f3fu, (head.w & 0x0f0f0f0fu) | (head.y >> 2 & 0x30303030u)};
    const uint32_t mins[2] = {head.z & 0x3f3f3f3fu,
                              (head.w >> 4 & 0x0f0f0f0fu) | (head.z >> 2 & 0x30303030u)};
    const float d = half_value(static_cast<uint16_t>(head.x)),
                dmin = half_value(static_cast<uint16_t>(head.x >> 16));
#pragma unroll
    for (int i = 0; i < kScales; i += kShare) {
      const int word = i / 4, byte = i % 4 + thread;
      // Both are exact: (128 + q) d - 128 d.
      const float step = fmaf(biased_byte(steps[word], byte), d, -128.0f * d);
      const float min = fmaf(biased_byte(mins[word], byte), dmin, -128.0f * dmin);
      scales[i + thread] = {twice_bf16(step), twice_bf16(fmaf(kCenter, step, -min))};
    }
  }
};

template <>
struct Fragment<Q4_K> : KFragment<8> {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2* scales,
                                                uint32_t (&pairs)[8]) {
    const unsigned j = part / 2;
    const uint4 q = *reinterpret_cast<const uint4*>(row + 16 + j / 2 * 32 + part % 2 * 16);
    const uint2 scale = scales[j];
    decode_bytes(nibbles(q, j % 2 * 4), kBias, scale.x, scale.y, pairs);
  }
};

template <>
struct Fragment<Q5_K> : KFragment<16> {
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2* scales,
                                                uint32_t (&pairs)[8]) {
    const unsigned j = part / 2;
    const uint4 low = *reinterpret_cast<const uint4*>(row + 48 + j / 2 * 32 + part % 2 * 16);
    const uint4 high = *reinterpret_cast<const uint4*>(row + 16 + part % 2 * 16);
    const uint4 q = with_high_bits(nibbles(low, j % 2 * 4), high, j, 0x01010101u);
    const uint2 scale = scales[j];
    decode_bytes(q, kBias, scale.x, scale.y, pairs);
  }
};

template <>
struct Fragment<Q6_K> {
  static constexpr int kScales = 0;
  static constexpr bool kPrepares = true;

  template <int kShare>
  static __device__ __forceinline__ void prepare(uint8_t* row, unsigned shift, int thread, uint2*) {
    constexpr int kChunks = (int{sizeof(Q6_K::Block)} + 15) / 16, kOwn = (kChunks + kShare - 1) / kShare;
    auto* chunks = reinterpret_cast<uint4*>(row) + thread * kOwn;
    const int n = shift == 0 ? 0 : min(kChunks - thread * kOwn, kOwn);
    uint4 a = chunks[0];
    const uint4 last = chunks[n];  // before the next thread overwrites it
    __syncwarp();
#pragma unroll 2
    for (int i = 0; i < n; ++i) {
      const uint4 b = i + 1 < n ? chunks[i + 1] : last;
      chunks[i] = shifted_bytes(a, b, shift);
      a = b;
    }
  }
  static __device__ __forceinline__ void decode(const uint8_t* row, unsigned part, const uint2*,
                                                uint32_t (&pairs)[8]) {
    const unsigned half = part / 8, r = part % 8;  // sub-blocks of 16
    const uint4 low = *reinterpret_cast<const uint4*>(row + 64 * half + r % 4 * 16);
    const uint4 high = *reinterpret_cast<const uint4*>(row + 128 + 32 * half + r % 2 * 16);
    const uint4 q = with_high_bits(nibbles(low, r / 4 * 4), high, r / 2 * 2, 0x03030303u);
    const float step = half_at(row + 208) * static_cast<float>(static_cast<int8_t>(row[192 + part]));
    decode_bytes(q, -160.0f, twice_bf16(step), 0, pairs);
  }
};

}  // namespace sw::cuda
