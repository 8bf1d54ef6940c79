// SPDX-License-Identifier: MIT
#include <algorithm>
#include <optional>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/experts_combine.h"
#include "kernels/cuda/few/experts.h"
#include "kernels/cuda/few/stream.cuh"
#include "kernels/cuda/few/stream.h"
#include "kernels/cuda/product/matvec.cuh"

namespace sw::cuda {
namespace {

constexpr int kRoundThreads = 256;

/// A thread per four values.
__global__ void round_rows(TensorView<const float> x, StreamInputs to, uint8_t* data) {
  wait_for_previous();
  let_next_start();
  const unsigned per_row = (to.n + 4 * kRoundThreads - 1) / (4 * kRoundThreads);
  const int64_t row = blockIdx.x / per_row;
  const int k = 4 * static_cast<int>(blockIdx.x % per_row * kRoundThreads + threadIdx.x);
  const bool there = k < to.n;
  put_quad(Q8Input(data + row * to.row_bytes(), to.n), k,
           there ? load_input(x.data() + row * x.stride() + k) : float4{}, there);
}

template <class F>
decltype(auto) with_stream_format(Type type, F&& f) {
  using Result = decltype(f.template operator()<Q8_0>());
  return with_gpu_type(type, [&]<class Format>() -> Result {
    if constexpr (StreamDots<Format>::kStep > 0) {
      return f.template operator()<Format>();
    } else {
      return Result();
    }
  });
}

/// Room for as many slices as fit. A tile's inputs come with the first slice of its weights, up to n_stage
/// slices ahead: so many tiles have room that none is overwritten while a warp reads it.
std::optional<StreamShape> shape_of(Type type, int n_in, int64_t n_tile, int n_col, const Queue& queue) {
  const int n_slice = (n_in + kStreamSlice - 1) / kStreamSlice;
  const int64_t n_item = n_tile * n_col, n_block = std::min<int64_t>(n_item, queue.n_multiprocessor());
  for (const int n_stage : {4, 2}) {
    const StreamShape shape{
        .n_stage = n_stage,
        .n_buffer = static_cast<int>(std::min<int64_t>(n_tile, 1 + (n_stage + n_slice - 1) / n_slice)),
        .n_tile = static_cast<int>((n_item + n_block - 1) / n_block / n_col + 2),
        .n_block = static_cast<int>(n_block)};
    const int64_t bytes = with_stream_format(type, [&]<class Format>() {
      return StreamPlan<Format>::shared_bytes({nullptr, n_in}, shape);
    });
    constexpr int kStatic = 16 << 10;  // what the kernel has beside
    if (bytes > 0 && bytes + kStatic <= queue.most_shared_bytes()) return shape;
  }
  return std::nullopt;
}

void launch_stream(Type type, StreamProduct p, const Queue& queue) {
  const int64_t n_tile = p.n_tile + p.n_shared;
  p.shape = shape_of(type, p.first.n_in, n_tile, p.n_col(), queue).value();
  with_stream_format(type, [&]<class Format>() {
    const auto kernel = p.gated ? stream_kernel<Format, true> : stream_kernel<Format, false>;
    const auto bytes = static_cast<size_t>(StreamPlan<Format>::shared_bytes(p.x, p.shape));
    allow_shared(kernel, bytes, queue);
    launch_early(kernel, static_cast<unsigned>(p.shape.n_block), kStreamThreads, bytes, queue, p);
  });
}

/// Scratch.
struct Buffers {
  SortedRows rows;
  int64_t n_shared;  ///< rows of the shared expert
  uint8_t* x = nullptr;
  uint8_t* hidden = nullptr;
  float* y = nullptr;

  template <class Take>
  Buffers(const ExpertsDesc& d, int64_t n_token, Take& take)
      : rows(d, n_token, kTileTokens, [&](auto*& p, int64_t n) { take(p, n); }),
        n_shared(fuses_shared(d) ? n_token : 0) {
    const int64_t n_row = rows.n_pair + n_shared;
    take(x, n_token * Q8Input::bytes(static_cast<int>(d.gate.n_in)));
    take(hidden, n_row * Q8Input::bytes(static_cast<int>(d.gate.n_out)));
    take(y, n_row * d.down.n_out);
  }
};

}  // namespace

bool can_stream_experts(const ExpertsDesc& d, const Queue& queue) {
  const auto fits = [&](const ExpertStack& stack) {
    constexpr int kManyTiles = 1 << 16, kColumns = 1;
    return stack.n_in % Q8Input::kBlock == 0 &&
           shape_of(stack.formats[0].type, static_cast<int>(stack.n_in), kManyTiles, kColumns, queue);
  };
  return d.gate.n_in % 4 == 0 && fits(d.gate) && fits(d.down);
}

size_t stream_scratch_bytes(const ExpertsDesc& d, int64_t n_token) {
  ScratchCount count;
  const Buffers counted(d, n_token, count);
  return count.size_bytes;
}

void run_experts_stream(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  context.scratch.reset();
  const int64_t n_token = args.x.n_rows();
  const bool with_shared = fuses_shared(d);
  const Buffers b(d, n_token, context.scratch);
  const ExpertSlots slots(d, args.routing);
  const Queue& queue = *context.cuda;
  check_input(d.gate.formats[0].type, args.x);
  if (with_shared) count_dense(context.counters, d.shared, n_token);
  sort_by_expert(slots, d.gate, b.rows, context);

  const StreamInputs x{b.x, static_cast<int>(d.gate.n_in)}, hidden{b.hidden, static_cast<int>(d.gate.n_out)};
  launch_early(round_rows, static_cast<unsigned>(n_token) * n_blocks(x.n, 4 * kRoundThreads), kRoundThreads,
               0, queue, args.x, x, b.x);
  const auto stack = [&](const ExpertStack& experts, const Linear& shared) {
    return FewStack(experts, with_shared ? shared : Linear{});
  };
  StreamProduct p{.first = stack(d.gate, d.shared.gate),
                  .second = stack(d.up, d.shared.up),
                  .gated = true,
                  .swiglu_limit = d.swiglu_limit,
                  .x = x,
                  .x_rows = b.rows.token,
                  .tiles = b.rows.tiles,
                  .n_tile = static_cast<int>(b.rows.n_tile),
                  .n_expert = static_cast<int>(d.n_expert()),
                  .n_pair = static_cast<int>(b.rows.n_pair),
                  .n_token = static_cast<int>(n_token),
                  .n_shared = with_shared ? static_cast<int>((n_token + kTileTokens - 1) / kTileTokens) : 0,
                  .hidden = b.hidden,
                  .out = nullptr,
                  .tiles_known = true,
                  .shape = {}};
  launch_stream(d.gate.formats[0].type, p, queue);
  p.first = stack(d.down, d.shared.down);
  p.gated = false;
  p.x = hidden;
  p.x_rows = nullptr;
  p.out = b.y;
  launch_stream(d.down.formats[0].type, p, queue);
  combine(slots, {b.rows.row, with_shared ? static_cast<int32_t>(b.rows.n_pair) : -1}, b.y, args, context);
}

}  // namespace sw::cuda
