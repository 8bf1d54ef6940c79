// SPDX-License-Identifier: MIT
#pragma once
#include <cfloat>
#include <cuda_fp16.h>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/warp.cuh"

/// Products of f16 tiles in shared memory on the tensor cores, with f32 sums, as the attention over a cache
/// in F16 needs them. A fragment is what a warp holds of a tile: 16 x 16 of the left operand in four
/// registers, two of 16 x 8 of the right one in four. Of a tile of sums, 16 x 8, lane l has rows l / 4 and l
/// / 4 + 8 and columns 2 * (l % 4) and the next: sums 0 and 1 are of the first row, 2 and 3 of the second.
namespace sw::cuda {

/// Rows of a fragment, and neighbouring keys that lie in one page.
inline constexpr int kTileRows = 16;

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/// Starts a copy of 16 bytes to shared memory; zeros where `there` is false, and `from` is not read then.
__device__ __forceinline__ void copy16(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void store16(uint32_t to, const uint4& x) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};\n" ::"r"(to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w)
               : "memory");
}

__device__ __forceinline__ void store4(uint32_t to, uint32_t x) {
  asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(to), "r"(x) : "memory");
}

using Fragment = uint32_t[4];

/// Four 8 x 8 tiles; lane l gives the address of row l % 8 of tile l / 8.
__device__ __forceinline__ void load_fragment(Fragment& to, uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}
/// Likewise, each tile transposed.
__device__ __forceinline__ void load_transposed(Fragment& to, uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}

/// sums += left * right, for one tile of 16 x 8.
__device__ __forceinline__ void add_product(float (&sums)[4], const Fragment& left, uint32_t right0,
                                            uint32_t right1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}

__device__ __forceinline__ uint32_t half_pair(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return reinterpret_cast<const uint32_t&>(pair);
}

/// An 8 x 8 tile of a warp, of which lane l has columns 2 * (l % 4) and the next of row l / 4, transposed.
__device__ __forceinline__ uint32_t transposed(uint32_t tile) {
  uint32_t to;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;\n" : "=r"(to) : "r"(tile));
  return to;
}

/// 2^x to about 22 bits; 0 for -INFINITY.
__device__ __forceinline__ float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

/// Rows of kDim halves in shared memory from `base` on. The 16-byte chunks of a row change places by its
/// number, so that eight neighbouring rows lie in different banks.
template <int kDim>
struct HalfRows {
  static constexpr int kChunks = kDim / 8, kRowBytes = kDim * 2;
  static_assert(kChunks % 8 == 0);

  uint32_t base;

  __device__ __forceinline__ uint32_t at(int row, int chunk) const {
    return base + static_cast<uint32_t>(row * kRowBytes + ((chunk ^ (row & 7)) << 4));
  }
};

/// The addresses that a lane gives for fragments of HalfRows: of 16 rows, two chunks each. Fragments of the
/// chunks 2 i lie at row(r) ^ chunk(i), where r counts from the rows' start in steps of 16.
template <int kDim>
struct LaneRows {
  uint32_t first_row, swizzle;

  /// Tiles in the order of a left operand: both halves of the rows, then the second chunk. The transposed
  /// right operand, whose rows are those of the sum, has the same.
  __device__ static LaneRows left() {
    const int lane = threadIdx.x % kWarp;
    return {lane % 16, lane / 16};
  }
  /// Of a right operand whose rows are the columns of the product: both chunks, then the other rows.
  __device__ static LaneRows right() {
    const int lane = threadIdx.x % kWarp;
    return {lane % 8 + lane / 16 * 8, lane / 8 % 2};
  }

  __device__ __forceinline__ uint32_t at(uint32_t base, int tile, int i) const {
    return base + first_row + static_cast<uint32_t>(tile * kTileRows * kDim * 2) +
           (swizzle ^ static_cast<uint32_t>(i << 5));
  }

 private:
  __device__ LaneRows(int row, int chunk)
      : first_row(static_cast<uint32_t>(row * kDim * 2)),
        swizzle(static_cast<uint32_t>((chunk ^ (row & 7)) << 4)) {}
};

/// Eight values to f16, scaled.
__device__ __forceinline__ uint4 half_chunk(const float4& low, const float4& high, float scale) {
  return {half_pair(low.x * scale, low.y * scale), half_pair(low.z * scale, low.w * scale),
          half_pair(high.x * scale, high.y * scale), half_pair(high.z * scale, high.w * scale)};
}

