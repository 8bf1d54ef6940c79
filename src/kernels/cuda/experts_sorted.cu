// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/experts_combine.h"
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/experts_sorted.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/product/matvec.cuh"

namespace sw::cuda {
namespace {

constexpr int kInvariantTileRows = 64;

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
    combine(slots, {.row = sorted.rows.row}, sorted.y_bf16.data(), args, context);
  } else {
    combine(slots, {.row = sorted.rows.row}, sorted.y.data(), args, context);
  }
}

}  // namespace sw::cuda
