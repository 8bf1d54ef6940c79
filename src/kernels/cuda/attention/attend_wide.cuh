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

/// A block has three groups of four warps: two have 64 rows each, the last brings keys and values.
template <int kDim_, int kKeys_, int kStages_>
struct WideShape {
  static constexpr int kDim = kDim_, kKeys = kKeys_;
  static constexpr int kTiles = 1, kRows = 128;
  static constexpr int kGroups = 2, kGroupThreads = 128, kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr int kStages = kStages_;  ///< tiles of keys, and as many of values, there or on their way
  using QueryRows = PanelRows<kDim, kRows>;
  using KeyRows = PanelRows<kDim, kKeys>;
  static constexpr uint32_t kQueryBytes = kRows * kDim * 2, kKeyBytes = kKeys * kDim * 2;
  static constexpr size_t kSharedBytes =
      kQueryBytes + kStages * 2 * kKeyBytes + 4 * kStages * sizeof(uint64_t);
};

/// A barrier in shared memory that counts arrivals; a phase ends when all have come.
struct PhaseBarrier {
  uint32_t address;

  __device__ void init(int n_arrival) const {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(address), "r"(n_arrival) : "memory");
  }
  __device__ __forceinline__ void arrive() const {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(address) : "memory");
  }
  /// Waits for the end of a phase: 0 the first, then 1, then 0 again. The one before the first has ended.
  __device__ __forceinline__ void wait(int phase) const {
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n}\n" ::"r"(address),
        "r"(phase)
        : "memory");
  }
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

/// The stages of a block in shared memory. Tiles are counted through all stretches.
template <class Shape>
struct WideStages {
  uint32_t first;

  __device__ typename Shape::KeyRows keys(int tile) const {
    return {first + static_cast<uint32_t>(tile % Shape::kStages) * 2 * Shape::kKeyBytes};
  }
  __device__ typename Shape::KeyRows values(int tile) const { return {keys(tile).base + Shape::kKeyBytes}; }
  __device__ static int phase(int tile) { return tile / Shape::kStages % 2; }
  /// There, and free again: of keys and of values.
  __device__ PhaseBarrier there(int tile, bool of_values) const { return barrier(tile, of_values ? 1 : 0); }
  __device__ PhaseBarrier free(int tile, bool of_values) const { return barrier(tile, of_values ? 3 : 2); }

 private:
  __device__ PhaseBarrier barrier(int tile, int kind) const {
    return {first + Shape::kStages * 2 * Shape::kKeyBytes +
            static_cast<uint32_t>(kind * Shape::kStages + tile % Shape::kStages) *
                static_cast<uint32_t>(sizeof(uint64_t))};
  }
};

template <class Shape>
class WideTile {
 public:
  using Rows = FlashRows<Shape>;

  __device__ WideTile(const FlashTask& task, const FlashBlock<Shape>& block, std::byte* shared)
      : task_(task),
        rows_(task.attend, block.kv_head, block.first, block.n),
        queries_{shared_address(shared)},
        stages_{queries_.base + Shape::kQueryBytes} {
    rows_.load_queries(queries_);
    for (int i = 0; i < Shape::kStages; ++i) {
      rows_.clear_padding(stages_.keys(i), Shape::kKeys);
      rows_.clear_padding(stages_.values(i), Shape::kKeys);
      if (threadIdx.x > 0) continue;
      for (const bool of_values : {false, true}) {
        stages_.there(i, of_values).init(Shape::kGroupThreads);
        stages_.free(i, of_values).init(Shape::kGroups * Shape::kGroupThreads / kWarp);
      }
    }
    publish();
    __syncthreads();
  }

