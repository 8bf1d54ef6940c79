// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/few/dots.cuh"
#include "kernels/cuda/few/product.h"
#include "kernels/cuda/few/stage.cuh"
#include "kernels/cuda/few/tiles.cuh"
#include "kernels/cuda/launch.cuh"

namespace sw::cuda {
namespace {

/// Chunks that are on their way at once, where a block has several.
constexpr int kStages = 2;

struct FewArgs {
  const uint8_t* weights;
  int64_t row_bytes, n_out;  ///< rows of one matrix
  InputRows x;
  int64_t x_step;  ///< from the input of a matrix to the next one's
  float* out;
  int64_t out_stride, out_step;
  bool add;
  const float* bias;
  int chunk_rows;  ///< rows that a block has at once
  int n_chunk, chunks_per_matrix;
  int n_stage;      ///< 1 or kStages
  int stage_bytes;  ///< of shared memory, each
  Parts parts;
};

/// Rows of one matrix.
struct Chunk {
  int64_t matrix, row;
  int n_row;

  __device__ Chunk(const FewArgs& a, int index)
      : matrix(a.chunks_per_matrix == a.n_chunk ? 0 : index / a.chunks_per_matrix),
        row((index - matrix * a.chunks_per_matrix) * a.chunk_rows),
        n_row(static_cast<int>(min(int64_t{a.chunk_rows}, a.n_out - row))) {}
};

/// Of a task: what the registers hold.
template <int kTokens>
constexpr int most_rows() {
  return kTokens == 1 ? 4 : 2;
}

/// Whether tensor cores multiply.
template <class Format, int kTokens>
constexpr bool in_tiles() {
  return kTokens == kTileTokens && TileDots<Format>::kStep > 0;
}

/// Bytes from a row of weights to the next in shared memory: as they are stored, or, where lanes read the
/// same place of eight rows at once, 16 more than a multiple of 128, so that these are in different banks.
template <class Format, int kTokens>
__host__ __device__ constexpr int row_stride(int64_t row_bytes) {
  return static_cast<int>(in_tiles<Format, kTokens>() ? (row_bytes + 15 + 127) / 128 * 128 + 16 : row_bytes);
}

/// Warps of a block.
template <int kTokens>
constexpr int n_warps() {
  return kTokens == 1 ? kOneWarps : kSomeWarps;
}

/// Floats of sums that warps add up to each other's.
template <class Format, int kTokens>
__host__ __device__ constexpr int n_partial(const Parts& parts, int chunk_rows) {
  const bool none = parts.n == 1 && !in_tiles<Format, kTokens>();
  return none ? 0 : (parts.n * chunk_rows * kTokens + 3) / 4 * 4;
}

template <class Format, int kTokens>
struct FewKernel {
  using Input = typename Dots<Format>::Input;
  static constexpr bool kTiles = in_tiles<Format, kTokens>();
  static constexpr int kMostRows = most_rows<kTokens>(), kWarps = n_warps<kTokens>(),
                       kThreads = kWarps * kWarp;
  const FewArgs& a;
  uint8_t* shared;

  __device__ float* partial() const {
    return reinterpret_cast<float*>(shared + kTokens * Input::bytes(a.x.n));
  }
  __device__ uint8_t* stage_memory(int s) const {
    return reinterpret_cast<uint8_t*>(partial() + n_partial<Format, kTokens>(a.parts, a.chunk_rows)) +
           s * a.stage_bytes;
  }
  __device__ const uint8_t* first_row(const Chunk& chunk) const {
    return a.weights + (chunk.matrix * a.n_out + chunk.row) * a.row_bytes;
  }
  /// Starts to load chunk `index`, if there is one.
  __device__ void start(int index, int s) const {
    if (index < a.n_chunk) {
      const Chunk chunk(a, index);
      const auto row_bytes = static_cast<int>(a.row_bytes);
      if constexpr (kTiles) {
        for (int r = static_cast<int>(threadIdx.x) / kWarp; r < chunk.n_row; r += kWarps)
          stage(row_memory(s, r), first_row(chunk) + r * a.row_bytes, row_bytes, threadIdx.x % kWarp, kWarp);
      } else {
        stage(stage_memory(s), first_row(chunk), chunk.n_row * row_bytes, threadIdx.x, kThreads);
      }
    }
    end_copies();
  }
  /// Where tile rows are.
  __device__ uint8_t* row_memory(int s, int r) const {
    return stage_memory(s) + r * row_stride<Format, kTokens>(a.row_bytes);
  }

