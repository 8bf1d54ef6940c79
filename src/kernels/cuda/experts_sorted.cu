// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/experts_sorted.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/product/matvec.cuh"

namespace sw::cuda {
namespace {

constexpr int kCombineThreads = 256, kInvariantTileRows = 64;

struct CombineArgs {
  ExpertSlots slots;
  const int32_t* row;  ///< [n_token, n_slot] the slot's row of y, or -1
  const void* y;       ///< [row, n_embd] the experts' products, in bf16 or f32
  int n_embd;
  const float* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
};

/// N neighbours.
template <class T, int kN>
struct alignas(kN * sizeof(T)) Neighbors {
  T v[kN];
};

__device__ __forceinline__ float as_float(float x) { return x; }
__device__ __forceinline__ float as_float(uint16_t bf16) {
  return __uint_as_float(static_cast<uint32_t>(bf16) << 16);
}

/// A block per token: out += sum over its slots, in order, of weight * product, and the identity experts'
/// weights times the token's own input.
template <class T, int kN>
__global__ void __launch_bounds__(kCombineThreads) combine_rows(CombineArgs a) {
  using Floats = Neighbors<float, kN>;
  using Products = Neighbors<T, kN>;
  extern __shared__ int32_t row_of[];  // [n_slot], then as many weights
  wait_for_previous();
  let_next_start();
  const ExpertSlots& slots = a.slots;
  float* weight_of = reinterpret_cast<float*>(row_of + slots.n_slot);
  const int64_t t = blockIdx.x;
  const int n_used = slots.n_used(t);
  for (int s = static_cast<int>(threadIdx.x); s < n_used; s += kCombineThreads) {
    row_of[s] = a.row[t * slots.n_slot + s];
    const bool counts = row_of[s] >= 0 || (slots.identity && slots.id(t, s) >= slots.n_expert);
    weight_of[s] = counts ? slots.weight(t, s) : 0.0f;
  }
  __syncthreads();
  float identity_weight = 0.0f;
  for (int s = 0; s < n_used; ++s) {
    if (row_of[s] < 0) identity_weight += weight_of[s];
  }
  for (int c = static_cast<int>(threadIdx.x) * kN; c < a.n_embd; c += kCombineThreads * kN) {
    Floats sum = {};
#pragma unroll 8
    for (int s = 0; s < n_used; ++s) {
      if (row_of[s] < 0) continue;
      const T* row = static_cast<const T*>(a.y) + static_cast<int64_t>(row_of[s]) * a.n_embd;
      const Products y = *reinterpret_cast<const Products*>(row + c);
#pragma unroll
      for (int i = 0; i < kN; ++i) sum.v[i] = fmaf(weight_of[s], as_float(y.v[i]), sum.v[i]);
    }
    Floats& out = *reinterpret_cast<Floats*>(a.out + t * a.out_stride + c);
    Floats to = out;
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (identity_weight != 0.0f) sum.v[i] = fmaf(identity_weight, a.x[t * a.x_stride + c + i], sum.v[i]);
      to.v[i] += sum.v[i];
    }
    out = to;
  }
}

template <class T>
void combine(const ExpertSlots& slots, const SortedRows& rows, const T* y, const ExpertsArgs& args,
             OpContext& context) {
  const CombineArgs combined{.slots = slots,
                             .row = rows.row,
                             .y = y,
                             .n_embd = static_cast<int>(args.out.n_cols()),
                             .x = args.x.data(),
                             .x_stride = args.x.stride(),
                             .out = args.out.data(),
                             .out_stride = args.out.stride()};
  const bool by_quads = combined.n_embd % 4 == 0 && combined.out_stride % 4 == 0 &&
                        reinterpret_cast<uintptr_t>(combined.out) % sizeof(float4) == 0;
  const auto kernel = by_quads ? combine_rows<T, 4> : combine_rows<T, 1>;
  const size_t shared_bytes = static_cast<size_t>(slots.n_slot) * (sizeof(int32_t) + sizeof(float));
  launch_early(kernel, n_blocks(args.out.n_rows(), 1), kCombineThreads, shared_bytes, *context.cuda,
               combined);
}

bool has_f32(const ExpertStack& stack) {
  return std::any_of(stack.formats.begin(), stack.formats.end(),
                     [](const ExpertFormat& format) { return format.type == Type::F32; });
}
bool reads_bf16(const ExpertStack& stack, bool like_one) {
  return std::any_of(stack.formats.begin(), stack.formats.end(),
                     [&](const ExpertFormat& format) { return wants_bf16(format.type, like_one); });
}

/// Whether gate and up go together, straight to hidden values in bf16.
bool is_gated(const ExpertsDesc& d, bool like_one) {
  return !like_one && d.gate.formats.size() == 1 && d.up.formats.size() == 1 &&
         d.gate.formats[0].type == d.up.formats[0].type && !has_f32(d.gate) && !has_f32(d.down);
}

TensorView<uint16_t> bf16_rows(uint16_t* data, int64_t n_row, int64_t n) {
  return {data, n_row, n, bf16_stride(n)};
}

/// Scratch of the sorted way.
struct Sorted {
  SortedRows rows;
  TensorView<uint16_t> x_bf16 = {};  ///< where gate or up wants it
  TensorView<float> gate = {};       ///< [n_pair, n_ff] where they do not go together, then hidden values
  TensorView<float> up = {};         ///< likewise
  TensorView<uint16_t> hidden = {};  ///< [n_pair, n_ff] where down wants bf16
  TensorView<float> y = {};          ///< [n_pair, n_embd], or
  TensorView<uint16_t> y_bf16 = {};  ///< the same, where no format of down is F32

