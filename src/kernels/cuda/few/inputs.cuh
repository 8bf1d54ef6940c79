// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/dequant.cuh"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/warp.cuh"

/// The inputs of products for few tokens, in a block's shared memory: as f32, or in blocks of 32 signed bytes
/// under an f32 scale. Each block of a product makes them anew from the f32 vector (8 KB out of the L2 cache
/// cost less than one more kernel). Where a norm stands before the product, its weights are multiplied in
/// here and its divisor, which is the same for all elements, at the end: nobody waits for the sum of the
/// squares.
namespace sw::cuda {

/// Warps of a block. For one token a multiprocessor has one block, with all that it will multiply on its way
/// at once: inputs are made once, and half of the registers are free, so that the blocks of the next kernel
/// are there already and load their weights. Products for several tokens take more registers a thread.
inline constexpr int kOneWarps = 16, kSomeWarps = 8;

/// A vector as a product finds it.
struct F32Input {
  static constexpr bool kRounded = false;
  float* x;

  __host__ __device__ static constexpr int bytes(int n) { return (n + 3) / 4 * 16; }
  F32Input() = default;
  __device__ F32Input(uint8_t* shared, int) : x(reinterpret_cast<float*>(shared)) {}
};
struct Q8Input {
  static constexpr bool kRounded = true;
  static constexpr int kBlock = 32;
  uint8_t* q;     ///< [n] signed bytes
  float2* scale;  ///< [n / 32] the scale of a block, and it times the sum of the bytes

  /// 16 more than a multiple of 128, so that the same place in several inputs is in several banks.
  __host__ __device__ static constexpr int bytes(int n) {
    return (n + n / kBlock * static_cast<int>(sizeof(float2)) + 111) / 128 * 128 + 16;
  }
  Q8Input() = default;
  __device__ Q8Input(uint8_t* shared, int n) : q(shared), scale(reinterpret_cast<float2*>(shared + n)) {}
};

/// Four values at `x`, past the L1 cache: another kernel has just written them.
__device__ __forceinline__ float4 load_input(const float* x) {
  return __ldcg(reinterpret_cast<const float4*>(x));
}

/// The bits of |x|, which order as the values do, with a NaN above all.
__device__ __forceinline__ uint32_t magnitude(float x) { return __float_as_uint(x) & 0x7fffffffu; }

/// A quad of a block of 32, whose other quads the seven neighbouring lanes have; stored if it is `there`. By
/// whole warps. A NaN or an infinity makes the block's scale one: nothing is hidden.
__device__ __forceinline__ void put_quad(const Q8Input& to, int k, const float4& v, bool there) {
  uint32_t most = max(max(magnitude(v.x), magnitude(v.y)), max(magnitude(v.z), magnitude(v.w)));
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2)
    most = max(most, __shfl_xor_sync(kAllLanes, most, distance));
  const float largest = __uint_as_float(most), inverse = largest > 0 ? 127.0f / largest : 0.0f;
  const int a = __float2int_rn(v.x * inverse), b = __float2int_rn(v.y * inverse),
            c = __float2int_rn(v.z * inverse), d = __float2int_rn(v.w * inverse);
  const int sum = lane_sum<8>(a + b + c + d);
  if (!there) return;
  *reinterpret_cast<char4*>(to.q + k) = make_char4(static_cast<signed char>(a), static_cast<signed char>(b),
                                                   static_cast<signed char>(c), static_cast<signed char>(d));
  const float scale = largest / 127.0f;
  if (k % Q8Input::kBlock == 0) to.scale[k / Q8Input::kBlock] = {scale, scale * static_cast<float>(sum)};
}

/// What the blocks of a product read: n elements of each of n_token tokens.
struct InputRows {
  const float* x;
  int64_t stride;
  int n_token, n;
  InputNorm norm;
};

/// A norm's weights that a thread will need, asked for while it must still wait for the inputs: nobody has
/// read them since the last step, and they come from afar.
template <int kWarps>
struct NormQuads {
  static constexpr int kHeld = 2;
  float4 weight[kHeld];

