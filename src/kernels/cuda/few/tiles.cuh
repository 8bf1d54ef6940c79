// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/few/dots.cuh"

/// Products of 16 rows of weights with 8 inputs by the integer tensor cores, for several tokens: a lane
/// decodes the weights of its place in the fragment straight from the stored bytes, so that each is decoded
/// once for all tokens. Lane l has the bytes 4 (l % 4) .. + 3 of rows l / 4 and l / 4 + 8, and the sums of
/// these two rows with inputs 2 (l % 4) and 2 (l % 4) + 1.
namespace sw::cuda {

inline constexpr int kTileTokens = 8, kTileGroup = 16;  ///< inputs and rows of a tile

/// sums += weights (16 x 32) . inputs (32 x 8)
__device__ __forceinline__ void multiply_tile(int (&sum)[4], const uint32_t (&w)[4], const uint32_t (&x)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, "
      "%1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x[0]), "r"(x[1]));
}
/// sums += weights (16 x 16) . inputs (16 x 8)
__device__ __forceinline__ void multiply_tile(int (&sum)[4], const uint32_t (&w)[2], uint32_t x) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(w[0]), "r"(w[1]), "r"(x));
}

/// The four signed bytes q - zero of the bytes of `q` (0 .. 127), with zero in each byte of `zeros`.
__device__ __forceinline__ uint32_t less(uint32_t q, uint32_t zeros) {
  return ((q | 0x80808080u) - zeros) ^ 0x80808080u;
}

/// What a lane reads of the inputs.
struct TileInputs {
  const uint8_t* q;               ///< of the input that it brings, l / 4
  const float2 *scale0, *scale1;  ///< of the two whose sums it has

  /// The word of the lane 16 * half behind block `block`.
  __device__ __forceinline__ uint32_t word(int block, int half) const {
    return *reinterpret_cast<const uint32_t*>(q + Q8Input::kBlock * block + 16 * half + threadIdx.x % 4 * 4);
  }
};

/// sum += step[row] * scale[input] * product, and less offset[row] * (scale times the sum of the input's
/// block).
__device__ __forceinline__ void add_tile(float (&sum)[4], const int (&product)[4], float step0, float step1,
                                         float scale0, float scale1) {
  sum[0] = fmaf(step0 * scale0, static_cast<float>(product[0]), sum[0]);
  sum[1] = fmaf(step0 * scale1, static_cast<float>(product[1]), sum[1]);
  sum[2] = fmaf(step1 * scale0, static_cast<float>(product[2]), sum[2]);
  sum[3] = fmaf(step1 * scale1, static_cast<float>(product[3]), sum[3]);
}
__device__ __forceinline__ void add_offset(float (&sum)[4], float offset0, float offset1, float total0,
                                           float total1) {
  sum[0] = fmaf(-offset0, total0, sum[0]);
  sum[1] = fmaf(-offset0, total1, sum[1]);
  sum[2] = fmaf(-offset1, total0, sum[2]);
  sum[3] = fmaf(-offset1, total1, sum[3]);
}

/// How a format is multiplied: kStep weights of a row at a time; add(rows, step, inputs, sum) with the lane's
/// two rows. Formats that have none go by Dots.
template <class Format>
struct TileDots {
  static constexpr int kStep = 0;
};

template <class Format>
struct KTileDots {
  static constexpr int kStep = 64;
  static constexpr bool kFifth = std::is_same_v<Format, Q5_K>;

  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step, const TileInputs& x,
                                             float (&sum)[4]) {
    const int pair = step % 4, block = 2 * step, at = static_cast<int>(threadIdx.x % 4 * 4);
    const float2 first0 = x.scale0[block], first1 = x.scale1[block], second0 = x.scale0[block + 1],
                 second1 = x.scale1[block + 1];
    uint32_t low[4], high[4];
    float step_of[2][2], offset_of[2][2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const uint8_t* from = rows[r] + step / 4 * static_cast<int>(sizeof(typename Format::Block));
      const KScalePair scale(load_16(from), pair);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        step_of[r][i] = scale.d * static_cast<float>(scale.scale[i]);
        offset_of[r][i] = scale.d_min * static_cast<float>(scale.min[i]);
        const uint32_t q = word_at(from + (kFifth ? 48 : 16) + 32 * pair + 16 * i + at);
        low[r + 2 * i] = q & 0x0f0f0f0fu;
        high[r + 2 * i] = q >> 4 & 0x0f0f0f0fu;
        if constexpr (kFifth) {
          const uint32_t fifth = word_at(from + 16 + 16 * i + at) >> 2 * pair;
          low[r + 2 * i] |= (fifth & 0x01010101u) << 4;
          high[r + 2 * i] |= (fifth >> 1 & 0x01010101u) << 4;
        }
      }
    }
    int product[4] = {};
    multiply_tile(product, low, {x.word(block, 0), x.word(block, 1)});
    add_tile(sum, product, step_of[0][0], step_of[1][0], first0.x, first1.x);
    add_offset(sum, offset_of[0][0], offset_of[1][0], first0.y, first1.y);
    int second[4] = {};
    multiply_tile(second, high, {x.word(block + 1, 0), x.word(block + 1, 1)});
    add_tile(sum, second, step_of[0][1], step_of[1][1], second0.x, second1.x);
    add_offset(sum, offset_of[0][1], offset_of[1][1], second0.y, second1.y);
  }
};
template <>
struct TileDots<Q4_K> : KTileDots<Q4_K> {};
template <>
struct TileDots<Q5_K> : KTileDots<Q5_K> {};

