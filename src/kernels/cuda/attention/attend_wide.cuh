// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/flash_rows.cuh"

/// Attention of several tokens over a cache in F16, by the tensor instructions of four warps together
/// (wgmma), which only compute capability 9.0 has: they read keys and values from shared memory by
/// themselves.
namespace sw::cuda {

/// Code for it is there where a build for compute capability 9.0 says 90a.
inline constexpr int kWideCapability = 90;
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SW_HAS_WGMMA 1
#endif

/// Rows of kDim halves in panels of 64 dims; the chunks of a row change places within a panel. What wgmma
/// calls a 128-byte swizzle; `base` is a multiple of 1024.
template <int kDim, int kRows>
struct PanelRows {
  static constexpr uint32_t kRowBytes = 128, kPanelBytes = kRows * kRowBytes;

  uint32_t base;

  __device__ __forceinline__ uint32_t at(int row, int chunk) const {
    return base + static_cast<uint32_t>(chunk / 8) * kPanelBytes + static_cast<uint32_t>(row) * kRowBytes +
           static_cast<uint32_t>((chunk % 8 ^ (row & 7)) << 4);
  }
  /// What wgmma is told of an operand: its first byte, and how far apart groups of eight rows and, where rows
  /// are the inner dimension, panels are.
  __device__ static __forceinline__ uint64_t operand(uint32_t first) {
    constexpr uint64_t kGroupBytes = 8 * kRowBytes, kSwizzle = uint64_t{1} << 62;
    return kSwizzle | (kGroupBytes >> 4) << 32 | uint64_t{kPanelBytes >> 4} << 16 | (first & 0x3ffff) >> 4;
  }
  /// Rows from `row` on, dims 16 i to 16 i + 15, as an operand whose inner dimension are the dims.
  __device__ __forceinline__ uint64_t by_dims(int row, int i) const {
    return operand(base + static_cast<uint32_t>(i / 4) * kPanelBytes +
                   static_cast<uint32_t>(row) * kRowBytes + static_cast<uint32_t>(i % 4 * 32));
  }
  /// Rows 16 n to 16 n + 15, all dims, as an operand whose inner dimension are the rows.
  __device__ __forceinline__ uint64_t by_rows(int n) const {
    return operand(base + static_cast<uint32_t>(n * 16) * kRowBytes);
  }
};

/// A block has groups of four warps with 64 rows each: while one weighs, another multiplies.
template <int kDim_, int kKeys_, int kGroups>
struct WideShape {
  static constexpr int kDim = kDim_, kKeys = kKeys_;
  static constexpr int kTiles = 1, kThreads = kGroups * 128, kRows = kGroups * 64;
  static constexpr int kStages = 2;  ///< tiles of keys and values that are there or on their way
  using QueryRows = PanelRows<kDim, kRows>;
  using KeyRows = PanelRows<kDim, kKeys>;
  static constexpr uint32_t kQueryBytes = kRows * kDim * 2, kKeyBytes = kKeys * kDim * 2;
  static constexpr size_t kSharedBytes = kQueryBytes + kStages * 2 * kKeyBytes + sizeof(PageTable<kKeys>);
};

#ifdef SW_HAS_WGMMA
/// Before the first product of a series: registers that it reads and sums that it adds to are as written.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ __forceinline__ void close_products() {
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}
/// Waits for all series but the kLeft youngest; `sums` of an older one may be read then.
template <int kLeft, int kTiles>
__device__ __forceinline__ void wait_products(float (&sums)[kTiles][4]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kLeft) : "memory");
#pragma unroll
  for (auto& tile : sums) {  // nothing that reads them may move up
#pragma unroll
    for (float& x : tile) asm volatile("" : "+f"(x)::"memory");
  }
}

#define SW_SUMS4(n) "+f"(sums[n][0]), "+f"(sums[n][1]), "+f"(sums[n][2]), "+f"(sums[n][3])
#define SW_SUMS16(n) SW_SUMS4(n), SW_SUMS4(n + 1), SW_SUMS4(n + 2), SW_SUMS4(n + 3)

/// sums = left * right or, with `add`, sums += left * right: 64 rows and 128 columns of a group of warps,
/// both operands by_dims().
__device__ __forceinline__ void multiply_wide(float (&sums)[16][4], uint64_t left, uint64_t right, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1, 0, 0;\n}\n"
      : SW_SUMS16(0), SW_SUMS16(4), SW_SUMS16(8), SW_SUMS16(12)
      : "l"(left), "l"(right), "r"(static_cast<int>(add)));
}

/// sums += left * right, 128 columns; the right operand by_rows().
__device__ __forceinline__ void add_wide(float (&sums)[16][4], const Fragment& left, uint64_t right) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n"
      : SW_SUMS16(0), SW_SUMS16(4), SW_SUMS16(8), SW_SUMS16(12)
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right));
}

/// sums += left * right, 64 columns; the right operand by_rows().
__device__ __forceinline__ void add_wide(float (&sums)[8][4], const Fragment& left, uint64_t right) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n"
      : SW_SUMS16(0), SW_SUMS16(4)
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right));
}

#undef SW_SUMS4
#undef SW_SUMS16
#endif

template <class Shape>
class WideTile {
 public:
  using Rows = FlashRows<Shape>;
  using Copies = KeyCopies<Shape>;
  using KeyRows = typename Shape::KeyRows;