  /// Registers go from the warps that copy to those that multiply; no more than the block has, 168 each.
  __device__ __forceinline__ void run(const FlashBlock<Shape>& block) {
#ifdef SW_HAS_WGMMA
    if (group() == Shape::kGroups) {
      asm volatile("setmaxnreg.dec.sync.aligned.u32 40;\n");
      block.for_each_stretch(task_, [&](const TokenStretch& stretch, int begin, int end) {
        bring(stretch, begin, end);
        n_tile_ += end - begin;
      });
    } else {
      asm volatile("setmaxnreg.inc.sync.aligned.u32 232;\n");
      if (group() == 1) start_turn_of(0);
      block.for_each_stretch(task_, [&](const TokenStretch& stretch, int begin, int end) {
        rows_.start(stretch);
        if (begin < end) attend_tiles(stretch, begin, end);
        rows_.write(block.split, task_);
        n_tile_ += end - begin;
      });
    }
#endif
  }

 private:
  __device__ static int group() { return static_cast<int>(threadIdx.x) / Shape::kGroupThreads; }
  /// Makes what this thread has written to shared memory visible to the tensor cores.
  __device__ static __forceinline__ void publish() {
#ifdef SW_HAS_WGMMA
    asm volatile("fence.proxy.async;\n" ::: "memory");
#endif
  }
  /// Groups queue their products in turn, so that one weighs while the other's are computed.
  __device__ static __forceinline__ void start_turn_of(int other) {
    if (other == 0) {
      asm volatile("bar.arrive 1, 256;\n" ::: "memory");
    } else {
      asm volatile("bar.arrive 2, 256;\n" ::: "memory");
    }
  }
  __device__ static __forceinline__ void wait_turn() {
    if (group() == 0) {
      asm volatile("bar.sync 1, 256;\n" ::: "memory");
    } else {
      asm volatile("bar.sync 2, 256;\n" ::: "memory");
    }
  }
  /// By the last group: copies keys and values of tiles [begin, end) as places become free.
  __device__ __forceinline__ void bring(const TokenStretch& stretch, int begin, int end) const {
    const AttendTask& a = task_.attend;
    const UnitOffsets units{a.batch.block_tables[rows_.seq(stretch.begin)], a.kv.page_stride_bytes,
                            static_cast<int>(a.kv.page_tokens) / kTileRows, kTileRows * a.head_dim * 2};
    constexpr int kUnits = Shape::kKeys / kTileRows;
    const size_t head = static_cast<size_t>(rows_.kv_head()) * a.kv.head_stride_bytes;
    const auto look_up = [&](int tile) {  // a lane has a unit
      const int unit = tile * kUnits + static_cast<int>(threadIdx.x) % kUnits;
      const bool there =
          tile < end && unit * kTileRows <= stretch.last && (unit + 1) * kTileRows > stretch.first;
      return there ? units.at(unit) : 0;
    };
    size_t next = look_up(begin);
    uint32_t copied = 0;  // the barrier of what is being copied
    const auto announce = [&] {
      publish();
      PhaseBarrier{copied}.arrive();
    };
#pragma unroll 1
    for (int tile = begin; tile < end; ++tile) {
      const int count = n_tile_ + tile - begin;
      const size_t offset = next;
      next = look_up(tile + 1);
#pragma unroll 1
      for (int kind = 0; kind < 2; ++kind) {
        const bool of_values = kind == 1;
        stages_.free(count, of_values).wait(1 - WideStages<Shape>::phase(count));
        const auto to = of_values ? stages_.values(count) : stages_.keys(count);
        copy(stretch, tile, (of_values ? a.kv.v : a.kv.k) + head, offset, to);
        end_copies();
        if (copied != 0) {
          wait_copies<1>();
          announce();
        }
        copied = stages_.there(count, of_values).address;
      }
    }
    if (copied == 0) return;
    wait_copies<0>();
    announce();
  }
  /// Zeros before the first position, where pages may be gone, and behind the last, where nothing was ever
  /// written.
  __device__ __forceinline__ void copy(const TokenStretch& stretch, int tile, const std::byte* from,
                                       size_t offset, typename Shape::KeyRows to) const {
    constexpr int kChunks = Shape::kDim / 8, kStep = kWarp / kChunks;
    const int row_bytes = task_.attend.head_dim * 2, lane = static_cast<int>(threadIdx.x) % kWarp;
    const int chunk = lane % kChunks, first_row = lane / kChunks;
    from += first_row * row_bytes + chunk * 16;
    constexpr int kUnits = Shape::kKeys / kTileRows / 4;  // of a warp
    const int warp = static_cast<int>(threadIdx.x) % Shape::kGroupThreads / kWarp;
#pragma unroll 1
    for (int u = 0; u < kUnits; ++u) {
      const int unit = warp * kUnits + u;
      const std::byte* at = from + __shfl_sync(kAllLanes, offset, unit);
      if (chunk * 8 >= task_.attend.head_dim) continue;
      const int row = unit * kTileRows + first_row, key = tile * Shape::kKeys + row;
#pragma unroll
      for (int i = 0; i < kTileRows; i += kStep)
        copy16(to.at(row + i, chunk), at + i * row_bytes,
               key + i >= stretch.first && key + i <= stretch.last);
    }
  }