/// 16 weights of low nibbles and the 16 that stand 64 behind them.
template <>
struct TileDots<Q6_K> {
  static constexpr int kStep = 32;

  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step, const TileInputs& x,
                                             float (&sum)[4]) {
    const int half = step % 8 / 4, sub = step % 4, at = static_cast<int>(threadIdx.x % 4 * 4);
    const int block = step / 8 * 8 + 4 * half + sub / 2;  // of the inputs; the other one is two behind
    uint32_t first[2], second[2];
    float step_of[2][2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const uint8_t* from = rows[r] + step / 8 * static_cast<int>(sizeof(Q6_K::Block));
      const uint32_t low = load_word(from + 64 * half + 16 * sub + at);
      const uint32_t high = load_word(from + 128 + 32 * half + 16 * (sub % 2) + at) >> sub / 2 * 2;
      first[r] = less((low & 0x0f0f0f0fu) | (high << 4 & 0x30303030u), 0x20202020u);
      second[r] = less((low >> 4 & 0x0f0f0f0fu) | (high & 0x30303030u), 0x20202020u);
      const auto* scales = reinterpret_cast<const int8_t*>(from + 192 + 8 * half + sub);
      const float d = half_at(from + 208);
      step_of[r][0] = d * static_cast<float>(scales[0]);
      step_of[r][1] = d * static_cast<float>(scales[4]);
    }
    int a[4] = {}, b[4] = {};
    multiply_tile(a, first, x.word(block, sub % 2));
    add_tile(sum, a, step_of[0][0], step_of[1][0], x.scale0[block].x, x.scale1[block].x);
    multiply_tile(b, second, x.word(block + 2, sub % 2));
    add_tile(sum, b, step_of[0][1], step_of[1][1], x.scale0[block + 2].x, x.scale1[block + 2].x);
  }
};

/// Blocks of 32 under one scale: decode(block, first, second, step) gives the lane's words of both halves.
template <class Decode>
__device__ __forceinline__ void add_block(const uint8_t* const (&rows)[2], int block_bytes, int step,
                                          const TileInputs& x, float (&sum)[4], Decode&& decode) {
  uint32_t w[4];
  float step_of[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) decode(rows[r] + step * block_bytes, w[r], w[r + 2], step_of[r]);
  int product[4] = {};
  multiply_tile(product, w, {x.word(step, 0), x.word(step, 1)});
  add_tile(sum, product, step_of[0], step_of[1], x.scale0[step].x, x.scale1[step].x);
}

template <>
struct TileDots<Q8_0> {
  static constexpr int kStep = 32;
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step, const TileInputs& x,
                                             float (&sum)[4]) {
    add_block(rows, sizeof(Q8_0::Block), step, x, sum,
              [](const uint8_t* block, uint32_t& first, uint32_t& second, float& d) {
                first = load_word(block + 2 + threadIdx.x % 4 * 4);
                second = load_word(block + 18 + threadIdx.x % 4 * 4);
                d = half_at(block);
              });
  }
};

template <>
struct TileDots<Q4_0> {
  static constexpr int kStep = 32;
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step, const TileInputs& x,
                                             float (&sum)[4]) {
    add_block(rows, sizeof(Q4_0::Block), step, x, sum,
              [](const uint8_t* block, uint32_t& first, uint32_t& second, float& d) {
                const uint32_t q = load_word(block + 2 + threadIdx.x % 4 * 4);
                first = less(q & 0x0f0f0f0fu, 0x08080808u);
                second = less(q >> 4 & 0x0f0f0f0fu, 0x08080808u);
                d = half_at(block);
              });
  }
};

template <>
struct TileDots<MXFP4> {
  static constexpr int kStep = 32;
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[2], int step, const TileInputs& x,
                                             float (&sum)[4]) {
    add_block(rows, sizeof(MXFP4::Block), step, x, sum,
              [](const uint8_t* block, uint32_t& first, uint32_t& second, float& d) {
                const uint32_t q = load_word(block + 1 + threadIdx.x % 4 * 4);
                const uint32_t a = Dots<MXFP4>::values(q), b = Dots<MXFP4>::values(q >> 16);
                first = __byte_perm(a, b, 0x6420);
                second = __byte_perm(a, b, 0x7531);
                const uint32_t e = block[0];
                d = __uint_as_float(e > 1 ? (e - 1) << 23 : 0x00200000u << e);
              });
  }
};

}  // namespace sw::cuda
