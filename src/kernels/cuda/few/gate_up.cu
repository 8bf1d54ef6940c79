// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/few/dots.cuh"
#include "kernels/cuda/few/experts.h"
#include "kernels/cuda/few/parts.h"
#include "kernels/cuda/few/slots.cuh"
#include "kernels/cuda/gated.cuh"
#include "kernels/cuda/launch.cuh"

namespace sw::cuda {
namespace {

constexpr int kGateRows = 2;  ///< of gate and of up that a warp has at once

struct GateUp {
  FewStack gate, up;
  FewSlots slots;
  float swiglu_limit;
  InputRows x;  ///< of the first token, one at a time
  int chunk_rows, n_chunk;
  Parts parts;
  float* hidden;  ///< [n_token, n_slot, n_ff]
};

/// A block: some rows of the gate and of the up matrix of one slot of one token.
template <class Format>
__global__ void __launch_bounds__(kFewThreads, kFewBlocks) few_gate_up_kernel(const GateUp a) {
  using Input = typename Dots<Format>::Input;
  extern __shared__ uint4 memory[];
  __shared__ Squares<1> squares;
  auto* shared = reinterpret_cast<uint8_t*>(memory);
  const int n_slot = a.slots.n_slot(), index = static_cast<int>(blockIdx.x) / a.n_chunk, t = index / n_slot;
  const int s = n_slot - 1 - index % n_slot;  // the shared expert first: it need not wait
  const int64_t row = int64_t{static_cast<int>(blockIdx.x) % a.n_chunk} * a.chunk_rows;
  const int n_row = static_cast<int>(min(int64_t{a.chunk_rows}, a.gate.n_out - row));
  const NormQuads quads(a.x);
  if (!a.slots.is_shared(s)) wait_for_previous();
  const uint8_t* gate = matrix_of(a.gate, a.slots, t, s);
  const uint8_t* up = gate ? matrix_of(a.up, a.slots, t, s) : nullptr;
  uint8_t* stages = shared + Input::bytes(a.x.n);
  if (gate) {
    gate = a.gate.stage_rows(stages, gate, row, n_row);
    up = a.up.stage_rows(stages + staged_bytes(a.chunk_rows * a.gate.row_bytes), up, row, n_row);
  }
  end_stage();
  if (a.slots.is_shared(s)) wait_for_previous();
  let_next_start();
  if (!gate) return;
  InputRows x = a.x;
  x.x += t * x.stride;
  put_inputs<Input>(shared, x, quads, squares);
  await_stages<0>();
  __syncthreads();

  auto* partial = reinterpret_cast<float2*>(stages + 2 * staged_bytes(a.chunk_rows * a.gate.row_bytes));
  const Input inputs[] = {Input(shared, x.n)};
  const float factor = squares.factor(x, 0);
  with_rows<kGateRows>(a.parts.n_row, [&]<int kRows>() {
    for (int task = static_cast<int>(threadIdx.x) / kWarp; task < a.parts.n_task(n_row); task += kFewWarps) {
      const int first = task / a.parts.n * kRows, part = task % a.parts.n;
      const uint8_t* rows[2 * kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {  // those beyond the last repeat it
        const int at = min(first + r, n_row - 1) * static_cast<int>(a.gate.row_bytes);
        rows[2 * r] = gate + at;
        rows[2 * r + 1] = up + at;
      }
      float sum[2 * kRows][1];
      dot_rows<Format>(rows, x.n, a.parts, part, inputs, sum);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (threadIdx.x % kWarp == 0 && first + r < n_row)
          partial[part * a.chunk_rows + first + r] = {sum[2 * r][0], sum[2 * r + 1][0]};
      }
    }
  });
  __syncthreads();
  const int r = static_cast<int>(threadIdx.x);
  if (r >= n_row) return;
  float2 sum{};
  for (int part = 0; part < a.parts.n; ++part) {
    const float2 of_part = partial[part * a.chunk_rows + r];
    sum = {sum.x + of_part.x, sum.y + of_part.y};
  }
  const int64_t biased = a.slots.is_shared(s) ? -1 : a.slots.routed.id(t, s) * a.gate.n_out + row + r;
  const float g = a.gate.bias && biased >= 0 ? sum.x * factor + a.gate.bias[biased] : sum.x * factor;
  const float u = a.up.bias && biased >= 0 ? sum.y * factor + a.up.bias[biased] : sum.y * factor;
  a.hidden[(int64_t{t} * n_slot + s) * a.gate.n_out + row + r] = gated(g, u, a.swiglu_limit);
}

/// Of shared memory, for a block of few_gate_up_kernel.
template <class Format>
int gate_bytes(int n_in, int64_t row_bytes, int chunk_rows, Parts parts) {
  return Dots<Format>::Input::bytes(n_in) + 2 * staged_bytes(chunk_rows * row_bytes) +
         parts.n * chunk_rows * static_cast<int>(sizeof(float2));
}

/// Rows of a block, so that each multiprocessor has one block where there are few (token, slot) pairs, and
/// blocks fit where there are many. 0: not even one row fits.
template <class Format>
int gate_rows(int64_t n_out, int n_in, int64_t row_bytes, int64_t n_pair, const Queue& queue) {
  constexpr int kMost = 32;  // where a multiprocessor has several blocks
  const int64_t per_pair = queue.n_multiprocessor() / n_pair;
  const int64_t rows = per_pair == 0 ? std::min<int64_t>(kMost, n_out) : (n_out + per_pair - 1) / per_pair;
  for (auto n = static_cast<int>(std::min<int64_t>(rows, kFewThreads)); n > 0; n = n * 3 / 4) {
    if (gate_bytes<Format>(n_in, row_bytes, n, Parts::best(n, n_units<Format>(n_in), kGateRows)) <=
        most_at_once(queue))
      return n;
  }
  return 0;
}

void launch_gate_up(Type type, GateUp task, int64_t n_token, const Queue& queue) {
  with_type(type, [&]<class Format>() {
    const int n_in = task.gate.n_in;
    const int64_t n_pair = n_token * task.slots.n_slot();
    task.chunk_rows = gate_rows<Format>(task.gate.n_out, n_in, task.gate.row_bytes, n_pair, queue);
    task.n_chunk = static_cast<int>((task.gate.n_out + task.chunk_rows - 1) / task.chunk_rows);
    task.parts = Parts::best(task.chunk_rows, n_units<Format>(n_in), kGateRows);
    const int bytes = gate_bytes<Format>(n_in, task.gate.row_bytes, task.chunk_rows, task.parts);
    SW_CUDA(
        cudaFuncSetAttribute(few_gate_up_kernel<Format>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    launch_early(few_gate_up_kernel<Format>, n_blocks(n_pair * task.n_chunk, 1), kFewThreads,
                 static_cast<size_t>(bytes), queue, task);
  });
}

}  // namespace

bool gate_up_fits(Type type, int64_t n_in, const Queue& queue) {
  const auto bytes = static_cast<int64_t>(row_bytes(type, n_in));
  return with_type(type, [&]<class Format>() {
    return gate_rows<Format>(1, static_cast<int>(n_in), bytes, 1, queue) > 0;
  });
}

void gate_up(const ExpertsDesc& d, const ExpertsArgs& args, bool with_shared, float* hidden,
             const Queue& queue) {
  const GateUp task{.gate = FewStack(d.gate, with_shared ? d.shared.gate : Linear{}),
                    .up = FewStack(d.up, with_shared ? d.shared.up : Linear{}),
                    .slots = {ExpertSlots(d, args.routing), with_shared},
                    .swiglu_limit = d.swiglu_limit,
                    .x = {args.x.data(), args.x.stride(), 1, static_cast<int>(d.gate.n_in), {}},
                    .chunk_rows = 0,
                    .n_chunk = 0,
                    .parts = {},
                    .hidden = hidden};
  launch_gate_up(d.gate.formats[0].type, task, args.x.n_rows(), queue);
}

bool can_gate_few(const FfnDesc& d, const Queue& queue) {
  return d.gate.weight.type == d.up.weight.type && !d.gate_bias && !d.up_bias &&
         gate_up_fits(d.gate.weight.type, d.gate.n_in(), queue);
}

void gate_few(const FfnDesc& d, const float* x, float* hidden, const Queue& queue) {
  const GateUp task{.gate = FewStack(d.gate),
                    .up = FewStack(d.up),
                    .slots = {ExpertSlots(), true},
                    .swiglu_limit = 0,
                    .x = {x, 0, 1, static_cast<int>(d.gate.n_in()), {d.norm, d.rms_eps}},
                    .chunk_rows = 0,
                    .n_chunk = 0,
                    .parts = {},
                    .hidden = hidden};
  launch_gate_up(d.gate.weight.type, task, 1, queue);
}

}  // namespace sw::cuda
