// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/few/slots.cuh"
#include "kernels/cuda/few/stream_dots.cuh"

/// How a block of stream.cuh walks over its items and brings their weights and inputs into shared memory.
namespace sw::cuda {

inline constexpr int kStreamWarps = 16, kStreamThreads = kStreamWarps * kWarp;
inline constexpr int kStreamRows = kTileGroup, kStreamSlice = 256;

/// Inputs in global memory: as Q8Input has them, one row after the other.
struct StreamInputs {
  const uint8_t* data;
  int n;  ///< elements of a row, a multiple of Q8Input::kBlock

  __host__ __device__ int row_bytes() const { return Q8Input::bytes(n); }
};

/// What a block's shared memory holds.
struct StreamShape {
  int n_stage;   ///< slices of weights that a warp has room for: 2 or 4
  int n_buffer;  ///< tiles whose inputs have room
  int n_tile;    ///< tiles that a block's share can touch
  int n_block;
};

struct StreamProduct {
  FewStack first, second;  ///< gated: gate and up; else the same
  bool gated;
  float swiglu_limit;
  StreamInputs x;
  const int32_t* x_rows;  ///< the input of each sorted row, or null: its own
  const Tile* tiles;      ///< of kTileTokens rows at most
  int n_tile;
  int n_expert;                   ///< a tile's matrix of that number is the shared expert
  int n_pair, n_token, n_shared;  ///< rows n_pair + t are the shared expert's, in n_shared tiles ahead of all
  uint8_t* hidden;                ///< gated: rows as StreamInputs has them
  float* out;                     ///< else [row, n_out]
  bool tiles_known;               ///< the tiles were there before the kernel ahead of this one
  StreamShape shape;

  __host__ __device__ int64_t n_out() const { return first.n_out; }
  __host__ __device__ int n_own() const { return gated ? kStreamRows / 2 : kStreamRows; }
  __host__ __device__ int n_col() const {
    const int64_t rows = kStreamWarps * n_own();
    return static_cast<int>((n_out() + rows - 1) / rows);
  }
};

/// A tile as a block knows it, in shared memory.
struct StreamTile {
  const uint8_t *first, *second;  ///< matrices; null: nothing to do
  int32_t matrix, begin, n_token;
  int32_t x_row[kTileTokens];
};

/// Of a format: how a slice of 16 rows lies in a warp's shared memory.
template <class Format>
struct StreamPlan {
  static constexpr int kChunk = 16;
  static constexpr int kBytes =
      kStreamSlice / Format::kBlockElems * static_cast<int>(sizeof(typename Format::Block));
  /// Blocks whose size is a multiple of 16 begin at such addresses; others where they like.
  static constexpr int kMostShift = sizeof(typename Format::Block) % kChunk == 0 ? 0 : kChunk - 1;
  static constexpr int kChunks = (kMostShift + kBytes + kChunk - 1) / kChunk;
  /// Odd, so that neighbouring rows begin at different banks; words may be read up to one beyond the last.
  static constexpr int kPitch = ((kMostShift + kBytes + 4 + kChunk - 1) / kChunk | 1) * kChunk;
  static constexpr int kStage = kStreamRows * kPitch;
  static constexpr int kPrepared = StreamDots<Format>::kPrepared;
  static constexpr int kPreparedPitch = kPrepared > 0 ? kPrepared + 4 : 0;  ///< in floats
  static constexpr int kPreparedBytes = kStreamRows * kPreparedPitch * static_cast<int>(sizeof(float));

  __host__ __device__ static constexpr int warp_bytes(int n_stage) {
    return n_stage * kStage + kPreparedBytes;
  }
  static int64_t shared_bytes(const StreamInputs& x, const StreamShape& shape) {
    return int64_t{shape.n_buffer} * kTileTokens * x.row_bytes() +
           int64_t{kStreamWarps} * warp_bytes(shape.n_stage) +
           shape.n_tile * static_cast<int64_t>(sizeof(StreamTile));
  }
};

/// What all warps of a block know, and where its shared memory is.
template <class Format>
struct StreamBlock {
  using Plan = StreamPlan<Format>;
  const StreamProduct& p;
  uint8_t* shared;
  int n_col, begin, n_item;  ///< columns of a tile; the block's share of the items
  int n_slice;

