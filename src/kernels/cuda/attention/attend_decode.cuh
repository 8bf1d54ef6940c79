// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/attend_finish.cuh"
#include "kernels/cuda/attention/attend_parts.cuh"
#include "kernels/cuda/attention/half_tiles.cuh"
#include "kernels/cuda/launch.cuh"

/// Attention of one token per sequence over a cache in F16, from the product of qkv to the attended values in
/// one launch. The keys of a token and key head are split over blocks, in a number that the grid fixes; each
/// block finds its share from the position. All finish the queries for themselves, the block that owns the
/// last position also finishes and stores the new key and value, and the last block to end merges the parts.
/// The kernel starts early: positions, pages and what is cached of earlier tokens do not come from the kernel
/// ahead, only qkv does.
namespace sw::cuda {

/// Sizes for heads of up to kDim. A warp streams units of 16 keys through a ring of its own.
template <int kDim, int kWarps_, int kRing_>
struct DecodeShape {
  static constexpr int kWarps = kWarps_, kThreads = kWarps * kWarp;
  static constexpr int kRing = kRing_;  ///< units of keys or of values that are there or on their way
  static constexpr uint32_t kSlotBytes = kTileRows * kDim * 2;
  /// The rings, and the new key and value.
  static constexpr size_t kSharedBytes = size_t{kWarps} * kRing * kSlotBytes + 2 * kDim * sizeof(__half);
  static_assert(kRing >= 2, "the warps' sums fit, and the weights of parts");
  static_assert(kTileRows * kDim * sizeof(__half) >= kWarps * kDim * sizeof(float),
                "heads in the making fit");
};

struct DecodeTask {
  FinishTask finish = {};
  AttendTask attend = {};
  unsigned n_split = 0;
  unsigned n_chunk = 0;         ///< parts of 16 heads that a group is cut into
  unsigned least_units = 0;     ///< that a split is worth, if there are several
  float* parts = nullptr;       ///< [n_token, n_head, n_split, head_dim + kPartTail]
  uint32_t* n_ended = nullptr;  ///< [n_token, n_head_kv, n_chunk] zeros, and left so
};

/// What a block is about.
struct DecodeBlock {
  int64_t token;
  int kv_head, chunk, split;
  int pos, first;          ///< the last and first position that are seen
  int n_split;             ///< that have keys
  int begin, end;          ///< units of this one
  int first_head, n_head;  ///< queries

  __device__ explicit DecodeBlock(const DecodeTask& task) {
    const AttendTask& a = task.attend;
    unsigned block = blockIdx.x;
    split = static_cast<int>(block % task.n_split);
    block /= task.n_split;
    chunk = static_cast<int>(block % task.n_chunk);
    block /= task.n_chunk;
    kv_head = static_cast<int>(block % a.n_head_kv);
    token = block / a.n_head_kv;
    first_head = kv_head * a.group() + chunk * kTileRows;
    n_head = min(kTileRows, a.group() - chunk * kTileRows);
    pos = a.batch.pos[token];
    first = a.first_seen(pos);
    const unsigned first_unit = first / kTileRows, n_unit = pos / kTileRows - first_unit + 1;
    n_split = static_cast<int>(min(max(n_unit / task.least_units, 1u), static_cast<unsigned>(task.n_split)));
    begin = static_cast<int>(first_unit + n_unit * split / n_split);
    end = static_cast<int>(first_unit + n_unit * (split + 1) / n_split);
  }
  __device__ bool is_empty() const { return split >= n_split; }
  __device__ bool owns_last() const { return split == n_split - 1; }
};

/// What the threads of a block tell each other.
template <int kWarps>
struct DecodeShared {
  float top[kWarps][kTileRows], sum[kWarps][kTileRows];
  float divisor[kTileRows];
  bool is_last;
};

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
        page_(n_item_ > 0 ? units_.page(first_unit_) : 0) {}

  __device__ void run() {
    if (a_.head_dim < kDim) {
      clear(0, kWarps * kRing);
      __syncthreads();
    }
    for (int i = 0; i < kRing - 1; ++i) start(i);
    let_next_start();
    finish_heads();
    __syncthreads();
    Fragment query[kDim / 16];
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i)
      load_fragment(query[i], LaneRows<kDim>::left().at(slot(0, kRing - 1), 0, i));
    if (a_.head_dim < kDim) clear(2 * kRing - 1, 1);  // of heads in the making, behind the dims of keys
    __syncthreads();                                  // the slots of queries and heads go back to their rings
    rows_.start();
    for (int item = 0; item < n_item_; item += 2) attend(item, query);
    rows_.close();
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

