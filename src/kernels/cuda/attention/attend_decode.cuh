// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/decode_parts.cuh"
#include "kernels/cuda/launch.cuh"

/// Attention of one token per sequence over a cache in F16, from the product of qkv to the attended values in
/// one launch. The keys of a token and key head are split over blocks, in a number that the grid fixes; each
/// block finds its share from the position. All finish the queries for themselves, the block that owns the
/// last position also finishes and stores the new key and value, and the last block to end merges the parts.
/// The kernel starts early: positions, pages and what is cached of earlier tokens do not come from the kernel
/// ahead, only qkv does.
namespace sw::cuda {

template <int kDim, int kWarps, int kRing>
class DecodeTile {
 public:
  using Shape = DecodeShape<kDim, kWarps, kRing>;
  using Shared = DecodeShared<kWarps>;

  __device__ DecodeTile(const DecodeTask& task, const DecodeBlock& block, std::byte* memory, Shared& shared)
      : task_(task),
        a_(task.attend),
        block_(block),
        memory_(memory),
        shared_(shared),
        warp_(threadIdx.x / kWarp),
        // Where there are fewer units than warps, those that finish no heads have them.
        first_unit_(block.begin + kWarps - 1 - warp_),
        n_item_(2 * max(0, (block.end - first_unit_ + kWarps - 1) / kWarps)),
        units_{a_.batch.block_tables[a_.batch.seq[block.token]], a_.kv.page_stride_bytes,
               static_cast<int>(a_.kv.page_tokens) / kTileRows, kTileRows * a_.head_dim * 2},
        next_place_(place(0)) {}

  __device__ void run() {
    if (a_.head_dim < kDim) {
      clear(0, kWarps * kRing);
      __syncthreads();
    }
#pragma unroll 1  // here and below: code that is run once costs most when it is fetched
    for (int i = 0; i < kRing - 1; ++i) start(i);
    let_next_start();
    finish_heads();
    __syncthreads();
    Fragment query[kDim / 32];
    load_queries(query);
    if (a_.head_dim < kDim) clear(2 * kRing - 1, 1);  // of heads in the making, behind the dims of keys
    __syncthreads();                                  // the slots of queries and heads go back to their rings
    uint2 weights = {};
#pragma unroll 1
    for (int item = 0; item < n_item_; ++item) {
      const uint32_t at = next(item);
      if (item % 2 == 0) {
        weights = weigh(at, unit(item) * kTileRows, query);
      } else {
        add(at, weights);
      }
    }
    heads_.close();
    merge_warps();
    if (block_.n_split > 1) merge_splits();
  }

 private:
  __device__ uint32_t slot(int warp, int i) const {
    return shared_address(memory_) + static_cast<uint32_t>(warp * kRing + i) * Shape::kSlotBytes;
  }
  __device__ __half* new_row(bool value) const {
    return reinterpret_cast<__half*>(memory_ + size_t{kWarps} * kRing * Shape::kSlotBytes) +
           (value ? kDim : 0);
  }
  /// A head in the making. They lie in a slot that is still free.
  __device__ float* head_of_warp() const {
    return reinterpret_cast<float*>(memory_ + (2 * kRing - 1) * Shape::kSlotBytes) + warp_ * kDim;
  }
  __device__ int unit(int item) const { return first_unit_ + item / 2 * kWarps; }

  __device__ void clear(int first_slot, int n_slot) const {
    for (int i = threadIdx.x; i < n_slot * static_cast<int>(Shape::kSlotBytes / 16); i += Shape::kThreads)
      store16(slot(0, first_slot) + i * 16, {});
  }

  /// Where the warp's units lie is looked up for 32 of them at once, by a lane each, and 32 ahead.
  struct Place {
    int page, unit;  ///< in it
  };
  __device__ __forceinline__ Place place(int first) const {
    const int at = first_unit_ + (first + static_cast<int>(threadIdx.x) % kWarp) * kWarps;
    if (at >= block_.end) return {};
    return {units_.page(at), at % units_.units_per_page};
  }

  /// Starts the copies of an item: of a unit of keys (even) or values. Zeros where nothing is seen: there
  /// may be no page, or nothing was ever written.
  __device__ __forceinline__ void start(int item) {
    constexpr int kChunks = HalfRows<kDim>::kChunks, kStep = kWarp / kChunks;
    const int lane = threadIdx.x % kWarp, chunk = lane % kChunks, first_row = lane / kChunks;
    if (item >= n_item_) return end_copies();
    if (item % (2 * kWarp) == 0) {
      place_ = next_place_;
      next_place_ = place(item / 2 + kWarp);
    }
    const HalfRows<kDim> rows{slot(warp_, item % kRing)};
    const int page = __shfl_sync(kAllLanes, place_.page, item / 2 % kWarp),
              in_page = __shfl_sync(kAllLanes, place_.unit, item / 2 % kWarp);
    const std::byte* from = (item % 2 == 0 ? a_.kv.k : a_.kv.v) +
                            static_cast<size_t>(block_.kv_head) * a_.kv.head_stride_bytes +
                            units_.at_place(page, in_page) + first_row * a_.head_dim * 2 + chunk * 16;
    const int first_key = unit(item) * kTileRows;
    if (chunk * 8 < a_.head_dim) {
#pragma unroll
      for (int i = 0; i < kTileRows / kStep; ++i) {
        const int row = first_row + i * kStep, key = first_key + row;
        // The new row is not read from the cache.
        copy16(rows.at(row, chunk), from + i * kStep * a_.head_dim * 2,
               key >= block_.first && key < block_.pos);
      }
    }
    end_copies();
  }