  __device__ int tokens_bytes() const { return kTileTokens * p.x.row_bytes(); }
  __device__ uint8_t* tokens(int tile) const { return shared + tile % p.shape.n_buffer * tokens_bytes(); }
  __device__ uint8_t* warp_memory(int warp) const {
    return shared + p.shape.n_buffer * tokens_bytes() + warp * Plan::warp_bytes(p.shape.n_stage);
  }
  __device__ StreamTile* tiles() const { return reinterpret_cast<StreamTile*>(warp_memory(kStreamWarps)); }
  __device__ int64_t first_row(int col) const {
    return int64_t{col * kStreamWarps + static_cast<int>(threadIdx.x) / kWarp} * p.n_own();
  }

  __device__ Tile tile_at(int i) const {
    if (i >= p.n_shared) return p.tiles[i - p.n_shared];
    const int first = i * kTileTokens;
    return {p.n_expert, p.n_pair + first, p.n_pair + min(first + kTileTokens, p.n_token)};
  }
  __device__ int32_t input_of(int row) const {
    if (!p.x_rows) return row;
    return row < p.n_pair ? p.x_rows[row] : row - p.n_pair;
  }
  /// Fills in the tiles of the block's share.
  __device__ void find_tiles() const {
    const int first = begin / n_col, n = n_item > 0 ? (begin + n_item - 1) / n_col - first + 1 : 0;
    for (int i = static_cast<int>(threadIdx.x); i < n * kTileTokens; i += kStreamThreads) {
      const Tile tile = tile_at(first + i / kTileTokens);
      const int token = i % kTileTokens, row = tile.begin + token;
      StreamTile& to = tiles()[i / kTileTokens];
      to.x_row[token] = row < tile.end ? input_of(row) : 0;
      if (token > 0) continue;
      const auto matrix = [&](const FewStack& stack) {
        return tile.matrix == p.n_expert ? stack.shared : stack.experts.at(tile.matrix);
      };
      to.first = matrix(p.first);
      to.second = p.gated ? matrix(p.second) : to.first;
      if (!to.second) to.first = nullptr;
      to.matrix = tile.matrix;
      to.begin = tile.begin;
      to.n_token = tile.end - tile.begin;
    }
    __syncthreads();
  }
  /// Starts to copy a tile's inputs.
  __device__ void copy_tokens(int t) const {
    constexpr int kShare = kStreamThreads / kTileTokens;  // threads of a token
    const StreamTile& tile = tiles()[t];
    const int token = static_cast<int>(threadIdx.x) / kShare, n_bytes = p.x.row_bytes();
    if (token >= tile.n_token) return;
    const uint8_t* from = p.x.data + static_cast<int64_t>(tile.x_row[token]) * n_bytes;
    uint8_t* to = tokens(t) + token * n_bytes;
    for (int i = 16 * (static_cast<int>(threadIdx.x) % kShare); i < n_bytes; i += 16 * kShare)
      copy_16(to + i, from + i);
  }
};

/// A walk over a block's items.
struct StreamWalk {
  int tile = 0, col, n_left;  ///< n_left: items from this one on
  bool new_tile = true;       ///< the first item of a tile in this block

  __device__ StreamWalk(int col, int n_item) : col(col), n_left(n_item) {}
  __device__ __forceinline__ void next(int n_col) {
    --n_left;
    new_tile = ++col == n_col;
    if (!new_tile) return;
    col = 0;
    ++tile;
  }
};

/// Copies a warp's weights, slice by slice, some slices ahead of their products.
template <class Format>
struct StreamCopies {
  using Plan = StreamPlan<Format>;
  static constexpr int kAll = kStreamRows * Plan::kChunks, kOwn = (kAll + kWarp - 1) / kWarp;
  const StreamBlock<Format>& block;
  StreamWalk at;
  int slice = 0;
  const uint8_t* rows[kOwn];  ///< of the lane's chunks, where their rows are, at the slice
  bool there = false;
  bool ragged = false;  ///< rows of the item are the matrix's last, or beyond

