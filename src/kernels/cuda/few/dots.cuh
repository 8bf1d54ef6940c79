// SPDX-License-Identifier: MIT
#pragma once
#include <type_traits>

#include "kernels/cuda/few/inputs.cuh"

/// Products of rows of weights with inputs, both in shared memory. A row is cut into units, a lane takes
/// every 32nd of them: as many weights as share their scales and lie so that a warp's loads meet no bank
/// twice.
namespace sw::cuda {

/// The words of four bytes from `p` on, at any address: shared memory is read by whole words, one more than
/// kWords. (The pointer is stepped back, not made anew from a number: the compiler must know that it is
/// shared memory's.)
template <int kWords>
__device__ __forceinline__ void load_words(const uint8_t* p, uint32_t (&words)[kWords]) {
  const auto beyond = static_cast<unsigned>(reinterpret_cast<uintptr_t>(p) & 3);
  const auto* from = reinterpret_cast<const uint32_t*>(p - beyond);
  uint32_t low = from[0];
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    const uint32_t high = from[i + 1];
    words[i] = __funnelshift_r(low, high, 8 * beyond);
    low = high;
  }
}
__device__ __forceinline__ uint32_t load_word(const uint8_t* p) {
  uint32_t word[1];
  load_words(p, word);
  return word[0];
}

__device__ __forceinline__ uint4 load_16(const uint8_t* p) { return *reinterpret_cast<const uint4*>(p); }
__device__ __forceinline__ int input_word(const Q8Input& x, int k) {
  return *reinterpret_cast<const int*>(x.q + k);
}
/// Sum of four products of four signed bytes each.
__device__ __forceinline__ int dot_16(const uint4& w, const uint4& x) {
  const auto dot = [](uint32_t a, uint32_t b, int sum) {
    return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
  };
  return dot(w.w, x.w, dot(w.z, x.z, dot(w.y, x.y, dot(w.x, x.x, 0))));
}
__device__ __forceinline__ uint4 low_nibbles(const uint4& q) {
  return {q.x & 0x0f0f0f0fu, q.y & 0x0f0f0f0fu, q.z & 0x0f0f0f0fu, q.w & 0x0f0f0f0fu};
}
__device__ __forceinline__ uint4 shifted(const uint4& q, int by) {
  return {q.x >> by, q.y >> by, q.z >> by, q.w >> by};
}
__device__ __forceinline__ uint4 high_nibbles(const uint4& q) { return low_nibbles(shifted(q, 4)); }

/// Which unit of a row: the `first` that a lane takes, and so many times 32 further. What follows from
/// `first` alone does not change from one to the next.
struct Unit {
  int first, jump = 0;
  __device__ __forceinline__ int index() const { return first + kWarp * jump; }
};

/// How a format is multiplied: kUnit weights in a unit, the Input it takes, and add(rows, u, n_in, inputs,
/// sum): sum[r][t] += a unit of row r times the same elements of input t. Any format goes by its quads and
/// f32.
template <class Format>
struct Dots {
  using Input = F32Input;
  static constexpr int kUnit = 4;

  template <int kRows, int kTokens>
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[kRows], Unit unit, int n_in,
                                             const Input (&x)[kTokens], float (&sum)[kRows][kTokens]) {
    const int k = kUnit * unit.index();
    float4 quad[kTokens];
#pragma unroll
    for (int t = 0; t < kTokens; ++t) quad[t] = *reinterpret_cast<const float4*>(x[t].x + k);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float4 w = Decoder<Format>::template quad<false>(rows[r], k, n_in);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) sum[r][t] = add_dot(sum[r][t], w, quad[t]);
    }
  }
};

/// Scales and minima of two neighbouring sub-blocks, 2 pair and 2 pair + 1, of Q4_K and Q5_K (see
/// quant/k_scales.h), and the factors that stand before them. `head` is the first 16 bytes of a block.
struct KScalePair {
  int scale[2], min[2];
  float d, d_min;

