// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/half_tiles.cuh"
#include "kernels/cuda/mla/mla_attend.cuh"

/// Attention over latents in F16 on the tensor cores. A block holds a tile of rows (heads of one token or of
/// neighbouring ones) and walks over the latents, which are keys and values at once. Its warps share the rows
/// in groups; the warps of a group share the keys when they score and the dims when they add up.
namespace sw::cuda {

inline constexpr int kLatentDim =
    kMaxLatent + kMaxMlaRot;  ///< a row in shared memory: rotated dims from 512 on

template <int kGroups_, int kTiles_, int kStages_>
struct MlaShape {
  static constexpr int kGroups = kGroups_, kTiles = kTiles_;  ///< groups of rows; tiles of 16 rows in a group
  static constexpr int kColumns = 4;                          ///< warps of a group
  static constexpr int kStages = kStages_;  ///< tiles of keys that are there or on their way
  static constexpr int kThreads = kGroups * kColumns * kWarp;
  static constexpr int kRows = kGroups * kTiles * kTileRows;
  static constexpr int kKeys = kColumns * kTileRows;
  static constexpr int kDims = kMaxLatent / kColumns;  ///< that a warp adds up
  static constexpr uint32_t kQueryBytes = kRows * kLatentDim * 2, kStageBytes = kKeys * kLatentDim * 2,
                            kWeightBytes = kRows * kKeys * 2;
  static constexpr size_t kSharedBytes =
      kQueryBytes + kStages * kStageBytes + kWeightBytes + kRows * kColumns * sizeof(float);
};

/// Rows of a block: tokens [first, first + n) with heads [first_head, first_head + n_head) each.
struct MlaRows {
  int64_t first;
  int n, first_head, n_head;

  __device__ int count() const { return n * n_head; }
  __device__ int64_t token(int row) const { return first + row / n_head; }
  /// Counted through all tokens.
  __device__ int64_t head(const MlaTask& task, int row) const {
    return token(row) * task.n_head + first_head + row % n_head;
  }
};

template <class Shape>
class MlaTile {
 public:
  __device__ MlaTile(const MlaTask& task, const MlaRows& rows, std::byte* memory)
      : task_(task),
        rows_(rows),
        queries_{shared_address(memory)},
        keys_(queries_.base + Shape::kQueryBytes),
        weights_{keys_ + Shape::kStages * Shape::kStageBytes},
        of_column_(reinterpret_cast<float*>(memory + (weights_.base - queries_.base) + Shape::kWeightBytes)),
        column_(static_cast<int>(threadIdx.x) / kWarp % Shape::kColumns),
        first_row_(static_cast<int>(threadIdx.x) / kWarp / Shape::kColumns * Shape::kTiles * kTileRows) {
    if (task_.kv_rank == kMaxLatent && task_.n_rot == kMaxMlaRot) return;
    for (int i = threadIdx.x; i < Shape::kStages * Shape::kKeys * kChunks; i += Shape::kThreads)
      store16(HalfRows<kLatentDim>{keys_}.at(i / kChunks, i % kChunks), {});  // dims that no copy writes
  }

  /// Tokens [begin, end) of the rows, all of one sequence, of which the last sees `last`; one share of the
  /// keys. The other rows go along and are not written.
  __device__ void attend(int begin, int end, int last, int split) {
    const unsigned n_tile = last / Shape::kKeys + 1, n_split = task_.n_split;
    const int first_tile = static_cast<int>(n_tile * split / n_split),
              end_tile = static_cast<int>(n_tile * (split + 1) / n_split);
    last_ = last;
    end_tile_ = end_tile;
    units_ = {task_.batch.block_tables[task_.batch.seq[rows_.first + begin]], task_.kv.page_stride_bytes,
              static_cast<int>(task_.kv.page_tokens) / kTileRows, kTileRows * task_.width() * 2};
    start(begin, end);
    __syncthreads();  // all are done with the keys
    for (int i = 0; i < Shape::kStages; ++i) load(first_tile + i);
    if (first_tile < end_tile && !has_queries_) load_queries();
    for (int tile = first_tile; tile < end_tile; ++tile) {
      wait_copies<Shape::kStages - 1>();
      __syncthreads();
      weigh(tile);
      __syncthreads();
      add_values(stage(tile));
      __syncthreads();
      load(tile + Shape::kStages);
    }
    finish(split);
  }

 private:
  static constexpr int kChunks = HalfRows<kLatentDim>::kChunks;

  __device__ uint32_t stage(int tile) const { return keys_ + tile % Shape::kStages * Shape::kStageBytes; }
  __device__ int row(int m, int r) const {
    return first_row_ + m * kTileRows + r * 8 + static_cast<int>(threadIdx.x) % kWarp / 4;
  }