  __device__ __forceinline__ explicit StreamCopies(const StreamBlock<Format>& block)
      : block(block), at(block.begin % block.n_col, block.n_item) {
    find_rows();
  }
  static __device__ __forceinline__ int chunk(int j) {
    return kWarp * j + static_cast<int>(threadIdx.x) % kWarp;
  }
  __device__ __forceinline__ void find_rows() {
    if (at.n_left == 0) return;
    const StreamProduct& p = block.p;
    const StreamTile& tile = block.tiles()[at.tile];
    const int64_t first = block.first_row(at.col);
    ragged = first + p.n_own() >= p.n_out();
    there = tile.first;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) rows[j] = row_of(p, tile, first, chunk(j) / Plan::kChunks);
  }
  /// Row i of a warp's 16; those beyond the matrix's last repeat it.
  static __device__ __forceinline__ const uint8_t* row_of(const StreamProduct& p, const StreamTile& tile,
                                                          int64_t first, int i) {
    const bool second = i >= p.n_own();
    return (second ? tile.second : tile.first) +
           min(first + (second ? i - p.n_own() : i), p.n_out() - 1) * p.first.row_bytes;
  }
  /// Starts the copies of the next slice, and with the first one of a tile those of its inputs.
  __device__ __forceinline__ void next(uint8_t* to) {
    if (at.n_left > 0) {
      if (slice == 0 && at.new_tile) block.copy_tokens(at.tile);
      if (there) copy(to);
      advance();
    }
    end_copies();
  }
  __device__ __forceinline__ void copy(uint8_t* to) const {
    if (slice + 1 == block.n_slice && (ragged || block.p.first.n_in % kStreamSlice != 0))
      return copy_last(block.p, block.tiles()[at.tile], block.first_row(at.col), slice, to);
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      if (kWarp * (j + 1) > kAll && chunk(j) >= kAll) break;
      const int i = chunk(j) / Plan::kChunks, c = chunk(j) % Plan::kChunks;
      copy_16(to + i * Plan::kPitch + c * Plan::kChunk, rows[j] - shift(rows[j]) + c * Plan::kChunk);
    }
  }
  static __device__ __forceinline__ int shift(const uint8_t* row) {
    return Plan::kMostShift == 0 ? 0 : static_cast<int>(reinterpret_cast<uintptr_t>(row)) & 15;
  }
  /// The same where rows, and maybe the matrix, end: nothing behind them is read. Rare, and so by itself.
  static __device__ __noinline__ void copy_last(const StreamProduct& p, const StreamTile& tile, int64_t first,
                                                int slice, uint8_t* to) {
    const int64_t at_byte = int64_t{slice} * Plan::kBytes;
#pragma unroll 1
    for (int j = 0; j < kOwn && chunk(j) < kAll; ++j) {
      const int i = chunk(j) / Plan::kChunks, c = chunk(j) % Plan::kChunks;
      const uint8_t* row = row_of(p, tile, first, i) + at_byte;
      const int from = c * Plan::kChunk - shift(row);
      const auto left = static_cast<int>(min(p.first.row_bytes - at_byte - from, int64_t{Plan::kChunk}));
      uint8_t* place = to + i * Plan::kPitch + c * Plan::kChunk;
      if (left == Plan::kChunk) {
        copy_16(place, row + from);
      } else {
        for (int b = 0; b < left; ++b) place[b] = row[from + b];
      }
    }
  }
  __device__ __forceinline__ void advance() {
    int64_t step = Plan::kBytes;
    if (++slice == block.n_slice) {
      slice = 0;
      at.next(block.n_col);
      const StreamProduct& p = block.p;
      if (at.new_tile || block.first_row(at.col) + p.n_own() >= p.n_out()) return find_rows();
      step = kStreamWarps * p.n_own() * p.first.row_bytes - int64_t{block.n_slice - 1} * Plan::kBytes;
    }
#pragma unroll
    for (int j = 0; j < kOwn; ++j) rows[j] += step;
  }
};

}  // namespace sw::cuda
