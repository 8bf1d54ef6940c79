// SPDX-License-Identifier: MIT
#pragma once
#include <cfloat>

#include "kernels/cuda/attention/attend_parts.cuh"

/// Attention of many tokens: a block holds a tile of queries (several tokens, all heads that share a key
/// head), walks over the keys in tiles and keeps a running softmax, so that keys are read once a tile of
/// queries and scores never leave the block. What a row computes does not depend on its neighbours.
namespace sw::cuda {

inline constexpr int kSide = 16;  ///< threads are a square: x over keys and dims, y over rows

/// Sizes for heads of up to kDim. Wide heads have smaller tiles: both fit 99 KiB, what a small GPU has.
template <int kDim>
struct TileShape {
  static constexpr int kRows = kDim > 128 ? 32 : 64;
  static constexpr int kKeys = kRows;
  static constexpr int kStride = kDim + 4;         ///< in floats; the 4 spread rows over the banks
  static constexpr int kWeightStride = kKeys + 4;  ///< likewise
  static constexpr size_t kSharedBytes =
      sizeof(float) * (kRows * kStride + kKeys * kStride + kRows * kWeightStride);
};

/// Tokens of a tile: as many as have all their heads of a group in it.
template <int kDim>
__host__ __device__ constexpr int tile_tokens(int group) {
  return TileShape<kDim>::kRows / group;
}

template <class Element, int kDim>
class QueryTile {
 public:
  using Shape = TileShape<kDim>;

  /// Tokens [first, first + n) of the batch.
  __device__ QueryTile(const AttendTask& task, int kv_head, int64_t first, int n, float* shared)
      : task_(task),
        kv_head_(kv_head),
        first_(first),
        n_row_(n * task.group()),
        x_(threadIdx.x % kSide),
        y_(threadIdx.x / kSide),
        queries_(shared),
        cached_(queries_ + Shape::kRows * Shape::kStride),
        weights_(cached_ + Shape::kKeys * Shape::kStride) {
    for (int r = y_; r < n_row_; r += kSide) {
      const float* from = task_.queries + token(r) * task_.query_stride + int64_t{head(r)} * task_.head_dim;
      for (int dim = x_ * 4; dim < task_.head_dim; dim += kSide * 4)
        store4(queries_ + r * Shape::kStride + dim, scaled4(load4(from + dim), task_.scale));
    }
  }

  /// Tokens [begin, end) of the tile, all of one sequence, which see positions from `first` to `last` at
  /// most. The other rows go along and are not written: their numbers mean nothing.
  __device__ void attend(int begin, int end, int first, int last) {
    start(begin, end);
    const int32_t seq = task_.batch.seq[first_ + begin];
    const CachedRows<Element> keys(task_.kv.k, task_, seq, kv_head_);
    const CachedRows<Element> values(task_.kv.v, task_, seq, kv_head_);
    for (int first_key = first / Shape::kKeys * Shape::kKeys; first_key <= last; first_key += Shape::kKeys) {
      __syncthreads();  // all have read the values before
      load(keys, first_key, first, last);
      __syncthreads();
      score(first_key);
      __syncthreads();  // all have read the keys
      load(values, first_key, first, last);
      __syncthreads();
      add_values();
    }
    write();
  }

 private:
  static constexpr int kRowsEach = Shape::kRows / kSide, kKeysEach = Shape::kKeys / kSide;
  static constexpr int kVecsEach = kDim / (4 * kSide);

  __device__ int64_t token(int row) const { return first_ + row / task_.group(); }
  __device__ int head(int row) const { return kv_head_ * task_.group() + row % task_.group(); }
  __device__ static void store4(float* p, const float4& x) { *reinterpret_cast<float4*>(p) = x; }

  __device__ void start(int begin, int end) {
    for (int i = 0; i < kRowsEach; ++i) {
      const int r = y_ + kSide * i, t = r / task_.group();
      limit_[i] = r < n_row_ && t >= begin && t < end ? task_.batch.pos[first_ + t] : -1;
      top_[i] = -INFINITY;
      sum_[i] = 0;
      for (int v = 0; v < kVecsEach; ++v) acc_[i][v] = {};
    }
  }

  /// Cached rows from `first_key` on; zeros before `first`, where pages may be gone, and behind `last`, where
  /// nothing was ever written.
  __device__ void load(const CachedRows<Element>& rows, int first_key, int first, int last) {
    for (int k = y_; k < Shape::kKeys; k += kSide) {
      const int key = first_key + k;
      const bool there = key >= first && key <= last;
      const Element* from = there ? rows.row(key) : nullptr;
      for (int dim = x_ * 4; dim < task_.head_dim; dim += kSide * 4)
        store4(cached_ + k * Shape::kStride + dim, there ? load4(from + dim) : float4{});
    }
  }