/// Stores make(row, chunk) for all kRows rows of kChunks chunks. What several need is loaded at once.
template <int kRows, int kChunks, int kThreads, class Make, class Rows>
__device__ __forceinline__ void store_rows(Make&& make, const Rows& to) {
  constexpr int kAtOnce = 4, kAll = kRows * kChunks;
  for (int begin = threadIdx.x; begin < kAll; begin += kAtOnce * kThreads) {
    uint4 chunks[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int i = begin + j * kThreads;
      chunks[j] = i < kAll ? make(i / kChunks, i % kChunks) : uint4{};
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int i = begin + j * kThreads;
      if (i < kAll) store16(to.at(i / kChunks, i % kChunks), chunks[j]);
    }
  }
}

/// The running softmax of 16 rows and what it adds up: kDim weighted values of each.
template <int kDim>
struct RunningRows {
  float acc[kDim / 8][4];
  float top[2], sum[2];  ///< of the lane's two rows; a sum is of the lane's own keys until close()

  __device__ __forceinline__ void start() {
#pragma unroll
    for (auto& tile : acc) {
#pragma unroll
      for (float& x : tile) x = 0;
    }
    for (int r = 0; r < 2; ++r) {
      top[r] = -INFINITY;
      sum[r] = 0;
    }
  }

  /// The largest scores of both rows so far.
  template <int kTiles>
  __device__ __forceinline__ void find_tops(const float (&scores)[kTiles][4], float (&most)[2]) const {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      most[r] = top[r];
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
        most[r] = fmaxf(most[r], fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
      most[r] = lane_max<4>(most[r]);
    }
  }
  /// From scores, powers of 2, to weights; what was added up so far is to be shrunk.
  template <int kTiles>
  __device__ __forceinline__ void to_weights(float (&scores)[kTiles][4], const float (&tops)[2],
                                             float (&shrink)[2]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float most = fmaxf(tops[r], -FLT_MAX);  // any finite number will do where a row has seen no key
      shrink[r] = fast_exp2(top[r] - most);
      top[r] = most;
      float added = 0;
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        scores[n][2 * r] = fast_exp2(scores[n][2 * r] - most);
        scores[n][2 * r + 1] = fast_exp2(scores[n][2 * r + 1] - most);
        added += scores[n][2 * r] + scores[n][2 * r + 1];
      }
      sum[r] = fmaf(sum[r], shrink[r], added);
    }
  }
  __device__ __forceinline__ void rescale(const float (&shrink)[2]) {
    if (!__any_sync(kAllLanes, shrink[0] != 1.0f || shrink[1] != 1.0f)) return;
#pragma unroll
    for (auto& tile : acc) {
      tile[0] *= shrink[0];
      tile[1] *= shrink[0];
      tile[2] *= shrink[1];
      tile[3] *= shrink[1];
    }
  }
  /// All of this, where the largest scores are known and where they are not.
  template <int kTiles>
  __device__ __forceinline__ void weigh(float (&scores)[kTiles][4], const float (&tops)[2]) {
    float shrink[2];
    to_weights(scores, tops, shrink);
    rescale(shrink);
  }
  template <int kTiles>
  __device__ __forceinline__ void weigh(float (&scores)[kTiles][4]) {
    float tops[2];
    find_tops(scores, tops);
    weigh(scores, tops);
  }

  __device__ __forceinline__ void close() {
    sum[0] = lane_sum<4>(sum[0]);
    sum[1] = lane_sum<4>(sum[1]);
  }
};

/// The left operand of 16 keys, from weights in the places of sums.
__device__ __forceinline__ void weight_fragment(Fragment& to, const float (&low)[4], const float (&high)[4]) {
  to[0] = half_pair(low[0], low[1]);
  to[1] = half_pair(low[2], low[3]);
  to[2] = half_pair(high[0], high[1]);
  to[3] = half_pair(high[2], high[3]);
}

/// Where 16 neighbouring keys of one page lie, in bytes from page 0 of a head, for keys and values alike.
struct UnitOffsets {
  const int32_t* pages;  ///< of the sequence
  size_t page_stride_bytes;
  int units_per_page, unit_bytes;

  __device__ int page(int unit) const { return pages[unit / units_per_page]; }
  __device__ size_t at_place(int page, int in_page) const {
    return static_cast<size_t>(page) * page_stride_bytes +
           static_cast<size_t>(in_page) * static_cast<size_t>(unit_bytes);
  }
  __device__ size_t at(int unit) const { return at_place(page(unit), unit % units_per_page); }
};

}  // namespace sw::cuda
