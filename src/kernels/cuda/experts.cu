// SPDX-License-Identifier: MIT
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/matvec.cuh"
#include "kernels/cuda/queue.h"

/// Few tokens: two launches, a warp a row of weights, each (token, slot) pair for itself. Many: pairs sorted
/// by expert, one product of tiles a matrix. Which experts were read is known on the GPU alone, so the
/// counters of expert_bytes and expert_flops stay as they are.
namespace sw {
namespace cuda {
namespace {

/// Up to here experts chosen twice are too rare to be worth sorting.
constexpr int64_t kMostFewTokens = 16;
/// More tokens are taken in parts: it bounds the scratch.
constexpr int64_t kMostSortedTokens = 4096;
constexpr int kMostSlots = 1024;

bool few(const ExpertsDesc& d, int64_t n_token) {
  return n_token <= kMostFewTokens && d.gate.weight.type == d.up.weight.type;
}

/// hidden[t, s] = gated(gate x, up x): blocks of 8 rows, all rows of a pair, all slots of a token.
template <class Format>
__global__ void __launch_bounds__(kMatvecThreads)
    gate_pairs(GatePair pair, ExpertSlots slots, const float* x, int64_t x_stride, float* hidden) {
  const int64_t n_block = (pair.n_ff + kMatvecWarps - 1) / kMatvecWarps;
  const int64_t index = blockIdx.x / n_block, t = index / slots.n_slot;
  const int s = static_cast<int>(index % slots.n_slot);
  const int64_t r = matvec_row(blockIdx.x % n_block);
  if (s >= slots.n_used(t) || r >= pair.n_ff) return;
  const int32_t place = slots.place(slots.id(t, s));
  if (place >= 0) write_gated<Format>(pair, place, r, x + t * x_stride, hidden + index * pair.n_ff);
}

constexpr int kDownRows = 4;

struct DownArgs {
  const uint8_t* down;
  int64_t row_bytes, n_embd;
  const float* bias;  ///< [n_place, n_embd] or null
  int n_ff;
  const float* hidden;  ///< [n_token, n_slot, n_ff]
  const float* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
};

/// out[t] += sum over slots of weight * down(hidden[t, s]): a block has 4 rows of all the token's experts, a
/// warp a product at a time; then a thread a row sums its products in the order of the slots.
template <class Format>
__global__ void __launch_bounds__(kMatvecThreads) down_pairs(DownArgs a, ExpertSlots slots) {
  extern __shared__ float products[];  // [n_slot, kDownRows]
  const int64_t n_block = (a.n_embd + kDownRows - 1) / kDownRows;
  const int64_t t = blockIdx.x / n_block, row_begin = blockIdx.x % n_block * kDownRows;
  const int n_product = slots.n_used(t) * kDownRows;
  for (int i = static_cast<int>(threadIdx.x) / kWarp; i < n_product; i += kMatvecWarps) {
    const int s = i / kDownRows;
    const int64_t r = row_begin + i % kDownRows;
    const int32_t place = slots.place(slots.id(t, s));
    if (place < 0 || r >= a.n_embd) continue;
    const int64_t stacked = place * a.n_embd + r;
    const float product = row_product<Format>(a.down + stacked * a.row_bytes, a.n_ff,
                                              a.hidden + (t * slots.n_slot + s) * a.n_ff);
    if (threadIdx.x % kWarp == 0) products[i] = a.bias ? product + a.bias[stacked] : product;
  }
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x);
  const int64_t r = row_begin + row;
  if (row >= kDownRows || r >= a.n_embd) return;
  slots.combine(t, a.x[t * a.x_stride + r], a.out[t * a.out_stride + r],
                [&](int s) { return products[s * kDownRows + row]; });
}

void run_few(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_pair = n_token * d.n_slot;
  float* hidden = context.scratch.take<float>(n_pair * d.gate.n_out());
  const ExpertSlots slots(d, args.routing);
  check_input(d.gate, args.x);
  GatePair pair(d.gate, d.up);
  pair.gate_bias = d.gate_bias;
  pair.up_bias = d.up_bias;
  pair.swiglu_limit = d.swiglu_limit;
  with_type(d.gate.weight.type, [&]<class Format>() {
    const unsigned blocks = n_blocks(n_pair * n_blocks(d.gate.n_out(), kMatvecWarps), 1);
    gate_pairs<Format><<<blocks, kMatvecThreads, 0, context.cuda->stream()>>>(pair, slots, args.x.data(),
                                                                              args.x.stride(), hidden);
    SW_CUDA_LAUNCHED();
  });
  const DownArgs down{.down = reinterpret_cast<const uint8_t*>(d.down.weight.data),
                      .row_bytes = static_cast<int64_t>(d.down.weight.row_size_bytes()),
                      .n_embd = d.down.n_out(),
                      .bias = d.down_bias,
                      .n_ff = static_cast<int>(d.down.n_in()),
                      .hidden = hidden,
                      .x = args.x.data(),
                      .x_stride = args.x.stride(),
                      .out = args.out.data(),
                      .out_stride = args.out.stride()};
  with_type(d.down.weight.type, [&]<class Format>() {
    const unsigned blocks = n_blocks(n_token * n_blocks(down.n_embd, kDownRows), 1);
    const size_t shared_bytes = static_cast<size_t>(d.n_slot) * kDownRows * sizeof(float);
    down_pairs<Format><<<blocks, kMatvecThreads, shared_bytes, context.cuda->stream()>>>(down, slots);
    SW_CUDA_LAUNCHED();
  });
}

constexpr int kCombineThreads = 256;

/// A block a token. `y` [row, n_embd] are the experts' products.
__global__ void combine_rows(ExpertSlots slots, SortedRows rows, const float* y, int n_embd, const float* x,
                             int64_t x_stride, float* out, int64_t out_stride) {
  const int64_t t = blockIdx.x;
  const int32_t* row_of = rows.row + t * slots.n_slot;
  for (int c = static_cast<int>(threadIdx.x); c < n_embd; c += kCombineThreads) {
    slots.combine(t, x[t * x_stride + c], out[t * out_stride + c],
                  [&](int s) { return y[static_cast<int64_t>(row_of[s]) * n_embd + c]; });
  }
}

/// Scratch of the sorted way.
struct Sorted {
  SortedRows rows;
  float* gate;  ///< [n_pair, n_ff], then the hidden values
  float* up;
  float* y;  ///< [n_pair, n_embd]