  /// `factor` is that of token threadIdx.x % kTokens.
  __device__ void multiply(int index, int s, float factor) const {
    const Chunk chunk(a, index);
    if constexpr (kTiles) {
      multiply_tiles(chunk, s);
      return write_partial(chunk, factor);
    }
    const uint8_t* at = stage_memory(s) + reinterpret_cast<uintptr_t>(first_row(chunk)) % 16;
    Input inputs[kTokens];
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      inputs[t] = Input(shared + min(t, a.x.n_token - 1) * Input::bytes(a.x.n), a.x.n);
    const int n_task = a.parts.n_task(chunk.n_row);
    with_rows<kMostRows>(a.parts.n_row, [&]<int kRows>() {
      for (int task = static_cast<int>(threadIdx.x) / kWarp; task < n_task; task += kWarps)
        multiply_task<kRows>(chunk, at, inputs, task, factor);
    });
    if (a.parts.n > 1) write_partial(chunk, factor);
  }
  template <int kRows>
  __device__ __forceinline__ void multiply_task(const Chunk& chunk, const uint8_t* at,
                                                const Input (&inputs)[kTokens], int task,
                                                float factor) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int first = task / a.parts.n * kRows, part = task % a.parts.n;
    const uint8_t* rows[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {  // those beyond the last repeat it
      rows[r] = at + min(first + r, chunk.n_row - 1) * static_cast<int>(a.row_bytes);
    }
    float sum[kRows][kTokens];
    dot_rows<Format>(rows, a.x.n, a.parts, part, inputs, sum);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        if (lane != t || first + r >= chunk.n_row) continue;
        if (a.parts.n == 1) {
          write(chunk, first + r, t, sum[r][t] * factor);
        } else {
          partial()[(part * a.chunk_rows + first + r) * kTokens + t] = sum[r][t];
        }
      }
    }
  }
  /// A task is a tile of rows, of which a warp adds up every n-th step.
  __device__ void multiply_tiles(const Chunk& chunk, int s) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, n_step = a.x.n / TileDots<Format>::kStep;
    const auto input = [&](int t) {
      return Input(shared + min(t, a.x.n_token - 1) * Input::bytes(a.x.n), a.x.n);
    };
    const int token = lane % 4 * 2;
    const TileInputs inputs{input(lane / 4).q, input(token).scale, input(token + 1).scale};
    for (int task = static_cast<int>(threadIdx.x) / kWarp; task < a.parts.n_task(chunk.n_row);
         task += kWarps) {
      const int first = task / a.parts.n * kTileGroup + lane / 4, part = task % a.parts.n;
      const auto row = [&](int r) -> const uint8_t* {  // those beyond the last repeat it
        r = min(r, chunk.n_row - 1);
        return row_memory(s, r) + reinterpret_cast<uintptr_t>(first_row(chunk) + r * a.row_bytes) % 16;
      };
      const uint8_t* rows[] = {row(first), row(first + 8)};
      float sum[4] = {};
#pragma unroll 2
      for (int step = part; step < n_step; step += a.parts.n) TileDots<Format>::add(rows, step, inputs, sum);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = first + i / 2 * 8;
        if (r < chunk.n_row) partial()[(part * a.chunk_rows + r) * kTokens + token + i % 2] = sum[i];
      }
    }
  }
  __device__ void write_partial(const Chunk& chunk, float factor) const {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < chunk.n_row * kTokens; i += kThreads) {
      float sum = 0;
      for (int part = 0; part < a.parts.n; ++part) sum += partial()[part * a.chunk_rows * kTokens + i];
      write(chunk, i / kTokens, i % kTokens, sum * factor);
    }
  }
  __device__ void write(const Chunk& chunk, int r, int t, float product) const {
    if (t >= a.x.n_token) return;
    const int64_t row = chunk.row + r;
    float& out = a.out[t * a.out_stride + chunk.matrix * a.out_step + row];
    const float y = a.bias ? product + a.bias[chunk.matrix * a.n_out + row] : product;
    out = a.add ? out + y : y;
  }
};