  /// All rows at the first keys, before any value takes the place of a query in memory.
  __device__ void load_queries() {
    store_rows<Shape::kRows, kChunks, Shape::kThreads>(
        [this](int row, int chunk) { return query_chunk(row, chunk); }, queries_);
    has_queries_ = true;
  }
  __device__ uint4 query_chunk(int row, int chunk) const {
    const int dim = chunk * 8, rotated = dim - kMaxLatent;
    if (row >= rows_.count() || (rotated < 0 ? dim >= task_.kv_rank : rotated >= task_.n_rot)) return {};
    const int64_t head = rows_.head(task_, row);
    const float* from = rotated < 0 ? task_.latents + head * task_.kv_rank + dim
                                    : task_.queries + (head + 1) * task_.query_dim - task_.n_rot + rotated;
    return half_chunk(load4(from), load4(from + 4), task_.scale);
  }

  __device__ void start(int begin, int end) {
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
      sums_[m].start();
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int t = row(m, r) / rows_.n_head;
        const bool counts = row(m, r) < rows_.count() && t >= begin && t < end;
        limit_[m][r] = counts ? task_.batch.pos[rows_.first + t] : -1;
      }
    }
  }

  /// Starts the copies of a tile of keys; zeros behind the last, where nothing was ever written. A warp takes
  /// whole rows.
  __device__ void load(int tile) {
    if (tile < end_tile_) {
      const HalfRows<kLatentDim> rows{stage(tile)};
      const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
      const int n_latent = task_.kv_rank / 8, n_chunk = task_.width() / 8;
      constexpr int kWarpRows = Shape::kKeys * kWarp / Shape::kThreads;  // of one unit
      const int unit = tile * Shape::kColumns + warp * kWarpRows / kTileRows;
      const size_t offset = unit * kTileRows <= last_ ? units_.at(unit) : 0;
#pragma unroll 4
      for (int i = 0; i < kWarpRows; ++i) {
        const int row = warp * kWarpRows + i;
        const std::byte* from = task_.kv.k + offset + row % kTileRows * task_.width() * 2;
        for (int chunk = lane; chunk < n_chunk; chunk += kWarp) {
          const int to = chunk < n_latent ? chunk : chunk - n_latent + kMaxLatent / 8;
          copy16(rows.at(row, to), from + chunk * 16, tile * Shape::kKeys + row <= last_);
        }
      }
    }
    end_copies();
  }

  /// Scores of the group's rows and the warp's 16 keys, the running softmax, the weights for add_values().
  __device__ __forceinline__ void weigh(int tile) {
    float scores[Shape::kTiles][2][4] = {};
    const auto left = LaneRows<kLatentDim>::left(), right = LaneRows<kLatentDim>::right();
#pragma unroll 4
    for (int i = 0; i < kLatentDim / 16; ++i) {
      Fragment key;
      load_fragment(key, right.at(stage(tile), column_, i));
#pragma unroll
      for (int m = 0; m < Shape::kTiles; ++m) {
        Fragment query;
        load_fragment(query, left.at(queries_.base, first_row_ / kTileRows + m, i));
        add_product(scores[m][0], query, key[0], key[1]);
        add_product(scores[m][1], query, key[2], key[3]);
      }
    }
    const int first_key = tile * Shape::kKeys + column_ * kTileRows + static_cast<int>(threadIdx.x) % 4 * 2;
    float tops[Shape::kTiles][2];  // of all columns and tiles before, in the end
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        float& score = scores[m][i / 4][i % 4];
        if (first_key + i / 4 * 8 + i % 2 > limit_[m][i / 2 % 2]) score = -INFINITY;
      }
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const auto& s = scores[m];
        tops[m][r] =
            lane_max<4>(fmaxf(fmaxf(s[0][2 * r], s[0][2 * r + 1]), fmaxf(s[1][2 * r], s[1][2 * r + 1])));
        if (threadIdx.x % 4 == 0) of_column_[row(m, r) * Shape::kColumns + column_] = tops[m][r];
      }
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        tops[m][r] = fmaxf(tops[m][r], sums_[m].top[r]);
        for (int c = 0; c < Shape::kColumns; ++c)
          tops[m][r] = fmaxf(tops[m][r], of_column_[row(m, r) * Shape::kColumns + c]);
      }
      sums_[m].weigh(scores[m], tops[m]);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int n = 0; n < 2; ++n)
          store4(weights_.at(row(m, r), column_ * 2 + n) + threadIdx.x % 4 * 4,
                 half_pair(scores[m][n][2 * r], scores[m][n][2 * r + 1]));
      }
    }
  }

  /// All keys of the tile, the warp's dims.
  __device__ __forceinline__ void add_values(uint32_t values) {
    const auto lane = LaneRows<kLatentDim>::left();
    const auto of_weights = LaneRows<Shape::kKeys>::left();
#pragma unroll
    for (int n = 0; n < Shape::kColumns; ++n) {
      Fragment weight[Shape::kTiles];
#pragma unroll
      for (int m = 0; m < Shape::kTiles; ++m)
        load_fragment(weight[m], of_weights.at(weights_.base, first_row_ / kTileRows + m, n));
#pragma unroll
      for (int i = 0; i < Shape::kDims / 16; ++i) {
        Fragment value;
        load_transposed(value, lane.at(values, n, column_ * (Shape::kDims / 16) + i));
#pragma unroll
        for (int m = 0; m < Shape::kTiles; ++m) {
          add_product(sums_[m].acc[2 * i], weight[m], value[0], value[1]);
          add_product(sums_[m].acc[2 * i + 1], weight[m], value[2], value[3]);
        }
      }
    }
  }

  /// Values where there is one split, else the split's part. A column has summed its own keys' weights.
  __device__ void finish(int split) {
    __syncthreads();
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
      sums_[m].close();
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if (threadIdx.x % 4 == 0) of_column_[row(m, r) * Shape::kColumns + column_] = sums_[m].sum[r];
      }
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < Shape::kTiles; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if (limit_[m][r] >= 0) write(m, r, split);
      }
    }
  }
  __device__ __forceinline__ void write(int m, int r, int split) const {
    const int64_t head = rows_.head(task_, row(m, r));
    float sum = 0;
    for (int c = 0; c < Shape::kColumns; ++c) sum += of_column_[row(m, r) * Shape::kColumns + c];
    const bool whole = task_.n_split == 1;
    float* out = whole ? task_.latents + head * task_.kv_rank
                       : task_.parts + (head * task_.n_split + split) * (task_.kv_rank + kPartTail);
    const float scale = whole ? 1.0f / sum : 1.0f;
#pragma unroll
    for (int n = 0; n < Shape::kDims / 8; ++n) {
      const int dim = column_ * Shape::kDims + n * 8 + static_cast<int>(threadIdx.x) % 4 * 2;
      const float(&acc)[4] = sums_[m].acc[n];
      if (dim < task_.kv_rank && sum != 0)  // nobody reads a part that has seen no key
        *reinterpret_cast<float2*>(out + dim) = {acc[2 * r] * scale, acc[2 * r + 1] * scale};
    }
    if (!whole && column_ == 0 && threadIdx.x % 4 == 0)
      *reinterpret_cast<float2*>(out + task_.kv_rank) = {sums_[m].top[r], sum};
  }

  const MlaTask& task_;
  const MlaRows& rows_;
  const HalfRows<kLatentDim> queries_;
  const uint32_t keys_;
  const HalfRows<Shape::kKeys> weights_;
  float* of_column_;  // [kRows, kColumns] largest scores of a tile; at the end, sums of weights
  const int column_, first_row_;
  UnitOffsets units_;
  int last_, end_tile_;
  bool has_queries_ = false;
  RunningRows<Shape::kDims> sums_[Shape::kTiles];
  int limit_[Shape::kTiles][2];  ///< the last key that a row may see; -1: a row that does not count
};