  Sorted(const ExpertsDesc& d, int64_t n_token, Scratch& scratch)
      : rows(n_token, d.n_slot, d.gate.weight.shape[0], scratch),
        gate(scratch.take<float>(rows.n_pair * d.gate.n_out())),
        up(scratch.take<float>(rows.n_pair * d.gate.n_out())),
        y(scratch.take<float>(rows.n_pair * d.down.n_out())) {}
  static size_t scratch_bytes(const ExpertsDesc& d, int64_t n_token) {
    const auto f32 = [&](int64_t n_col) {
      return Scratch::padded_bytes(static_cast<size_t>(n_token * d.n_slot * n_col) * sizeof(float));
    };
    return SortedRows::scratch_bytes(n_token, d.n_slot, d.gate.weight.shape[0]) + 2 * f32(d.gate.n_out()) +
           f32(d.down.n_out());
  }
};

void run_sorted(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_ff = d.gate.n_out(), n_embd = d.down.n_out();
  context.scratch.reset();  // the part before this one has been queued
  const Sorted sorted(d, n_token, context.scratch);
  const SortedRows& rows = sorted.rows;
  const ExpertSlots slots(d, args.routing);
  sort_by_expert(slots, rows, d.gate.weight.shape[0], context);
  TiledProduct product{.x = args.x,
                       .row_invariant = d.gate.row_invariant,
                       .x_rows = rows.token,
                       .tiles = rows.tiles,
                       .n_tile = rows.n_tile};
  product.weight = d.gate.weight;
  product.bias = d.gate_bias;
  product.out = {sorted.gate, rows.n_pair, n_ff};
  multiply_tiles(product, context);
  product.weight = d.up.weight;
  product.bias = d.up_bias;
  product.out = {sorted.up, rows.n_pair, n_ff};
  multiply_tiles(product, context);
  gate_mul(sorted.gate, sorted.up, d.swiglu_limit, rows.n_pair * n_ff, sorted.gate, context);
  product.weight = d.down.weight;
  product.bias = d.down_bias;
  product.x = TensorView<float>(sorted.gate, rows.n_pair, n_ff);
  product.x_rows = nullptr;
  product.out = {sorted.y, rows.n_pair, n_embd};
  multiply_tiles(product, context);
  combine_rows<<<n_blocks(n_token, 1), kCombineThreads, 0, context.cuda->stream()>>>(
      slots, rows, sorted.y, static_cast<int>(n_embd), args.x.data(), args.x.stride(), args.out.data(),
      args.out.stride());
  SW_CUDA_LAUNCHED();
}

const char* refuses(const ExpertsDesc& d) {
  return d.n_slot <= kMostSlots ? nullptr : "more than 1024 experts a token";
}

size_t scratch_bytes(const ExpertsDesc& d, int64_t n_token, int) {
  if (few(d, n_token)) {
    return Scratch::padded_bytes(static_cast<size_t>(n_token * d.n_slot * d.gate.n_out()) * sizeof(float));
  }
  return Sorted::scratch_bytes(d, std::min(n_token, kMostSortedTokens));
}

void run(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  if (n_token == 0 || d.n_slot == 0) return;
  if (few(d, n_token)) return run_few(d, args, context);
  for (int64_t begin = 0; begin < n_token; begin += kMostSortedTokens) {
    const int64_t n = std::min(kMostSortedTokens, n_token - begin);
    Routing routing{
        .ids = args.routing.ids.rows(begin, n),
        .weights = args.routing.weights.rows(begin, n),
        .n_active = args.routing.n_active.subspan(static_cast<size_t>(begin), static_cast<size_t>(n))};
    run_sorted(d, {.x = args.x.rows(begin, n), .routing = routing, .out = args.out.rows(begin, n)}, context);
  }
}

}  // namespace
}  // namespace cuda

extern const ExpertsKernel cuda_experts;
const ExpertsKernel cuda_experts{"cuda_experts",      Isa::Scalar, cuda::refuses,
                                 cuda::scratch_bytes, cuda::run,   DeviceKind::Cuda};

}  // namespace sw
