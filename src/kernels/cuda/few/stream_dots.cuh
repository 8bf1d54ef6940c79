// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/few/tiles.cuh"

/// Products of tiles (see tiles.cuh) where a warp multiplies slices of 256 weights of 16 rows: what all of a
/// row's blocks share is decoded once per slice.
namespace sw::cuda {

/// A sum that the integer tensor cores begin with: the bits of 1.5 * 2^23 as f32, so that a small product
/// added to it is, read as f32, that much more. Conversions take sixteen times as long as sums.
inline constexpr int kMagicSum = 0x4b400000;
__device__ __forceinline__ float product_of_magic(int sum) { return __int_as_float(sum) - 12582912.0f; }

/// A tile's products (see multiply_tile), each begun at kMagicSum.
__device__ __forceinline__ void start_tile(int (&sum)[4], const uint32_t (&w)[4], const uint32_t (&x)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, "
      "%10, %10, %10};"
      : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
      : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x[0]), "r"(x[1]), "r"(kMagicSum));
}
__device__ __forceinline__ void start_tile(int (&sum)[4], const uint32_t (&w)[2], uint32_t x) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %7, %7, %7};"
      : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
      : "r"(w[0]), "r"(w[1]), "r"(x), "r"(kMagicSum));
}

/// sum += step[row] scale[input] product, with the products of a tile that began at kMagicSum.
__device__ __forceinline__ void add_magic(float (&sum)[4], const int (&product)[4], float step0, float step1,
                                          float scale0, float scale1) {
  sum[0] = fmaf(step0 * scale0, product_of_magic(product[0]), sum[0]);
  sum[1] = fmaf(step0 * scale1, product_of_magic(product[1]), sum[1]);
  sum[2] = fmaf(step1 * scale0, product_of_magic(product[2]), sum[2]);
  sum[3] = fmaf(step1 * scale1, product_of_magic(product[3]), sum[3]);
}

/// How a format's slices are multiplied: kStep weights of a row at a time; prepare(row, half, to) writes
/// kPrepared floats of a row, by two lanes, for add(rows, step, prepared, inputs, sum), whose `prepared` are
/// the lane's two rows'. Formats that prepare nothing go by TileDots; those without TileDots not at all.
template <class Format>
struct StreamDots {
  static constexpr int kStep = TileDots<Format>::kStep, kPrepared = 0;

  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step,
                                             const float* const (&)[2], const TileInputs& x,
                                             float (&sum)[4]) {
    TileDots<Format>::add(rows, step, x, sum);
  }
};

/// Prepared: step and minimum of each of the eight sub-blocks.
template <class Format>
struct KStreamDots {
  static constexpr int kStep = 64, kPrepared = 16;
  static constexpr bool kFifth = std::is_same_v<Format, Q5_K>;