  __device__ __forceinline__ KScalePair(const uint4& head, int pair)
      : d(half_value(static_cast<uint16_t>(head.x))), d_min(half_value(static_cast<uint16_t>(head.x >> 16))) {
    const int by = 16 * (pair & 1);
    const uint32_t a = head.y >> by, b = head.z >> by, c = head.w >> by;
    const uint32_t scales = pair < 2 ? a & 0x3f3fu : (c & 0x0f0fu) | (a >> 2 & 0x3030u);
    const uint32_t mins = pair < 2 ? b & 0x3f3fu : (c >> 4 & 0x0f0fu) | (b >> 2 & 0x3030u);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      scale[i] = byte_of(scales, i);
      min[i] = byte_of(mins, i);
    }
  }
};

/// Q4_K and Q5_K: 16 bytes of nibbles, which are one half of two sub-blocks. Each of the two lanes that share
/// these adds the minimum of one, times the sum of its inputs.
template <class Format>
struct KDots {
  using Input = Q8Input;
  static constexpr int kUnit = 32;
  static constexpr bool kFifth = std::is_same_v<Format, Q5_K>;

  template <int kRows, int kTokens>
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[kRows], Unit unit, int,
                                             const Input (&x)[kTokens], float (&sum)[kRows][kTokens]) {
    constexpr int kBytes = static_cast<int>(sizeof(typename Format::Block)), kBlocks = 4;  // of a jump
    const int u = unit.first, pair = u / 2 % 4, half = u % 2, block = u / 8 + kBlocks * unit.jump;
    const int k = 256 * block + 64 * pair + 16 * half, at = block * kBytes;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* from = rows[r] + at;
      const KScalePair scale(load_16(from), pair);
      const uint4 q = load_16(from + (kFifth ? 48 : 16) + 16 * (u % 8));
      uint4 low = low_nibbles(q), high = high_nibbles(q);
      if constexpr (kFifth) {
        const uint4 fifth = shifted(load_16(from + 16 + 16 * half), 2 * pair);
        low = with_fifth(low, fifth);
        high = with_fifth(high, shifted(fifth, 1));
      }
      const float min = scale.d_min * static_cast<float>(half == 0 ? scale.min[0] : scale.min[1]);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const float4 scales = *reinterpret_cast<const float4*>(x[t].scale + k / 64 * 2);
        const int a = scale.scale[0] * dot_16(low, load_16(x[t].q + k)),
                  b = scale.scale[1] * dot_16(high, load_16(x[t].q + k + 32));
        const float product = fmaf(scales.x, static_cast<float>(a), scales.z * static_cast<float>(b));
        sum[r][t] = fmaf(scale.d, product, fmaf(-min, half == 0 ? scales.y : scales.w, sum[r][t]));
      }
    }
  }
  static __device__ __forceinline__ uint4 with_fifth(const uint4& low, const uint4& fifth) {
    const auto word = [](uint32_t q, uint32_t bits) { return q | (bits & 0x01010101u) << 4; };
    return {word(low.x, fifth.x), word(low.y, fifth.y), word(low.z, fifth.z), word(low.w, fifth.w)};
  }
};
template <>
struct Dots<Q4_K> : KDots<Q4_K> {};
template <>
struct Dots<Q5_K> : KDots<Q5_K> {};

/// Eight bytes of low bits, and of the high bits that they share: weights q - 32 of two sub-blocks of 16.
template <>
struct Dots<Q6_K> {
  using Input = Q8Input;
  static constexpr int kUnit = 16;