/// Where a block has several chunks they are all of one matrix, so that its inputs are made once.
template <class Format, int kTokens>
__global__ void __launch_bounds__(FewKernel<Format, kTokens>::kThreads, 2) few_kernel(const FewArgs a) {
  constexpr int kWarps = n_warps<kTokens>();
  extern __shared__ uint4 memory[];
  __shared__ Squares<kTokens, kWarps> squares;
  const FewKernel<Format, kTokens> kernel{a, reinterpret_cast<uint8_t*>(memory)};
  const int first = static_cast<int>(blockIdx.x), step = static_cast<int>(gridDim.x);
  for (int s = 0; s < a.n_stage; ++s) kernel.start(first + s * step, s);
  const NormQuads<kWarps> quads(a.x);
  wait_for_previous();
  let_next_start();
  InputRows x = a.x;
  x.x += Chunk(a, first).matrix * a.x_step;
  put_inputs<typename Dots<Format>::Input>(kernel.shared, x, quads, squares);
  float factor = 1;
  int s = 0;
  for (int index = first; index < a.n_chunk; index += step) {
    if (a.n_stage == 1) {
      wait_copies<0>();
    } else {
      wait_copies<kStages - 1>();
    }
    __syncthreads();
    // Both the lanes of a warp and the threads that add up parts have token t at the t-th of kTokens.
    if (index == first)
      factor = squares.factor(a.x, min(static_cast<int>(threadIdx.x) % kTokens, a.x.n_token - 1));
    kernel.multiply(index, s, factor);
    if (a.n_stage == 1) return;
    __syncthreads();  // all have read the stage
    kernel.start(index + kStages * step, s);
    s = s + 1 == kStages ? 0 : s + 1;
  }
}

/// How a product is cut.
struct FewShape {
  int chunk_rows, n_chunk, n_stage;
  Parts parts;
  int stage_bytes, shared_bytes;
};

template <class Format, int kTokens>
Parts parts_of(int chunk_rows, int n_in) {
  if constexpr (in_tiles<Format, kTokens>()) {
    Parts parts{1, kTileGroup};
    while (parts.n_task(chunk_rows) < n_warps<kTokens>() && 2 * parts.n * TileDots<Format>::kStep <= n_in)
      parts.n *= 2;
    return parts;
  } else {
    return Parts::best(chunk_rows, n_units<Format>(n_in), most_rows<kTokens>(), n_warps<kTokens>());
  }
}

template <class Format, int kTokens>
FewShape shape_of(const Linear& linear, int chunk_rows, int n_stage) {
  const int n_in = static_cast<int>(linear.n_in());
  const int64_t n_matrix = linear.weight.shape.n_rows() / linear.n_out();
  const int64_t n_chunk = n_matrix * ((linear.n_out() + chunk_rows - 1) / chunk_rows);
  SW_ASSERT(n_chunk <= INT32_MAX);
  FewShape shape{.chunk_rows = chunk_rows,
                 .n_chunk = static_cast<int>(n_chunk),
                 .n_stage = n_stage,
                 .parts = parts_of<Format, kTokens>(chunk_rows, n_in),
                 .stage_bytes = 0,
                 .shared_bytes = 0};
  const auto row_bytes = static_cast<int64_t>(linear.weight.row_size_bytes());
  shape.stage_bytes = staged_bytes(int64_t{chunk_rows} * row_stride<Format, kTokens>(row_bytes));
  shape.shared_bytes = kTokens * Dots<Format>::Input::bytes(n_in) +
                       n_partial<Format, kTokens>(shape.parts, chunk_rows) * static_cast<int>(sizeof(float)) +
                       n_stage * shape.stage_bytes;
  return shape;
}