  static __device__ __forceinline__ void prepare(const uint8_t* row, int half, float* to) {
    const uint4 head = load_16(row);  // see KScalePair
    const uint32_t steps =
        half == 0 ? head.y & 0x3f3f3f3fu : (head.w & 0x0f0f0f0fu) | (head.y >> 2 & 0x30303030u);
    const uint32_t mins =
        half == 0 ? head.z & 0x3f3f3f3fu : (head.w >> 4 & 0x0f0f0f0fu) | (head.z >> 2 & 0x30303030u);
    const float d = half_value(static_cast<uint16_t>(head.x)),
                d_min = half_value(static_cast<uint16_t>(head.x >> 16));
    auto* quads = reinterpret_cast<float4*>(to + 8 * half);
#pragma unroll
    for (int i = 0; i < 4; i += 2) {  // exact: (128 + q) d - 128 d
      const auto times = [&](uint32_t word, int byte, float factor) {
        return fmaf(biased_byte(word, byte), factor, -128.0f * factor);
      };
      quads[i / 2] = {times(steps, i, d), times(mins, i, d_min), times(steps, i + 1, d),
                      times(mins, i + 1, d_min)};
    }
  }

  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step,
                                             const float* const (&prepared)[2], const TileInputs& x,
                                             float (&sum)[4]) {
    const int block = 2 * step, at = static_cast<int>(threadIdx.x % 4 * 4);
    uint32_t low[4], high[4];
    float4 scale[2];  // step and minimum of the first sub-block, and of the second
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      scale[r] = *reinterpret_cast<const float4*>(prepared[r] + 4 * step);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t q = word_at(rows[r] + (kFifth ? 48 : 16) + 32 * step + 16 * i + at);
        low[r + 2 * i] = q & 0x0f0f0f0fu;
        high[r + 2 * i] = q >> 4 & 0x0f0f0f0fu;
        if constexpr (kFifth) {
          const uint32_t fifth = word_at(rows[r] + 16 + 16 * i + at) >> 2 * step;
          low[r + 2 * i] |= (fifth & 0x01010101u) << 4;
          high[r + 2 * i] |= (fifth >> 1 & 0x01010101u) << 4;
        }
      }
    }
    const float4 x0 = *reinterpret_cast<const float4*>(x.scale0 + block),
                 x1 = *reinterpret_cast<const float4*>(x.scale1 + block);
    int first[4], second[4];
    start_tile(first, low, {x.word(block, 0), x.word(block, 1)});
    start_tile(second, high, {x.word(block + 1, 0), x.word(block + 1, 1)});
    add_offset(sum, scale[0].y, scale[1].y, x0.y, x1.y);
    add_offset(sum, scale[0].w, scale[1].w, x0.w, x1.w);
    add_magic(sum, first, scale[0].x, scale[1].x, x0.x, x1.x);
    add_magic(sum, second, scale[0].z, scale[1].z, x0.z, x1.z);
  }
};
template <>
struct StreamDots<Q4_K> : KStreamDots<Q4_K> {};
template <>
struct StreamDots<Q5_K> : KStreamDots<Q5_K> {};

/// Prepared: the steps of the 16 sub-blocks. A step of 128 weights is half a block: four groups of 32, whose
/// low bits are in two words of each half of the lane's 64 bytes.
template <>
struct StreamDots<Q6_K> {
  static constexpr int kStep = 128, kPrepared = 16;

  static __device__ __forceinline__ void prepare(const uint8_t* row, int half, float* to) {
    uint32_t scales[2];
    load_words(row + 192 + 8 * half, scales);
    const float d = half_at(row + 208);
    auto* quads = reinterpret_cast<float4*>(to + 8 * half);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      // Signed bytes: flipping the sign bit adds 128.
      const uint32_t word = scales[i] ^ 0x80808080u;
      const auto step = [&](int byte) {
        return d * (__uint_as_float(__byte_perm(word, 0x4b000000u, 0x7440 | byte)) - 8388736.0f);
      };
      quads[i] = {step(0), step(1), step(2), step(3)};
    }
  }

  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step,
                                             const float* const (&prepared)[2], const TileInputs& x,
                                             float (&sum)[4]) {
    const int at = static_cast<int>(threadIdx.x % 4 * 4);
    uint32_t high[2][2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int i = 0; i < 2; ++i) high[r][i] = load_word(rows[r] + 128 + 32 * step + 16 * i + at);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // bytes 16 i .. of the half's 64: sub-blocks i and, in high nibbles, i + 4
      uint32_t first[2], second[2];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const uint32_t low = load_word(rows[r] + 64 * step + 16 * i + at);
        const uint32_t bits = high[r][i % 2] >> i / 2 * 2;
        first[r] = less((low & 0x0f0f0f0fu) | (bits << 4 & 0x30303030u), 0x20202020u);
        second[r] = less((low >> 4 & 0x0f0f0f0fu) | (bits & 0x30303030u), 0x20202020u);
      }
      const int block = 4 * step + i / 2;  // of the inputs; the other one is two behind
      const auto multiply = [&](const uint32_t(&w)[2], int of_block, int sub_block) {
        int product[4];
        start_tile(product, w, x.word(of_block, i % 2));
        add_magic(sum, product, prepared[0][8 * step + sub_block], prepared[1][8 * step + sub_block],
                  x.scale0[of_block].x, x.scale1[of_block].x);
      };
      multiply(first, block, i);
      multiply(second, block + 2, i + 4);
    }
  }
};

}  // namespace sw::cuda