  /// Scores of the thread's rows and keys; the running softmax; the weights for add_values().
  __device__ void score(int first_key) {
    float scores[kRowsEach][kKeysEach] = {};
    for (int dim = 0; dim < task_.head_dim; dim += 4) {
      float4 query[kRowsEach], key[kKeysEach];
      for (int i = 0; i < kRowsEach; ++i)
        query[i] = load4(queries_ + (y_ + kSide * i) * Shape::kStride + dim);
      for (int j = 0; j < kKeysEach; ++j) key[j] = load4(cached_ + (x_ + kSide * j) * Shape::kStride + dim);
      for (int i = 0; i < kRowsEach; ++i) {
        for (int j = 0; j < kKeysEach; ++j) scores[i][j] = add_dot(scores[i][j], query[i], key[j]);
      }
    }
    for (int i = 0; i < kRowsEach; ++i) {
      float top = top_[i];
      for (int j = 0; j < kKeysEach; ++j) {
        const int key = first_key + x_ + kSide * j;
        if (key > limit_[i] || key <= limit_[i] - task_.window) scores[i][j] = -INFINITY;
        top = fmaxf(top, scores[i][j]);
      }
      // Any finite number will do where a row has seen no key yet: its window begins in a later tile.
      top = fmaxf(lane_max<kSide>(top), -FLT_MAX);
      const float shrink = exp2f(top_[i] - top);
      top_[i] = top;
      sum_[i] *= shrink;
      for (int v = 0; v < kVecsEach; ++v) acc_[i][v] = scaled4(acc_[i][v], shrink);
      for (int j = 0; j < kKeysEach; ++j) {
        const float weight = exp2f(scores[i][j] - top);
        sum_[i] += weight;
        weights_[(y_ + kSide * i) * Shape::kWeightStride + x_ + kSide * j] = weight;
      }
    }
  }

  __device__ void add_values() {
    for (int k = 0; k < Shape::kKeys; k += 4) {
      float4 weight[kRowsEach];
      for (int i = 0; i < kRowsEach; ++i)
        weight[i] = load4(weights_ + (y_ + kSide * i) * Shape::kWeightStride + k);
      for (int v = 0; v < kVecsEach; ++v) {
        const float* value = cached_ + k * Shape::kStride + (x_ + kSide * v) * 4;
        const float4 a = load4(value), b = load4(value + Shape::kStride),
                     c = load4(value + 2 * Shape::kStride), d = load4(value + 3 * Shape::kStride);
        for (int i = 0; i < kRowsEach; ++i) {
          add_scaled4(acc_[i][v], weight[i].x, a);
          add_scaled4(acc_[i][v], weight[i].y, b);
          add_scaled4(acc_[i][v], weight[i].z, c);
          add_scaled4(acc_[i][v], weight[i].w, d);
        }
      }
    }
  }

  __device__ void write() const {
    for (int i = 0; i < kRowsEach; ++i) {
      const float sum = lane_sum<kSide>(sum_[i]);  // each lane has summed its own keys
      if (limit_[i] < 0) continue;
      const int r = y_ + kSide * i;
      const float divisor = task_.divisor(sum, top_[i], head(r));
      float* out = task_.out + (token(r) * task_.n_head + head(r)) * task_.head_dim;
      for (int v = 0; v < kVecsEach; ++v) {
        const int dim = (x_ + kSide * v) * 4;
        if (dim < task_.head_dim) store4(out + dim, scaled4(acc_[i][v], 1.0f / divisor));
      }
    }
  }

  const AttendTask& task_;
  const int kv_head_;
  const int64_t first_;
  const int n_row_, x_, y_;
  float* queries_;        // [kRows], scaled
  float* cached_;         // [kKeys] keys, then values
  float* weights_;        // [kRows, kKeys]
  int limit_[kRowsEach];  // the last key that a row may see; -1: a row that does not count
  float top_[kRowsEach], sum_[kRowsEach];
  float4 acc_[kRowsEach][kVecsEach];
};

/// A block takes a tile of tokens and the heads of one key head. Late tiles have most keys and start first.
template <class Element, int kDim>
__global__ void __launch_bounds__(kSide* kSide) attend_tiles_kernel(const AttendTask task) {
  extern __shared__ float4 shared[];
  const int n_most = tile_tokens<kDim>(task.group());
  const int64_t n_tile = (task.batch.n_token + n_most - 1) / n_most;
  const int64_t first = (n_tile - 1 - blockIdx.x / task.n_head_kv) * n_most;
  const int n = static_cast<int>(min(static_cast<int64_t>(n_most), task.batch.n_token - first));
  QueryTile<Element, kDim> tile(task, blockIdx.x % task.n_head_kv, first, n,
                                reinterpret_cast<float*>(shared));
  const int32_t *seq = task.batch.seq + first, *pos = task.batch.pos + first;
  for (int begin = 0, end = 0; begin < n; begin = end) {
    int last = pos[begin], first_seen = task.first_seen(pos[begin]);
    for (end = begin + 1; end < n && seq[end] == seq[begin]; ++end) {
      last = max(last, pos[end]);
      first_seen = min(first_seen, task.first_seen(pos[end]));
    }
    tile.attend(begin, end, first_seen, last);
  }
}

}  // namespace sw::cuda