  __device__ WideTile(const FlashTask& task, int kv_head, int64_t first, int n, std::byte* shared)
      : task_(task),
        rows_(task.attend, kv_head, first, n),
        queries_{shared_address(shared)},
        table_(*reinterpret_cast<typename Copies::Table*>(shared + Shape::kSharedBytes -
                                                          sizeof(typename Copies::Table))) {
    rows_.load_queries(queries_);
    for (int i = 0; i < Shape::kStages; ++i) {
      rows_.clear_padding(keys(i), Shape::kKeys);
      rows_.clear_padding(values(i), Shape::kKeys);
    }
  }

  /// While a tile's weights are made, its scores' successors wait and the values of the one before are added.
  __device__ void attend(const TokenStretch& stretch, int begin, int end, int split) {
    Copies copies(task_.attend, rows_.kv_head(), stretch, rows_.seq(stretch.begin), end, table_);
    rows_.start(stretch);
    __syncthreads();  // all are done with the stages
    for (int i = 0; i < 3; ++i) copies.look_up(begin + i);
    __syncthreads();
    if (begin < end) attend_tiles(stretch, copies, begin, end);
    rows_.write(split, task_);
  }

 private:
  __device__ KeyRows keys(int tile) const {
    return {queries_.base + Shape::kQueryBytes +
            static_cast<uint32_t>(tile % Shape::kStages) * 2 * Shape::kKeyBytes};
  }
  __device__ KeyRows values(int tile) const { return {keys(tile).base + Shape::kKeyBytes}; }

  /// Waits until all are done with tile - 1, its scores and the values before it, and until the keys of
  /// `tile` and the values before it are there; starts the copies of what comes next.
  __device__ __forceinline__ void turn(Copies& copies, int tile) const {
    wait_copies<0>();
    asm volatile("fence.proxy.async;\n" ::: "memory");  // what this thread wrote, to the tensor cores
    __syncthreads();
    if (copies.has(tile + 1)) copies.start(tile + 1, false, keys(tile + 1));
    if (copies.has(tile)) copies.start(tile, true, values(tile));
    end_copies();
  }

  __device__ __forceinline__ void attend_tiles(const TokenStretch& stretch, Copies& copies, int begin,
                                               int end) {
#ifdef SW_HAS_WGMMA
    auto& sums = rows_.sums[0];
    typename Rows::Scores scores;
    float tops[2], shrink[2];
    Fragment weights[Shape::kKeys / 16];
    copies.start(begin, false, keys(begin));
    end_copies();
    turn(copies, begin);
    begin_products();
    score(keys(begin), scores[0]);
    wait_products<0>(scores[0]);
    rows_.mask(stretch, begin, scores);
    sums.find_tops(scores[0], tops);
    sums.to_weights(scores[0], tops, shrink);
    keep(scores[0], weights);
    for (int tile = begin + 1; tile < end; ++tile) {
      turn(copies, tile);
      copies.look_up(tile + 2);
      begin_products();
      score(keys(tile), scores[0]);
      add_values(values(tile - 1), weights);
      wait_products<1>(scores[0]);
      rows_.mask(stretch, tile, scores);
      sums.find_tops(scores[0], tops);
      sums.to_weights(scores[0], tops, shrink);
      finish_values(weights);
      sums.rescale(shrink);
      keep(scores[0], weights);
    }
    turn(copies, end);
    begin_products();
    add_values(values(end - 1), weights);
    finish_values(weights);
#endif
  }

#ifdef SW_HAS_WGMMA
  __device__ __forceinline__ void score(KeyRows keys, float (&scores)[Shape::kKeys / 8][4]) const {
    const int first_row = static_cast<int>(threadIdx.x) / 128 * 64;
#pragma unroll
    for (int i = 0; i < Shape::kDim / 16; ++i)
      multiply_wide(scores, queries_.by_dims(first_row, i), keys.by_dims(0, i), i > 0);
    close_products();
  }
  __device__ __forceinline__ void add_values(KeyRows values, const Fragment (&weights)[Shape::kKeys / 16]) {
#pragma unroll
    for (int n = 0; n < Shape::kKeys / 16; ++n) add_wide(rows_.sums[0].acc, weights[n], values.by_rows(n));
    close_products();
  }
  /// The weights were read until now.
  __device__ __forceinline__ void finish_values(Fragment (&weights)[Shape::kKeys / 16]) {
    wait_products<0>(rows_.sums[0].acc);
#pragma unroll
    for (Fragment& weight : weights) {
#pragma unroll
      for (uint32_t& x : weight) asm volatile("" : "+r"(x));
    }
  }
  __device__ static __forceinline__ void keep(const float (&scores)[Shape::kKeys / 8][4],
                                              Fragment (&weights)[Shape::kKeys / 16]) {
#pragma unroll
    for (int n = 0; n < Shape::kKeys / 16; ++n) weight_fragment(weights[n], scores[2 * n], scores[2 * n + 1]);
  }
#endif

  const FlashTask& task_;
  Rows rows_;
  const typename Shape::QueryRows queries_;
  typename Copies::Table& table_;
};

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1) attend_wide_kernel(const FlashTask task) {
  extern __shared__ __align__(1024) std::byte shared[];
  attend_stretches<WideTile<Shape>, Shape>(task, shared);
}

}  // namespace sw::cuda
