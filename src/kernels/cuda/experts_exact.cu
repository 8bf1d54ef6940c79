// SPDX-License-Identifier: MIT
#include "kernels/cuda/expert_slots.cuh"
#include "kernels/cuda/experts_exact.h"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/queue.h"

namespace sw::cuda {
namespace {

/// hidden[t, s] = gated(gate x, up x): blocks of 8 rows, all rows of a pair, all slots of a token. `pair` has
/// the shape and all experts' biases.
template <class Format, bool kEven>
__global__ void __launch_bounds__(kMatvecThreads)
    gate_pairs(GatePair pair, ExpertMatrices gate, ExpertMatrices up, ExpertSlots slots, const float* x,
               int64_t x_stride, float* hidden) {
  const int64_t n_block = (pair.n_ff + kMatvecWarps - 1) / kMatvecWarps;
  const int64_t index = blockIdx.x / n_block, t = index / slots.n_slot;
  const int s = static_cast<int>(index % slots.n_slot);
  const int64_t r = matvec_row(blockIdx.x % n_block);
  if (s >= slots.n_used(t) || r >= pair.n_ff) return;
  const int32_t id = slots.id(t, s);
  if (!slots.in_table(id)) return;
  pair.gate = gate.at<kEven>(id);
  pair.up = up.at<kEven>(id);
  if (!kEven && !pair.gate) return;
  if (pair.gate_bias) pair.gate_bias += id * pair.n_ff;
  if (pair.up_bias) pair.up_bias += id * pair.n_ff;
  write_gated<Format>(pair, r, x + t * x_stride, hidden + index * pair.n_ff);
}

constexpr int kDownRows = 4;

struct DownArgs {
  ExpertMatrices matrices;
  int64_t row_bytes, n_embd;
  const float* bias;  ///< [n_expert, n_embd] or null
  int n_ff;
  const float* hidden;  ///< [n_token, n_slot, n_ff]
  const float* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
};

/// out[t] += sum over slots of weight * down(hidden[t, s]): a block has 4 rows of all the token's experts, a
/// warp a product at a time; then a thread per row sums its products in the order of the slots.
template <class Format, bool kEven>
__global__ void __launch_bounds__(kMatvecThreads, 4) down_pairs(DownArgs a, ExpertSlots slots) {
  extern __shared__ float products[];  // [n_slot, kDownRows]
  const int64_t n_block = (a.n_embd + kDownRows - 1) / kDownRows;
  const int64_t t = blockIdx.x / n_block, row_begin = blockIdx.x % n_block * kDownRows;
  const int n_product = slots.n_used(t) * kDownRows;
  const auto matrix = [&](int s) {
    const int32_t id = slots.id(t, s);
    return slots.in_table(id) ? a.matrices.at<kEven>(id) : nullptr;
  };
  for (int i = static_cast<int>(threadIdx.x) / kWarp; i < n_product; i += kMatvecWarps) {
    const int s = i / kDownRows;
    const int64_t r = row_begin + i % kDownRows;
    const uint8_t* rows = matrix(s);
    if (!rows || r >= a.n_embd) continue;
    const float product =
        row_product<Format>(rows + r * a.row_bytes, a.n_ff, a.hidden + (t * slots.n_slot + s) * a.n_ff);
    if (threadIdx.x % kWarp == 0)
      products[i] = a.bias ? product + a.bias[slots.id(t, s) * a.n_embd + r] : product;
  }
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x);
  const int64_t r = row_begin + row;
  if (row >= kDownRows || r >= a.n_embd) return;
  slots.combine(
      t, a.x[t * a.x_stride + r], a.out[t * a.out_stride + r], [&](int s) { return matrix(s) != nullptr; },
      [&](int s) { return products[s * kDownRows + row]; });
}

}  // namespace

void run_experts_exact(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_pair = n_token * d.n_slot;
  float* hidden = context.scratch.take<float>(n_pair * d.gate.n_out);
  const ExpertSlots slots(d, args.routing);
  const Type type = d.gate.formats[0].type, down_type = d.down.formats[0].type;
  check_input(type, args.x);
  GatePair pair(type, d.gate.n_out, d.gate.n_in);
  pair.gate_bias = d.gate.bias;
  pair.up_bias = d.up.bias;
  pair.swiglu_limit = d.swiglu_limit;
  with_gpu_type(type, [&]<class Format>() {
    const unsigned blocks = n_blocks(n_pair * n_blocks(d.gate.n_out, kMatvecWarps), 1);
    const auto kernel = d.gate.even && d.up.even ? gate_pairs<Format, true> : gate_pairs<Format, false>;
    kernel<<<blocks, kMatvecThreads, 0, context.cuda->stream()>>>(
        pair, ExpertMatrices(d.gate), ExpertMatrices(d.up), slots, args.x.data(), args.x.stride(), hidden);
    SW_CUDA_LAUNCHED();
  });
  const DownArgs down{.matrices = ExpertMatrices(d.down),
                      .row_bytes = static_cast<int64_t>(row_bytes(down_type, d.down.n_in)),
                      .n_embd = d.down.n_out,
                      .bias = d.down.bias,
                      .n_ff = static_cast<int>(d.down.n_in),
                      .hidden = hidden,
                      .x = args.x.data(),
                      .x_stride = args.x.stride(),
                      .out = args.out.data(),
                      .out_stride = args.out.stride()};
  with_gpu_type(down_type, [&]<class Format>() {
    const unsigned blocks = n_blocks(n_token * n_blocks(down.n_embd, kDownRows), 1);
    const size_t shared_bytes = static_cast<size_t>(d.n_slot) * kDownRows * sizeof(float);
    const auto kernel = d.down.even ? down_pairs<Format, true> : down_pairs<Format, false>;
    kernel<<<blocks, kMatvecThreads, shared_bytes, context.cuda->stream()>>>(down, slots);
    SW_CUDA_LAUNCHED();
  });
}

size_t exact_experts_scratch_bytes(const ExpertsDesc& d, int64_t n_token) {
  return Scratch::padded_bytes(static_cast<size_t>(n_token * d.n_slot * d.gate.n_out) * sizeof(float));
}

}  // namespace sw::cuda