  /// Waits for qkv. The queries of the block's heads, scaled, to the last slot of warp 0; the new key and
  /// value to their rows and, once, to the cache.
  __device__ void finish_heads() {
    const FinishTask& f = task_.finish;
    const int n = block_.n_head + (block_.owns_last() ? 2 : 0);
    const HalfRows<kDim> queries{slot(0, kRing - 1)};
#pragma unroll 1
    for (int i = threadIdx.x; i < kDecodeHeads * kDim / 8; i += Shape::kThreads) {
      const int row = i / (kDim / 8), chunk = i % (kDim / 8);
      if (row >= block_.n_head || chunk * 8 >= a_.head_dim) store16(queries.at(row, chunk), {});
    }
    if (warp_ >= n) wait_for_previous();
    float* head = head_of_warp();
#pragma unroll 1
    for (int i = warp_; i < n; i += kWarps) {
      const int kind = max(i - block_.n_head + 1, 0);  // query, key, value
      const int h = kind == 0 ? block_.first_head + i : f.n_head + (kind - 1) * f.n_head_kv + block_.kv_head;
      HeadFinish<kDim> finish(f, block_.token, h);
      if (i == warp_) wait_for_previous();
      finish.load();
      finish.run(head);
      if (kind == 0) {
        store_query(queries, i, head);
      } else {
        store_new(kind == 2, head);
      }
      __syncwarp();
    }
  }
  __device__ void store_query(const HalfRows<kDim>& queries, int row, const float* head) const {
    const int chunk = threadIdx.x % kWarp;
    if (chunk * 8 >= a_.head_dim) return;
    store16(queries.at(row, chunk),
            half_chunk(load4(head + chunk * 8), load4(head + chunk * 8 + 4), a_.scale));
  }
  __device__ void store_new(bool value, const float* head) const {
    const size_t offset = units_.at(block_.pos / kTileRows);
    auto* cached = reinterpret_cast<__half*>((value ? a_.kv.v : a_.kv.k) + offset +
                                             static_cast<size_t>(block_.kv_head) * a_.kv.head_stride_bytes) +
                   block_.pos % kTileRows * a_.head_dim;
    for (int i = threadIdx.x % kWarp; i < a_.head_dim; i += kWarp) {
      const __half x(head[i]);  // to nearest, ties to even
      new_row(value)[i] = x;
      if (block_.chunk == 0) cached[i] = x;
    }
  }

  /// Waits for an item and starts the one that takes the place of the last.
  __device__ __forceinline__ uint32_t next(int item) {
    wait_copies<kRing - 2>();
    __syncwarp();
    start(item + kRing - 1);
    const uint32_t at = slot(warp_, item % kRing);
    if (unit(item) != block_.pos / kTileRows) return at;
    const int chunk = threadIdx.x % kWarp;
    if (chunk * 8 < a_.head_dim)
      store16(HalfRows<kDim>{at}.at(block_.pos % kTileRows, chunk),
              *reinterpret_cast<const uint4*>(new_row(item % 2 == 1) + chunk * 8));
    __syncwarp();
    return at;
  }

  /// Two right operands of 16 dims each per fragment.
  __device__ __forceinline__ void load_queries(Fragment (&query)[kDim / 32]) const {
    const HalfRows<kDim> queries{slot(0, kRing - 1)};
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int i = 0; i < kDim / 32; ++i) load_fragment(query[i], queries.at(lane % 8, i * 4 + lane / 8));
  }

  /// The weights of a unit's keys, as two right operands of 8 keys each.
  __device__ __forceinline__ uint2 weigh(uint32_t keys, int first_key, const Fragment (&query)[kDim / 32]) {
    float scores[4] = {}, others[3][4] = {};  // several sums: products need not wait for each other
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i) {
      Fragment key;
      load_fragment(key, LaneRows<kDim>::left().at(keys, 0, i));
      add_product(i % 4 == 0 ? scores : others[i % 4 - 1], key, query[i / 2][i % 2 * 2],
                  query[i / 2][i % 2 * 2 + 1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = first_key + static_cast<int>(threadIdx.x) % kWarp / 4 + i / 2 * 8;
      const float score = (scores[i] + others[0][i]) + (others[1][i] + others[2][i]);
      scores[i] = key >= block_.first && key <= block_.pos ? score : -INFINITY;
    }
    heads_.weigh(scores);
    return {transposed(half_pair(scores[0], scores[1])), transposed(half_pair(scores[2], scores[3]))};
  }
  __device__ __forceinline__ void add(uint32_t values, const uint2& weights) {
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i) {
      Fragment value;
      load_transposed(value, LaneRows<kDim>::right().at(values, 0, i));
      add_product(heads_.acc[i], value, weights.x, weights.y);
    }
  }

