// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/attend_parts.cuh"
#include "kernels/cuda/attention/half_tiles.cuh"

/// Attention of several tokens over a cache in F16: what its kernels share, whatever tensor instructions they
/// use. A block holds a tile of queries (neighbouring tokens, all heads that share a key head) and walks over
/// the keys. Where the tiles do not fill the GPU, the keys of each are split over blocks.
/// A Shape says: kDim, kTiles (of 16 rows, per warp), kThreads, kRows, kKeys (of a tile), and how queries and
/// keys lie in shared memory (QueryRows, KeyRows).
namespace sw::cuda {

struct FlashTask {
  AttendTask attend = {};
  int n_split = 0;
  float* parts = nullptr;  ///< [n_token, n_head, n_split, head_dim + kPartTail]; unused with one split
};

/// Neighbouring tokens of a tile that are of one sequence, [begin, end), and what they see.
struct TokenStretch {
  int begin, end;
  int first, last;                ///< the first and last position that any of them sees
  int first_of_all, last_of_all;  ///< what lies between, all of them see

  __device__ TokenStretch(const AttendTask& task, int64_t tile, int begin, int n) : begin(begin), end(begin) {
    const int32_t *seq = task.batch.seq + tile, *pos = task.batch.pos + tile;
    last = last_of_all = pos[begin];
    first = first_of_all = task.first_seen(pos[begin]);
    for (; end < n && seq[end] == seq[begin]; ++end) {
      last = max(last, pos[end]);
      last_of_all = min(last_of_all, pos[end]);
      first = min(first, task.first_seen(pos[end]));
      first_of_all = max(first_of_all, task.first_seen(pos[end]));
    }
  }
};

/// Where the keys and values of some tiles lie, in bytes from page 0 of a head, by 16 keys.
inline constexpr int kTables = 4;
template <int kKeys>
using PageTable = size_t[kTables][kKeys / kTileRows];

/// Copies keys and values of a stretch, in tiles of kKeys, to shared memory.
template <class Shape>
class KeyCopies {
 public:
  using Table = PageTable<Shape::kKeys>;

  /// Tiles before `end`.
  __device__ KeyCopies(const AttendTask& task, int kv_head, const TokenStretch& stretch, int32_t seq, int end,
                       Table& table)
      : task_(task),
        kv_head_(kv_head),
        stretch_(stretch),
        units_{task.batch.block_tables[seq], task.kv.page_stride_bytes,
               static_cast<int>(task.kv.page_tokens) / kTileRows, kTileRows * task.head_dim * 2},
        end_(end),
        table_(table) {}

  __device__ bool has(int tile) const { return tile < end_; }
  /// Finds the pages of a tile, the same for keys and values. All wait before it is copied; tile + kTables
  /// takes its place.
  __device__ __forceinline__ void look_up(int tile) {
    constexpr int kUnits = Shape::kKeys / kTileRows;
    if (threadIdx.x >= kUnits || !has(tile)) return;
    const int unit = tile * kUnits + static_cast<int>(threadIdx.x);
    const bool there = unit * kTileRows <= stretch_.last && (unit + 1) * kTileRows > stretch_.first;
    table_[tile % kTables][threadIdx.x] = there ? units_.at(unit) : 0;
  }
  /// Starts to copy a tile's keys or values. Zeros before the first position, where pages may be gone, and
  /// behind the last, where nothing was ever written.
  __device__ __forceinline__ void start(int tile, bool values, typename Shape::KeyRows to) const {
    constexpr int kChunks = Shape::kDim / 8, kStep = Shape::kThreads / kChunks;
    const int chunk = threadIdx.x % kChunks, first_row = threadIdx.x / kChunks;
    if (chunk * 8 >= task_.head_dim) return;
    const std::byte* from = (values ? task_.kv.v : task_.kv.k) +
                            static_cast<size_t>(kv_head_) * task_.kv.head_stride_bytes + chunk * 16;
#pragma unroll
    for (int i = 0; i < (Shape::kKeys + kStep - 1) / kStep; ++i) {
      const int row = first_row + i * kStep, key = tile * Shape::kKeys + row;
      if (Shape::kKeys % kStep == 0 || row < Shape::kKeys)
        copy16(to.at(row, chunk),
               from + table_[tile % kTables][row / kTileRows] + row % kTileRows * task_.head_dim * 2,
               key >= stretch_.first && key <= stretch_.last);
    }
  }