  /// Starts the copies of an item: of a unit of keys (even) or values. Zeros where nothing is seen: there
  /// may be no page, or nothing was ever written. The page of the unit after is looked up meanwhile.
  __device__ __forceinline__ void start(int item) {
    constexpr int kChunks = HalfRows<kDim>::kChunks, kStep = kWarp / kChunks;
    const int lane = threadIdx.x % kWarp, chunk = lane % kChunks, first_row = lane / kChunks;
    if (item % 2 == 0 && item < n_item_) {
      const int page = page_;
      if (item + 2 < n_item_) page_ = units_.page(unit(item + 2));
      offset_ = units_.at(page, unit(item));
    }
    if (item < n_item_ && chunk * 8 < a_.head_dim) {
      const HalfRows<kDim> rows{slot(warp_, item % kRing)};
      const std::byte* from = (item % 2 == 0 ? a_.kv.k : a_.kv.v) +
                              static_cast<size_t>(block_.kv_head) * a_.kv.head_stride_bytes + offset_ +
                              chunk * 16;
      const int first_key = unit(item) * kTileRows;
#pragma unroll
      for (int i = 0; i < kTileRows / kStep; ++i) {
        const int row = first_row + i * kStep, key = first_key + row;
        // The new row is not read from the cache.
        copy16(rows.at(row, chunk), from + row * a_.head_dim * 2, key >= block_.first && key < block_.pos);
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
    for (int i = threadIdx.x; i < kTileRows * kDim / 8; i += Shape::kThreads) {
      const int row = i / (kDim / 8), chunk = i % (kDim / 8);
      if (row >= block_.n_head || chunk * 8 >= a_.head_dim) store16(queries.at(row, chunk), {});
    }
    if (warp_ >= n) wait_for_previous();
    float* head = head_of_warp();
    for (int i = warp_; i < n; i += kWarps) {
      const int kind = max(i - block_.n_head + 1, 0);  // query, key, value
      const int h = kind == 0 ? block_.first_head + i : f.n_head + (kind - 1) * f.n_head_kv + block_.kv_head;
      const HeadFinish<kDim> finish(f, block_.token, h);
      if (i == warp_) wait_for_previous();
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

  /// One unit of the warp.
  __device__ __forceinline__ void attend(int item, const Fragment (&query)[kDim / 16]) {
    float scores[2][4] = {}, odd[2][4] = {};  // two sums each: their products need not wait for each other
    const uint32_t keys = next(item);
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i) {
      Fragment key;
      load_fragment(key, LaneRows<kDim>::right().at(keys, 0, i));
      add_product(i % 2 == 0 ? scores[0] : odd[0], query[i], key[0], key[1]);
      add_product(i % 2 == 0 ? scores[1] : odd[1], query[i], key[2], key[3]);
    }
    const int first_key = unit(item) * kTileRows + threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = first_key + 8 * n + i % 2;
        scores[n][i] = key >= block_.first && key <= block_.pos ? scores[n][i] + odd[n][i] : -INFINITY;
      }
    }
    rows_.weigh(scores);
    Fragment weight;
    weight_fragment(weight, scores[0], scores[1]);
    const uint32_t values = next(item + 1);
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i) {
      Fragment value;
      load_transposed(value, LaneRows<kDim>::left().at(values, 0, i));
      add_product(rows_.acc[2 * i], weight, value[0], value[1]);
      add_product(rows_.acc[2 * i + 1], weight, value[2], value[3]);
    }
  }

  __device__ int64_t row_of(int row) const { return block_.token * a_.n_head + block_.first_head + row; }
  __device__ float* part(int row, int split) const {
    return task_.parts + (row_of(row) * task_.n_split + split) * (a_.head_dim + kPartTail);
  }
  __device__ Parts parts(int row) const { return {part(row, 0), block_.n_split, a_.head_dim}; }
  __device__ float* out(int row) const { return a_.out + row_of(row) * a_.head_dim; }

  /// Adds up the warps, in their order: to what attention gives where there is one split, else to a part.
  __device__ void merge_warps() {
    float* sums = reinterpret_cast<float*>(memory_);  // [kWarps, kTileRows, kDim], where the rings were
    const int lane = threadIdx.x % kWarp;
    __syncthreads();
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = lane / 4 + 8 * r;
      if (row >= block_.n_head) continue;
      float* to = sums + (warp_ * kTileRows + row) * kDim + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n)
        *reinterpret_cast<float2*>(to + n * 8) = {rows_.acc[n][2 * r], rows_.acc[n][2 * r + 1]};
      if (lane % 4 != 0) continue;
      shared_.top[warp_][row] = rows_.top[r];
      shared_.sum[warp_][row] = rows_.sum[r];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < block_.n_head * kDim; i += Shape::kThreads) {
      const int row = i / kDim, dim = i % kDim;
      if (dim >= a_.head_dim) continue;
      Merged all{.top = -INFINITY};
#pragma unroll
      for (int w = 0; w < kWarps; ++w) all.top = fmaxf(all.top, shared_.top[w][row]);
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const float weight = fast_exp2(shared_.top[w][row] - all.top);
        all.value = fmaf(weight, sums[(w * kTileRows + row) * kDim + dim], all.value);
        all.sum = fmaf(weight, shared_.sum[w][row], all.sum);
      }
      if (block_.n_split == 1) {
        out(row)[dim] = all.value / a_.divisor(all.sum, all.top, block_.first_head + row);
        continue;
      }
      float* to = part(row, block_.split);
      to[dim] = all.value;
      if (dim == 0) *reinterpret_cast<float2*>(to + a_.head_dim) = {all.top, all.sum};
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
    float* weights = reinterpret_cast<float*>(memory_);  // [kTileRows, kMaxParts], where the rings were
    for (int row = warp_; row < block_.n_head; row += kWarps) {
      const float2 all = parts(row).weigh(weights + row * kMaxParts);
      shared_.divisor[row] = a_.divisor(all.y, all.x, block_.first_head + row);
    }
    __syncthreads();
    const int n_pair = a_.head_dim / 2;
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
  int page_;       // of the unit that is started next
  size_t offset_;  // of the unit that was started last
  RunningRows<kDim> rows_;
};

template <int kDim, int kWarps, int kRing>
__global__ void __launch_bounds__(kWarps* kWarp) attend_decode_kernel(const DecodeTask task) {
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