  __device__ int64_t row_of(int row) const { return block_.token * a_.n_head + block_.first_head + row; }
  __device__ float* part(int row, int split) const {
    return task_.parts + (row_of(row) * task_.n_split + split) * (a_.head_dim + kPartTail);
  }
  __device__ SoftmaxParts parts(int row) const { return {part(row, 0), block_.n_split, a_.head_dim}; }
  __device__ float* out(int row) const { return a_.out + row_of(row) * a_.head_dim; }

  /// Adds up the warps, in their order: to what attention gives where there is one split, else to a part.
  __device__ void merge_warps() {
    float* sums =
        reinterpret_cast<float*>(memory_);  // [kWarps, kDecodeHeads, kSumStride], where the rings were
    const int lane = threadIdx.x % kWarp;
    __syncthreads();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = lane % 4 * 2 + h;
      float* to = sums + (warp_ * kDecodeHeads + row) * Shape::kSumStride + lane / 4;
#pragma unroll
      for (int i = 0; i < kDim / 16; ++i) {
        to[i * 16] = heads_.acc[i][h];
        to[i * 16 + 8] = heads_.acc[i][2 + h];
      }
      if (lane >= 4) continue;
      shared_.top[warp_][row] = heads_.top[h];
      shared_.sum[warp_][row] = heads_.sum[h];
    }
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < block_.n_head * kDim / 4; i += Shape::kThreads) {
      const int row = i / (kDim / 4), dim = i % (kDim / 4) * 4;
      if (dim >= a_.head_dim) continue;
      float top = -INFINITY, sum = 0;
      float4 all = {};
#pragma unroll
      for (int w = 0; w < kWarps; ++w) top = fmaxf(top, shared_.top[w][row]);
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const float weight = fast_exp2(shared_.top[w][row] - top);
        add_scaled4(all, weight, load4(sums + (w * kDecodeHeads + row) * Shape::kSumStride + dim));
        sum = fmaf(weight, shared_.sum[w][row], sum);
      }
      if (block_.n_split == 1) {
        const float scale = __fdividef(1.0f, a_.divisor(sum, top, block_.first_head + row));
        *reinterpret_cast<float4*>(out(row) + dim) = scaled4(all, scale);
        continue;
      }
      float* to = part(row, block_.split);
      *reinterpret_cast<float4*>(to + dim) = all;
      if (dim == 0) *reinterpret_cast<float2*>(to + a_.head_dim) = {top, sum};
    }
  }

  /// The last block of a token and key head to end adds up the parts, in their order.
  __device__ void merge_splits() {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      uint32_t& n_ended =
          task_.n_ended[(block_.token * a_.n_head_kv + block_.kv_head) * task_.n_chunk + block_.chunk];
      shared_.is_last = atomicAdd(&n_ended, 1u) == static_cast<uint32_t>(block_.n_split - 1);
      if (shared_.is_last) n_ended = 0;
      __threadfence();
    }
    __syncthreads();
    if (!shared_.is_last) return;
    float* weights = reinterpret_cast<float*>(memory_);  // [kDecodeHeads, kMaxParts], where the rings were
    for (int row = warp_; row < block_.n_head; row += kWarps) {
      const float2 all = parts(row).weigh(weights + row * kMaxParts);
      shared_.divisor[row] = a_.divisor(all.y, all.x, block_.first_head + row);
    }
    __syncthreads();
    const int n_pair = a_.head_dim / 2;
#pragma unroll 1
    for (int i = threadIdx.x; i < block_.n_head * n_pair; i += Shape::kThreads) {
      const int row = i / n_pair, dim = i % n_pair * 2;
      const float2 all = parts(row).add(weights + row * kMaxParts, dim);
      const float divisor = shared_.divisor[row];
      *reinterpret_cast<float2*>(out(row) + dim) = {all.x / divisor, all.y / divisor};
    }
  }

  const DecodeTask& task_;
  const AttendTask& a_;
  const DecodeBlock& block_;
  std::byte* memory_;
  Shared& shared_;
  const int warp_, first_unit_, n_item_;
  const UnitOffsets units_;
  Place place_, next_place_;
  RunningHeads<kDim> heads_;
};

template <int kDim, int kWarps, int kRing>
__global__ void __launch_bounds__(kWarps* kWarp, (kDim > 128 ? 16 : 24) / kWarps)
    attend_decode_kernel(const DecodeTask task) {
  extern __shared__ uint4 memory[];
  __shared__ DecodeShared<kWarps> shared;
  const DecodeBlock block(task);
  if (block.is_empty()) {  // all of it, and nobody waits for it
    let_next_start();
    wait_for_previous();
    return;
  }
  DecodeTile<kDim, kWarps, kRing>(task, block, reinterpret_cast<std::byte*>(memory), shared).run();
}

}  // namespace sw::cuda