/// A block takes up to n_most tokens with up to kRows heads, and one split. Late tiles start first.
template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads) mla_flash_kernel(const MlaTask task, const int n_most) {
  extern __shared__ uint4 memory[];
  const int n_chunk = (task.n_head + Shape::kRows - 1) / Shape::kRows;
  const int64_t n_tile = (task.batch.n_token + n_most - 1) / n_most;
  const unsigned n_split = task.n_split;
  const int split = static_cast<int>(blockIdx.x % n_split);
  const int block = static_cast<int>(blockIdx.x / n_split);
  const int first_head = block % n_chunk * Shape::kRows;
  const int64_t first = (n_tile - 1 - block / n_chunk) * n_most;
  const MlaRows rows{first, static_cast<int>(min(static_cast<int64_t>(n_most), task.batch.n_token - first)),
                     first_head, min(task.n_head - first_head, Shape::kRows)};
  MlaTile<Shape> tile(task, rows, reinterpret_cast<std::byte*>(memory));
  const int32_t *seq = task.batch.seq + first, *pos = task.batch.pos + first;
  for (int begin = 0, end = 0; begin < rows.n; begin = end) {
    int last = pos[begin];
    for (end = begin + 1; end < rows.n && seq[end] == seq[begin]; ++end) last = max(last, pos[end]);
    tile.attend(begin, end, last, split);
  }
}

/// A block adds up the splits of one head of one token, a thread two dims.
static __global__ void __launch_bounds__(kMaxLatent / 2) merge_latents_kernel(const MlaTask task) {
  __shared__ float weights[kMaxParts];
  __shared__ float sum;
  const int64_t row = blockIdx.x;
  const SoftmaxParts parts{task.parts + row * task.n_split * (task.kv_rank + kPartTail), task.n_split,
                           task.kv_rank};
  if (threadIdx.x < kWarp) sum = parts.weigh(weights).y;
  __syncthreads();
  const int dim = static_cast<int>(threadIdx.x) * 2;
  if (dim >= task.kv_rank) return;
  const float2 all = parts.add(weights, dim);
  *reinterpret_cast<float2*>(task.latents + row * task.kv_rank + dim) = {all.x / sum, all.y / sum};
}

}  // namespace sw::cuda