  template <class Take>
  Sorted(const ExpertsDesc& d, int64_t n_token, int tile_rows, bool like_one, Take& take)
      : rows(d, n_token, tile_rows, [&](auto*& p, int64_t n) { take(p, n); }) {
    const int64_t n_ff = d.gate.n_out;
    const auto take_bf16 = [&](int64_t n_row, int64_t n) {
      uint16_t* data = nullptr;
      take(data, n_row * bf16_stride(n));
      return bf16_rows(data, n_row, n);
    };
    if (reads_bf16(d.gate, like_one) || reads_bf16(d.up, like_one)) x_bf16 = take_bf16(n_token, d.gate.n_in);
    if (!is_gated(d, like_one)) {
      gate = take_rows(take, rows.n_pair, n_ff);
      up = take_rows(take, rows.n_pair, n_ff);
    }
    if (reads_bf16(d.down, like_one)) hidden = take_bf16(rows.n_pair, n_ff);
    if (like_one || has_f32(d.down)) {
      y = take_rows(take, rows.n_pair, d.down.n_out);
    } else {
      uint16_t* data = nullptr;
      take(data, rows.n_pair * d.down.n_out);
      y_bf16 = {data, rows.n_pair, d.down.n_out};
    }
  }
};

int tile_rows_for(const ExpertsDesc& d, int64_t n_token, bool like_one, const Queue& queue) {
  if (like_one) return kInvariantTileRows;
  int rows = INT32_MAX;
  for (const ExpertStack* stack : {&d.gate, &d.up, &d.down})
    rows = std::min(rows, sorted_tile_rows(n_token * d.n_slot, d.n_expert(), stack->formats, queue));
  return rows;
}

/// The product of a stack's matrices of the first format; the caller sets inputs and results.
TiledProduct product_of(const ExpertStack& stack, const SortedRows& rows, bool like_one) {
  const Shape shape =
      stack.even ? Shape{stack.n_expert, stack.n_out, stack.n_in} : Shape{stack.n_out, stack.n_in};
  return {.weight = {.type = stack.formats[0].type, .shape = shape, .data = stack.even},
          .table = stack.even ? nullptr : stack.table,
          .bias = stack.bias,
          .row_invariant = like_one,
          .tiles = rows.tiles,
          .n_tile = rows.n_tile,
          .tile_rows = rows.tile_rows};
}

/// One product per format.
void multiply_all(const ExpertStack& stack, TiledProduct product, OpContext& context) {
  for (const ExpertFormat& format : stack.formats) {
    product.weight.type = format.type;
    if (product.row_invariant) check_input(format.type, product.x);
    multiply_tiles(product, context);
  }
}

/// Hidden values of all rows: to sorted.hidden, or to sorted.gate where nobody wants them in bf16.
void multiply_gate_up(const ExpertsDesc& d, const ExpertsArgs& args, const Sorted& sorted, bool like_one,
                      OpContext& context) {
  const SortedRows& rows = sorted.rows;
  if (!sorted.x_bf16.empty()) round_to_bf16(args.x, 1, 0, sorted.x_bf16, context);
  TiledProduct gate = product_of(d.gate, rows, like_one), up = product_of(d.up, rows, like_one);
  for (TiledProduct* product : {&gate, &up}) {
    product->x = args.x;
    product->x_bf16 = sorted.x_bf16;
    product->x_rows = rows.token;
  }
  if (is_gated(d, like_one)) {
    const GatedProduct gated{
        .data = up.weight.data, .table = up.table, .bias = up.bias, .swiglu_limit = d.swiglu_limit};
    gate.gated = &gated;
    gate.out_bf16 = sorted.hidden;
    return multiply_tiles(gate, context);
  }
  gate.out = sorted.gate;
  up.out = sorted.up;
  multiply_all(d.gate, gate, context);
  multiply_all(d.up, up, context);
  gate_mul(gate.out.data(), up.out.data(), d.swiglu_limit, rows.n_pair * d.gate.n_out, gate.out.data(),
           context);
  if (!sorted.hidden.empty()) round_to_bf16(sorted.gate, 1, 0, sorted.hidden, context);
}

}  // namespace

size_t sorted_scratch_bytes(const ExpertsDesc& d, int64_t n_token) {
  size_t most = 0;
  for (const bool like_one : {false, true}) {
    ScratchCount count;
    const Sorted counted(d, n_token, kLeastTileRows, like_one, count);
    most = std::max(most, count.size_bytes);
  }
  return most;
}

void run_sorted(const ExpertsDesc& d, const ExpertsArgs& args, bool like_one, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  context.scratch.reset();  // the part before this one has been queued
  const int tile_rows = tile_rows_for(d, n_token, like_one, *context.cuda);
  const Sorted sorted(d, n_token, tile_rows, like_one, context.scratch);
  const ExpertSlots slots(d, args.routing);
  sort_by_expert(slots, d.gate, sorted.rows, context);
  multiply_gate_up(d, args, sorted, like_one, context);
  TiledProduct down = product_of(d.down, sorted.rows, like_one);
  down.x = sorted.gate;
  down.x_bf16 = sorted.hidden;
  down.out = sorted.y;
  down.out_bf16 = sorted.y_bf16;
  multiply_all(d.down, down, context);
  if (sorted.y.empty()) {
    combine(slots, sorted.rows, sorted.y_bf16.data(), args, context);
  } else {
    combine(slots, sorted.rows, sorted.y.data(), args, context);
  }
}

}  // namespace sw::cuda