  __device__ __forceinline__ static float4 load(const InputNorm& norm, int k, int n) {
    if (!norm.weight || k + 4 > n) return {1.0f, 1.0f, 1.0f, 1.0f};
    return *reinterpret_cast<const float4*>(norm.weight + k);
  }
  __device__ __forceinline__ explicit NormQuads(const InputRows& rows) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      weight[i] = load(rows.norm, 4 * (static_cast<int>(threadIdx.x) + i * kWarps * kWarp), rows.n);
  }
};

/// The sums of squares of the inputs, as each warp of a block saw them.
template <int kTokens, int kWarps>
struct Squares {
  alignas(16) float of_warp[kTokens][kWarps];

  __device__ __forceinline__ void put(int t, float sum) {
    sum = lane_sum(sum);
    if (threadIdx.x % kWarp == 0) of_warp[t][threadIdx.x / kWarp] = sum;
  }
  /// What a product of token t has to be multiplied by. Known after a barrier; best asked for before the
  /// products, which then hide it.
  __device__ __forceinline__ float factor(const InputRows& rows, int t) const {
    if (!rows.norm.weight) return 1.0f;
    float total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += of_warp[t][w];
    return rsqrtf(total / static_cast<float>(rows.n) + rows.norm.eps);
  }
};

/// Any n, any address.
template <int kTokens, int kWarps>
__device__ __forceinline__ void put_rows(const F32Input (&to)[kTokens], const InputRows& rows,
                                         const NormQuads<kWarps>&, float (&squares)[kTokens]) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (t >= rows.n_token) break;
    for (int i = static_cast<int>(threadIdx.x); i < (rows.n + 3) / 4 * 4; i += kWarps * kWarp) {
      const float v = i < rows.n ? __ldcg(rows.x + t * rows.stride + i) : 0.0f;
      squares[t] = fmaf(v, v, squares[t]);
      to[t].x[i] = rows.norm.weight && i < rows.n ? v * rows.norm.weight[i] : v;
    }
  }
}

/// n a multiple of 32, x and the stride of 16 bytes.
template <int kTokens, int kWarps>
__device__ __forceinline__ void put_rows(const Q8Input (&to)[kTokens], const InputRows& rows,
                                         const NormQuads<kWarps>& quads, float (&squares)[kTokens]) {
  using Quads = NormQuads<kWarps>;
  constexpr int kThreads = kWarps * kWarp;
  const auto put = [&](int i, const float4& w) {
    const int k = 4 * (static_cast<int>(threadIdx.x) + i * kThreads);
    float4 v[kTokens];
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      v[t] = k < rows.n && t < rows.n_token ? load_input(rows.x + t * rows.stride + k) : float4{};
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t >= rows.n_token) break;
      squares[t] = add_dot(squares[t], v[t], v[t]);
      put_quad(to[t], k, {v[t].x * w.x, v[t].y * w.y, v[t].z * w.z, v[t].w * w.w}, k < rows.n);
    }
  };
#pragma unroll
  for (int i = 0; i < Quads::kHeld; ++i) {
    if (4 * i * kThreads < rows.n) put(i, quads.weight[i]);
  }
  for (int i = Quads::kHeld; 4 * i * kThreads < rows.n; ++i)
    put(i, Quads::load(rows.norm, 4 * (static_cast<int>(threadIdx.x) + i * kThreads), rows.n));
}

/// The inputs of a block in `shared`, Input::bytes(n) apart. A barrier must follow.
template <class Input, int kTokens, int kWarps>
__device__ __forceinline__ void put_inputs(uint8_t* shared, const InputRows& rows,
                                           const NormQuads<kWarps>& quads,
                                           Squares<kTokens, kWarps>& squares) {
  Input to[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) to[t] = Input(shared + t * Input::bytes(rows.n), rows.n);
  float sum[kTokens] = {};
  put_rows(to, rows, quads, sum);
  if (!rows.norm.weight) return;
#pragma unroll
  for (int t = 0; t < kTokens; ++t) squares.put(t, sum[t]);
}

}  // namespace sw::cuda
