// SPDX-License-Identifier: MIT
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/experts_sorted.h"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/queue.h"

namespace sw::cuda {
namespace {

constexpr int kCombineThreads = 256;

/// A block per token. `y` [row, n_embd] are the experts' products.
__global__ void combine_rows(ExpertSlots slots, SortedRows rows, const float* y, int n_embd, const float* x,
                             int64_t x_stride, float* out, int64_t out_stride) {
  const int64_t t = blockIdx.x;
  const int32_t* row_of = rows.row + t * slots.n_slot;
  for (int c = static_cast<int>(threadIdx.x); c < n_embd; c += kCombineThreads) {
    slots.combine(
        t, x[t * x_stride + c], out[t * out_stride + c], [&](int s) { return row_of[s] >= 0; },
        [&](int s) { return y[static_cast<int64_t>(row_of[s]) * n_embd + c]; });
  }
}

/// Scratch of the sorted way.
struct Sorted {
  SortedRows rows;
  float* gate;  ///< [n_pair, n_ff], then the hidden values
  float* up;    ///< [n_pair, n_ff]
  float* y;     ///< [n_pair, n_embd]

  template <class Take>
  Sorted(const ExpertsDesc& d, int64_t n_token, const Take& take) : rows(d, n_token, kTileRows, take) {
    for (float** of_ff : {&gate, &up}) take(*of_ff, rows.n_pair * d.gate.n_out);
    take(y, rows.n_pair * d.down.n_out);
  }
};

}  // namespace

size_t sorted_scratch_bytes(const ExpertsDesc& d, int64_t n_token) {
  size_t bytes = 0;
  const Sorted counted(d, n_token, [&]<class T>(T*&, int64_t n) {
    bytes += Scratch::padded_bytes(static_cast<size_t>(n) * sizeof(T));
  });
  return bytes;
}

void run_sorted(const ExpertsDesc& d, const ExpertsArgs& args, bool like_one, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_ff = d.gate.n_out, n_embd = d.down.n_out;
  context.scratch.reset();  // the part before this one has been queued
  const Sorted sorted(d, n_token, [&]<class T>(T*& p, int64_t n) { p = context.scratch.take<T>(n); });
  const SortedRows& rows = sorted.rows;
  const ExpertSlots slots(d, args.routing);
  sort_by_expert(slots, d.gate, rows, context);
  const auto multiply = [&](const ExpertStack& stack, TensorView<const float> x, const int32_t* x_rows,
                            float* out) {
    const Shape shape =
        stack.even ? Shape{stack.n_expert, stack.n_out, stack.n_in} : Shape{stack.n_out, stack.n_in};
    TiledProduct product{.weight = {.shape = shape, .data = stack.even},
                         .table = stack.even ? nullptr : stack.table,
                         .x = x,
                         .out = {out, rows.n_pair, stack.n_out},
                         .bias = stack.bias,
                         .row_invariant = like_one,
                         .x_rows = x_rows,
                         .tiles = rows.tiles,
                         .n_tile = rows.n_tile};
    for (const ExpertFormat& format : stack.formats) {
      if (like_one) check_input(format.type, x);
      product.weight.type = format.type;
      multiply_tiles(product, context);
    }
  };
  multiply(d.gate, args.x, rows.token, sorted.gate);
  multiply(d.up, args.x, rows.token, sorted.up);
  gate_mul(sorted.gate, sorted.up, d.swiglu_limit, rows.n_pair * n_ff, sorted.gate, context);
  multiply(d.down, TensorView<float>(sorted.gate, rows.n_pair, n_ff), nullptr, sorted.y);
  combine_rows<<<n_blocks(n_token, 1), kCombineThreads, 0, context.cuda->stream()>>>(
      slots, rows, sorted.y, static_cast<int>(n_embd), args.x.data(), args.x.stride(), args.out.data(),
      args.out.stride());
  SW_CUDA_LAUNCHED();
}

}  // namespace sw::cuda