  template <int kRows, int kTokens>
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[kRows], Unit unit, int,
                                             const Input (&x)[kTokens], float (&sum)[kRows][kTokens]) {
    constexpr int kMinus32 = static_cast<int>(0xe0e0e0e0u);
    constexpr int kBytes = static_cast<int>(sizeof(Q6_K::Block)),
                  kBlocks = 2;  // of a jump: a multiple of four bytes
    const int u = unit.first, half = u % 16 / 8, r64 = 8 * (u % 8), block = u / 16 + kBlocks * unit.jump;
    const int k = 256 * block + 128 * half + r64, at = u / 16 * kBytes;
    int first_zero[kTokens], second_zero[kTokens];  // -32 times the sums of the inputs
    int2 first_x[kTokens], second_x[kTokens];
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      first_x[t] = *reinterpret_cast<const int2*>(x[t].q + k);
      second_x[t] = *reinterpret_cast<const int2*>(x[t].q + k + 64);
      first_zero[t] = __dp4a(kMinus32, first_x[t].y, __dp4a(kMinus32, first_x[t].x, 0));
      second_zero[t] = __dp4a(kMinus32, second_x[t].y, __dp4a(kMinus32, second_x[t].x, 0));
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* from = rows[r] + at + unit.jump * (kBlocks * kBytes);
      uint32_t low[2], high[2];
      load_words(from + 64 * half + r64, low);
      load_words(from + 128 + 32 * half + r64 % 32, high);
      const int by = r64 / 32 * 2;
      const auto first = [&](int i) {
        return static_cast<int>((low[i] & 0x0f0f0f0fu) | (high[i] >> by << 4 & 0x30303030u));
      };
      const auto second = [&](int i) {
        return static_cast<int>((low[i] >> 4 & 0x0f0f0f0fu) | (high[i] >> by & 0x30303030u));
      };
      const auto* scales = reinterpret_cast<const int8_t*>(from + 192 + 8 * half + r64 / 16);
      const int first_scale = scales[0], second_scale = scales[4];
      const float d = half_at(from + 208);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const int a = __dp4a(first(1), first_x[t].y, __dp4a(first(0), first_x[t].x, first_zero[t])),
                  b = __dp4a(second(1), second_x[t].y, __dp4a(second(0), second_x[t].x, second_zero[t]));
        const float product = fmaf(x[t].scale[k / 32].x, static_cast<float>(first_scale * a),
                                   x[t].scale[k / 32 + 2].x * static_cast<float>(second_scale * b));
        sum[r][t] = fmaf(d, product, sum[r][t]);
      }
    }
  }
};

template <>
struct Dots<Q8_0> {
  using Input = Q8Input;
  static constexpr int kUnit = 4;

  template <int kRows, int kTokens>
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[kRows], Unit unit, int,
                                             const Input (&x)[kTokens], float (&sum)[kRows][kTokens]) {
    const int u = unit.index(), block = u / 8;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* from = rows[r] + block * static_cast<int>(sizeof(Q8_0::Block));
      const auto q = static_cast<int>(load_word(from + 2 + 4 * (u % 8)));
      const float step = half_at(from);
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
        sum[r][t] += step * x[t].scale[block].x * static_cast<float>(__dp4a(q, input_word(x[t], 4 * u), 0));
    }
  }
};

/// Four bytes of nibbles: four weights of a block's first half, four of its second.
struct NibbleDots {
  using Input = Q8Input;
  static constexpr int kUnit = 8;

  /// `step` is the block's; the weights are the signed bytes of `first` and `second`, plus those of kZero.
  template <int kZero, int kTokens>
  static __device__ __forceinline__ void add_word(int u, float step, int first, int second,
                                                  const Q8Input (&x)[kTokens], float (&sum)[kTokens]) {
    const int block = u / 4, k = 32 * block + 4 * (u % 4);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const int first_x = input_word(x[t], k), second_x = input_word(x[t], k + 16);
      const int zero = kZero == 0 ? 0 : __dp4a(kZero, second_x, __dp4a(kZero, first_x, 0));
      const int product = __dp4a(second, second_x, __dp4a(first, first_x, zero));
      sum[t] += step * x[t].scale[block].x * static_cast<float>(product);
    }
  }
};

template <>
struct Dots<Q4_0> : NibbleDots {
  static constexpr int kMinus8 = static_cast<int>(0xf8f8f8f8u);

  template <int kRows, int kTokens>
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[kRows], Unit unit, int,
                                             const Input (&x)[kTokens], float (&sum)[kRows][kTokens]) {
    const int u = unit.index();
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* from = rows[r] + u / 4 * static_cast<int>(sizeof(Q4_0::Block));
      const uint32_t q = load_word(from + 2 + 4 * (u % 4));
      add_word<kMinus8>(u, half_at(from), static_cast<int>(q & 0x0f0f0f0fu),
                        static_cast<int>(q >> 4 & 0x0f0f0f0fu), x, sum[r]);
    }
  }
};