 private:
  const AttendTask& task_;
  const int kv_head_;
  const TokenStretch& stretch_;
  const UnitOffsets units_;
  const int end_;
  Table& table_;
};

/// The rows of a tile of queries, (token, head of the group), and what they have seen so far. Warp w has rows
/// 16 * kTiles * w and on.
template <class Shape>
class FlashRows {
 public:
  static constexpr int kDim = Shape::kDim;
  using Scores = float[Shape::kTiles][Shape::kKeys / 8][4];

  /// Tokens [first, first + n) of the batch.
  __device__ FlashRows(const AttendTask& task, int kv_head, int64_t first, int n)
      : task_(task), kv_head_(kv_head), first_(first), n_row_(n * task.group()) {}

  __device__ int kv_head() const { return kv_head_; }
  __device__ int32_t seq(int token) const { return task_.batch.seq[first_ + token]; }

  __device__ void load_queries(typename Shape::QueryRows to) const {
    store_rows<Shape::kRows, kDim / 8, Shape::kThreads>(
        [&](int row, int chunk) {
          const int dim = chunk * 8;
          if (row >= n_row_ || dim >= task_.head_dim) return uint4{};
          const float* from =
              task_.queries + token(row) * task_.query_stride + int64_t{head(row)} * task_.head_dim + dim;
          return half_chunk(load4(from), load4(from + 4), task_.scale);
        },
        to);
  }
  /// Zeros in the dims of n_row keys that no copy writes.
  __device__ void clear_padding(typename Shape::KeyRows to, int n_row) const {
    constexpr int kChunks = kDim / 8;
    if (task_.head_dim == kDim) return;
    for (int i = threadIdx.x; i < n_row * kChunks; i += Shape::kThreads) {
      if (i % kChunks * 8 >= task_.head_dim) store16(to.at(i / kChunks, i % kChunks), {});
    }
  }

  __device__ void start(const TokenStretch& stretch) {
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
      sums[m].start();
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int t = row(m, r) / task_.group();
        const bool counts = row(m, r) < n_row_ && t >= stretch.begin && t < stretch.end;
        limit_[m][r] = counts ? task_.batch.pos[first_ + t] : -1;
      }
    }
  }

  /// Takes the keys out of a tile's scores that their rows do not see.
  __device__ __forceinline__ void mask(const TokenStretch& stretch, int tile, Scores& scores) const {
    const int first_key = tile * Shape::kKeys;
    if (first_key + Shape::kKeys - 1 > stretch.last_of_all || first_key < stretch.first_of_all)
      mask(first_key, scores);
  }

  /// What attention gives where there is one split, else the split's part. Rows of other stretches went along
  /// and are not written: their numbers mean nothing.
  __device__ void write(int split, const FlashTask& task) {
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
      sums[m].close();
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if (limit_[m][r] >= 0) write_row(m, r, split, task);
      }
    }
  }

  RunningRows<kDim> sums[Shape::kTiles];

 private:
  __device__ int64_t token(int row) const { return first_ + row / task_.group(); }
  __device__ int head(int row) const { return kv_head_ * task_.group() + row % task_.group(); }
  /// Row 8 r + lane / 4 of the warp's tile m.
  __device__ int row(int m, int r) const {
    return (threadIdx.x / kWarp * Shape::kTiles + m) * kTileRows + r * 8 + threadIdx.x % kWarp / 4;
  }

  __device__ __forceinline__ void mask(int first_key, Scores& scores) const {
    const int first = first_key + threadIdx.x % 4 * 2;
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < Shape::kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int key = first + 8 * n + i % 2, limit = limit_[m][i / 2];
          if (key > limit || key <= limit - task_.window) scores[m][n][i] = -INFINITY;
        }
      }
    }
  }

  __device__ __forceinline__ void write_row(int m, int r, int split, const FlashTask& task) const {
    const int at = row(m, r), lane = threadIdx.x % 4;
    const int64_t to = token(at) * task_.n_head + head(at);
    const float top = sums[m].top[r], sum = sums[m].sum[r];
    const bool whole = task.n_split == 1;
    float* out = whole ? task_.out + to * task_.head_dim
                       : task.parts + (to * task.n_split + split) * (task_.head_dim + kPartTail);
    const float scale = whole ? 1.0f / task_.divisor(sum, top, head(at)) : 1.0f;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      const int dim = n * 8 + lane * 2;
      if (dim >= task_.head_dim || sum == 0) continue;  // nobody reads a part that has seen no key
      const float(&acc)[4] = sums[m].acc[n];
      *reinterpret_cast<float2*>(out + dim) = {acc[2 * r] * scale, acc[2 * r + 1] * scale};
    }
    if (!whole && lane == 0) *reinterpret_cast<float2*>(out + task_.head_dim) = {top, sum};
  }

  const AttendTask& task_;
  const int kv_head_;
  const int64_t first_;
  const int n_row_;
  int limit_[Shape::kTiles][2];  // the last key that a row may see; -1: a row that does not count
};