/// All rows at once, a block for each multiprocessor; where they are too many, chunks that take turns.
/// Nothing fits where shared_bytes is still too large.
template <class Format, int kTokens>
FewShape choose_shape(const Linear& linear, const Queue& queue) {
  const int64_t n_matrix = linear.weight.shape.n_rows() / linear.n_out(), n_sm = queue.n_multiprocessor();
  const int64_t per_matrix = std::max<int64_t>(1, n_sm / n_matrix);
  const auto all = static_cast<int>((linear.n_out() + per_matrix - 1) / per_matrix);
  FewShape shape = shape_of<Format, kTokens>(linear, std::min(all, 512), 1);
  if (all <= 512 && shape.shared_bytes <= most_at_once(queue)) return shape;
  for (int rows = 32; rows >= 1; rows /= 2) {
    shape = shape_of<Format, kTokens>(linear, rows, n_matrix == 1 ? kStages : 1);
    if (shape.shared_bytes <= most_at_once(queue)) break;
  }
  return shape;
}

template <class Format, int kTokens>
void launch_few(const FewProduct& p, OpContext& context) {
  const Queue& queue = *context.cuda;
  const FewShape shape = choose_shape<Format, kTokens>(p.linear, queue);
  const int64_t n_matrix = p.linear.weight.shape.n_rows() / p.linear.n_out();
  const FewArgs args{
      .weights = reinterpret_cast<const uint8_t*>(p.linear.weight.data),
      .row_bytes = static_cast<int64_t>(p.linear.weight.row_size_bytes()),
      .n_out = p.linear.n_out(),
      .x = {p.x, p.x_stride, static_cast<int>(p.n_token), static_cast<int>(p.linear.n_in()), p.norm},
      .x_step = p.x_step,
      .out = p.out,
      .out_stride = p.out_stride,
      .out_step = p.out_step,
      .add = p.add,
      .bias = p.bias,
      .chunk_rows = shape.chunk_rows,
      .n_chunk = shape.n_chunk,
      .chunks_per_matrix = static_cast<int>(shape.n_chunk / n_matrix),
      .n_stage = shape.n_stage,
      .stage_bytes = shape.stage_bytes,
      .parts = shape.parts};
  const int n_block =
      shape.n_stage == 1 ? shape.n_chunk : std::min(shape.n_chunk, 2 * queue.n_multiprocessor());
  const auto kernel = few_kernel<Format, kTokens>;
  allow_shared(kernel, static_cast<size_t>(shape.shared_bytes), queue);
  launch_early(kernel, static_cast<unsigned>(n_block), n_warps<kTokens>() * kWarp,
               static_cast<size_t>(shape.shared_bytes), queue, args);
}

/// Calls f.operator()<kTokens>() with the number of tokens that a kernel is made for.
template <class F>
decltype(auto) with_tokens(int64_t n_token, F&& f) {
  if (n_token == 1) return f.template operator()<1>();
  return f.template operator()<kMostFewTokens>();
}

}  // namespace

bool can_multiply_few(const Linear& linear, int64_t n_token, const OpContext& context) {
  if (n_token > kMostFewTokens) return false;
  return with_gpu_type(linear.weight.type, [&]<class Format>() {
    return with_tokens(n_token, [&]<int kTokens>() {
      return choose_shape<Format, kTokens>(linear, *context.cuda).shared_bytes <= most_at_once(*context.cuda);
    });
  });
}

void multiply_few(const FewProduct& p, OpContext& context) {
  SW_ASSERT(p.n_token > 0 && p.n_token <= kMostFewTokens);
  with_gpu_type(p.linear.weight.type, [&]<class Format>() {
    with_tokens(p.n_token, [&]<int kTokens>() { launch_few<Format, kTokens>(p, context); });
  });
}

}  // namespace sw::cuda