  __device__ __forceinline__ void attend_tiles(const TokenStretch& stretch, int begin, int end) {
#ifdef SW_HAS_WGMMA
    auto& sums = rows_.sums[0];
    typename Rows::Scores scores;
    float tops[2], shrink[2];
    Fragment weights[Shape::kKeys / 16];
    int count = n_tile_;
    wait_for(count, false);
    begin_products();
    score(count, scores[0]);
    wait_products<0>(scores[0]);
    done_with(count, false);
    rows_.mask(stretch, begin, scores);
    sums.find_tops(scores[0], tops);
    sums.to_weights(scores[0], tops, shrink);
    keep(scores[0], weights);
    for (int tile = begin + 1; tile < end; ++tile) {
      ++count;
      wait_for(count, false);
      wait_for(count - 1, true);
      wait_turn();
      begin_products();
      score(count, scores[0]);
      add_values(count - 1, weights);
      start_turn_of(1 - group());
      wait_products<1>(scores[0]);
      done_with(count, false);
      rows_.mask(stretch, tile, scores);
      sums.find_tops(scores[0], tops);
      sums.to_weights(scores[0], tops, shrink);
      finish_values(weights);
      done_with(count - 1, true);
      sums.rescale(shrink);
      keep(scores[0], weights);
    }
    wait_for(count, true);
    begin_products();
    add_values(count, weights);
    finish_values(weights);
    done_with(count, true);
#endif
  }

#ifdef SW_HAS_WGMMA
  __device__ __forceinline__ void wait_for(int tile, bool of_values) const {
    stages_.there(tile, of_values).wait(WideStages<Shape>::phase(tile));
  }
  __device__ __forceinline__ void done_with(int tile, bool of_values) const {
    __syncwarp();
    if (threadIdx.x % kWarp == 0) stages_.free(tile, of_values).arrive();
  }
  __device__ __forceinline__ void score(int tile, float (&scores)[Shape::kKeys / 8][4]) const {
    const auto keys = stages_.keys(tile);
#pragma unroll
    for (int i = 0; i < Shape::kDim / 16; ++i)
      multiply_wide(scores, queries_.by_dims(group() * 64, i), keys.by_dims(0, i), i > 0);
    close_products();
  }
  __device__ __forceinline__ void add_values(int tile, const Fragment (&weights)[Shape::kKeys / 16]) {
    const auto values = stages_.values(tile);
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
  const WideStages<Shape> stages_;
  int n_tile_ = 0;  // of the stretches before
};

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1) attend_wide_kernel(const FlashTask task) {
  extern __shared__ __align__(1024) std::byte shared[];
  const FlashBlock<Shape> block(task);
  WideTile<Shape>(task, block, shared).run(block);
}

}  // namespace sw::cuda