/// What a block does: a tile of tokens, the heads of one key head, and one split. Late tiles have most keys
/// and start first.
template <class Shape>
struct FlashBlock {
  int split, kv_head, n;
  int64_t first;

  __device__ explicit FlashBlock(const FlashTask& task) {
    const AttendTask& a = task.attend;
    const unsigned n_split = task.n_split, n_head_kv = a.n_head_kv, block = blockIdx.x / n_split;
    const int n_most = Shape::kRows / a.group();
    const int64_t n_tile = (a.batch.n_token + n_most - 1) / n_most;
    split = static_cast<int>(blockIdx.x % n_split);
    kv_head = static_cast<int>(block % n_head_kv);
    first = (n_tile - 1 - block / n_head_kv) * n_most;
    n = static_cast<int>(min(static_cast<int64_t>(n_most), a.batch.n_token - first));
  }

  /// Calls attend(stretch, begin, end) with each stretch of tokens and the tiles of keys that are the
  /// split's.
  template <class Attend>
  __device__ __forceinline__ void for_each_stretch(const FlashTask& task, Attend&& attend) const {
    const unsigned n_split = task.n_split;
    for (int begin = 0; begin < n;) {
      const TokenStretch stretch(task.attend, first, begin, n);
      const unsigned first_tile = stretch.first / Shape::kKeys;
      const unsigned n_tile = stretch.last / Shape::kKeys - first_tile + 1;
      attend(stretch, static_cast<int>(first_tile + n_tile * split / n_split),
             static_cast<int>(first_tile + n_tile * (split + 1) / n_split));
      begin = stretch.end;
    }
  }
};

/// A block adds up the splits of one head of one token, a thread two dims.
static __global__ void __launch_bounds__(128) merge_flash_kernel(const FlashTask task) {
  __shared__ float weights[kMaxParts];
  __shared__ float2 all;
  const AttendTask& a = task.attend;
  const int64_t row = blockIdx.x;
  const SoftmaxParts parts{task.parts + row * task.n_split * (a.head_dim + kPartTail), task.n_split,
                           a.head_dim};
  if (threadIdx.x < kWarp) all = parts.weigh(weights);
  __syncthreads();
  const int dim = static_cast<int>(threadIdx.x) * 2;
  if (dim >= a.head_dim) return;
  const float2 sum = parts.add(weights, dim);
  const float divisor = a.divisor(all.y, all.x, static_cast<int>(row % a.n_head));
  *reinterpret_cast<float2*>(a.out + row * a.head_dim + dim) = {sum.x / divisor, sum.y / divisor};
}

}  // namespace sw::cuda