template <>
struct Dots<MXFP4> : NibbleDots {
  /// Twice the values of four codes, in the low 16 bits of `codes`.
  static __device__ __forceinline__ uint32_t values(uint32_t codes) {
    const uint32_t magnitudes = codes & 0x7777u;
    const uint32_t positive = __byte_perm(0x03020100u, 0x0c080604u, magnitudes),
                   negative = __byte_perm(0xfdfeff00u, 0xf4f8fafcu, magnitudes);
    return __byte_perm(positive, negative, 0x3210u | (codes & 0x8888u) >> 1);
  }
  template <int kRows, int kTokens>
  static __device__ __forceinline__ void add(const uint8_t* const (&rows)[kRows], Unit unit, int,
                                             const Input (&x)[kTokens], float (&sum)[kRows][kTokens]) {
    const int u = unit.index();
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* from = rows[r] + u / 4 * static_cast<int>(sizeof(MXFP4::Block));
      const uint32_t q = load_word(from + 1 + 4 * (u % 4));
      const uint32_t a = values(q), b = values(q >> 16);  // first and second half in turn
      const uint32_t e = from[0];
      const float step = __uint_as_float(e > 1 ? (e - 1) << 23 : 0x00200000u << e);
      add_word<0>(u, step, static_cast<int>(__byte_perm(a, b, 0x6420)),
                  static_cast<int>(__byte_perm(a, b, 0x7531)), x, sum[r]);
    }
  }
};

/// How a block's warps share its rows: a task is n_row neighbouring rows, of which a warp adds up every n-th
/// 32 units. Several rows at once wait for shared memory together, and share the reads of the inputs.
struct Parts {
  int n = 1, n_row = 1;

  __host__ __device__ int n_task(int rows) const { return (rows + n_row - 1) / n_row * n; }

  /// So that the most that one of the warps has to do is least; of equals, the most rows at once.
  static Parts best(int rows, int n_unit, int most_rows, int n_warp) {
    const auto cost = [=](Parts p) {
      const int rounds = (p.n_task(rows) + n_warp - 1) / n_warp;
      const int units = (n_unit + kWarp * p.n - 1) / (kWarp * p.n);
      return rounds * (p.n_row * units + 1);  // 1: adding up the lanes
    };
    Parts best;
    for (int n = 1; n <= 16 && (n == 1 || n * kWarp <= n_unit); n *= 2) {
      for (int n_row = 1; n_row <= most_rows; ++n_row) {
        if (cost({n, n_row}) <= cost(best)) best = {n, n_row};
      }
    }
    return best;
  }
};

/// Calls f.operator()<n>() with `n`, 1 .. kMost.
template <int kMost, class F>
__device__ __forceinline__ void with_rows(int n, F&& f) {
  if constexpr (kMost > 1) {
    if (n < kMost) return with_rows<kMost - 1>(n, f);
  }
  f.template operator()<kMost>();
}

template <class Format>
__host__ __device__ constexpr int n_units(int n_in) {
  return (n_in + Dots<Format>::kUnit - 1) / Dots<Format>::kUnit;
}

/// sum[r][t] = part `part` of rows[r] . x[t], in all lanes of the warp.
template <class Format, int kRows, int kTokens>
__device__ __forceinline__ void dot_rows(const uint8_t* const (&rows)[kRows], int n_in, Parts parts, int part,
                                         const typename Dots<Format>::Input (&x)[kTokens],
                                         float (&sum)[kRows][kTokens]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) sum[r][t] = 0;
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp, n_unit = n_units<Format>(n_in);
#pragma unroll 2
  for (Unit unit{lane, part}; unit.index() < n_unit; unit.jump += parts.n)
    Dots<Format>::add(rows, unit, n_in, x, sum);
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) sum[r][t] = lane_sum(sum[r][t]);
  }
}

}  // namespace sw::cuda
