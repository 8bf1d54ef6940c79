// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/few/dots.cuh"
#include "kernels/cuda/few/experts.h"
#include "kernels/cuda/few/parts.h"
#include "kernels/cuda/few/slots.cuh"
#include "kernels/cuda/gated.cuh"
#include "kernels/cuda/launch.cuh"

namespace sw::cuda {
namespace {

constexpr int kWarps = kOneWarps, kThreads = kWarps * kWarp;
constexpr int kGateRows = 1;  ///< of gate and of up that a warp has at once

struct GateUp {
  FewStack gate, up;
  FewSlots slots;
  float swiglu_limit;
  InputRows x;  ///< of the first token, one at a time
  int chunk_rows, half_rows, n_chunk;
  Parts parts;    ///< of a half
  float* hidden;  ///< [n_token, n_slot, n_ff]
};

/// Some rows of the gate and of the up matrix of one slot of one token, in two halves, of which the first is
/// multiplied while the second is on its way.
template <class Format>
struct GateUpRows {
  using Input = typename Dots<Format>::Input;
  const GateUp& a;
  uint8_t* shared;
  int n_row;

  __device__ int row_bytes() const { return static_cast<int>(a.gate.row_bytes); }
  __device__ int n_first() const { return min(a.half_rows, n_row); }
  __device__ uint8_t* stage_memory(int i) const {
    return shared + Input::bytes(a.x.n) + i * staged_bytes(a.chunk_rows * a.gate.row_bytes);
  }
  __device__ float2* partial() const { return reinterpret_cast<float2*>(stage_memory(2)); }

  __device__ void start(const Staging& gate, const Staging& up) const {
    const int half = n_first() * row_bytes(), all = n_row * row_bytes();
    gate.start(0, gate.end(half), threadIdx.x, kThreads);
    up.start(0, up.end(half), threadIdx.x, kThreads);
    end_copies();
    gate.start(gate.end(half), gate.end(all), threadIdx.x, kThreads);
    up.start(up.end(half), up.end(all), threadIdx.x, kThreads);
    end_copies();
  }
  __device__ __forceinline__ void multiply(const uint8_t* gate, const uint8_t* up, int begin, int end) const {
    const Input inputs[] = {Input(shared, a.x.n)};
    with_rows<kGateRows>(a.parts.n_row, [&]<int kRows>() {
      for (int task = static_cast<int>(threadIdx.x) / kWarp; task < a.parts.n_task(end - begin);
           task += kWarps) {
        const int first = begin + task / a.parts.n * kRows, part = task % a.parts.n;
        const uint8_t* rows[2 * kRows];
#pragma unroll
        for (int r = 0; r < kRows; ++r) {  // those beyond the last repeat it
          const int at = min(first + r, end - 1) * row_bytes();
          rows[2 * r] = gate + at;
          rows[2 * r + 1] = up + at;
        }
        float sum[2 * kRows][1];
        dot_rows<Format>(rows, a.x.n, a.parts, part, inputs, sum);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (threadIdx.x % kWarp == 0 && first + r < end)
            partial()[part * a.chunk_rows + first + r] = {sum[2 * r][0], sum[2 * r + 1][0]};
        }
      }
    });
  }
  __device__ float2 sum(int r) const {
    float2 sum{};
    for (int part = 0; part < a.parts.n; ++part) {
      const float2 of_part = partial()[part * a.chunk_rows + r];
      sum = {sum.x + of_part.x, sum.y + of_part.y};
    }
    return sum;
  }
};

template <class Format>
__global__ void __launch_bounds__(kThreads, 2) few_gate_up_kernel(const GateUp a) {
  using Input = typename Dots<Format>::Input;
  extern __shared__ uint4 memory[];
  __shared__ Squares<1, kWarps> squares;
  const int n_slot = a.slots.n_slot(), index = static_cast<int>(blockIdx.x) / a.n_chunk, t = index / n_slot;
  const int s = n_slot - 1 - index % n_slot;  // the shared expert first: it need not wait
  const int64_t row = int64_t{static_cast<int>(blockIdx.x) % a.n_chunk} * a.chunk_rows;
  const GateUpRows<Format> rows{a, reinterpret_cast<uint8_t*>(memory),
                                static_cast<int>(min(int64_t{a.chunk_rows}, a.gate.n_out - row))};
  const NormQuads<kWarps> quads(a.x);
  if (!a.slots.is_shared(s)) wait_for_previous();
  const uint8_t* gate = matrix_of(a.gate, a.slots, t, s);
  const uint8_t* up = gate ? matrix_of(a.up, a.slots, t, s) : nullptr;
  const auto staging = [&](int i, const uint8_t* matrix) {
    return Staging(rows.stage_memory(i), matrix + row * rows.row_bytes(), rows.n_row * rows.row_bytes());
  };
  if (gate) rows.start(staging(0, gate), staging(1, up));
  if (a.slots.is_shared(s)) wait_for_previous();
  let_next_start();
  if (!gate) return;
  InputRows x = a.x;
  x.x += t * x.stride;
  put_inputs<Input>(rows.shared, x, quads, squares);
  wait_copies<1>();
  __syncthreads();
  const float factor = squares.factor(x, 0);
  const uint8_t *gate_rows = staging(0, gate).first(), *up_rows = staging(1, up).first();
  rows.multiply(gate_rows, up_rows, 0, rows.n_first());
  wait_copies<0>();
  __syncthreads();
  if (rows.n_first() < rows.n_row) rows.multiply(gate_rows, up_rows, rows.n_first(), rows.n_row);
  __syncthreads();
  const int r = static_cast<int>(threadIdx.x);
  if (r >= rows.n_row) return;
  const float2 sum = rows.sum(r);
  const int64_t biased = a.slots.is_shared(s) ? -1 : a.slots.routed.id(t, s) * a.gate.n_out + row + r;
  const float g = a.gate.bias && biased >= 0 ? sum.x * factor + a.gate.bias[biased] : sum.x * factor;
  const float u = a.up.bias && biased >= 0 ? sum.y * factor + a.up.bias[biased] : sum.y * factor;
  a.hidden[(int64_t{t} * n_slot + s) * a.gate.n_out + row + r] = gated(g, u, a.swiglu_limit);
}

/// Rows of the first half: a number that the warps share without rest.
int half_of(int chunk_rows) {
  return chunk_rows < kWarps ? (chunk_rows + 1) / 2 : chunk_rows / kWarps * (kWarps / 2);
}

template <class Format>
Parts gate_parts(int n_in, int chunk_rows) {
  return Parts::best(half_of(chunk_rows), n_units<Format>(n_in), kGateRows, kWarps);
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
  for (auto n = static_cast<int>(std::min<int64_t>(rows, kThreads)); n > 0; n = n * 3 / 4) {
    if (gate_bytes<Format>(n_in, row_bytes, n, gate_parts<Format>(n_in, n)) <= most_at_once(queue)) return n;
  }
  return 0;
}

void launch_gate_up(Type type, GateUp task, int64_t n_token, const Queue& queue) {
  with_gpu_type(type, [&]<class Format>() {
    const int n_in = task.gate.n_in;
    const int64_t n_pair = n_token * task.slots.n_slot();
    task.chunk_rows = gate_rows<Format>(task.gate.n_out, n_in, task.gate.row_bytes, n_pair, queue);
    task.n_chunk = static_cast<int>((task.gate.n_out + task.chunk_rows - 1) / task.chunk_rows);
    task.half_rows = half_of(task.chunk_rows);
    task.parts = gate_parts<Format>(n_in, task.chunk_rows);
    const int bytes = gate_bytes<Format>(n_in, task.gate.row_bytes, task.chunk_rows, task.parts);
    const auto kernel = few_gate_up_kernel<Format>;
    allow_shared(kernel, static_cast<size_t>(bytes), queue);
    launch_early(kernel, n_blocks(n_pair * task.n_chunk, 1), kThreads, static_cast<size_t>(bytes), queue,
                 task);
  });
}

}  // namespace

bool gate_up_fits(Type type, int64_t n_in, const Queue& queue) {
  const auto bytes = static_cast<int64_t>(row_bytes(type, n_in));
  return with_gpu_type(type, [&]<class Format>() {
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
                    .half_rows = 0,
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
                    .half_rows = 0,
                    .n_chunk = 0,
                    .parts = {},
                    .hidden = hidden};
  launch_gate_up(d.gate.weight.type, task, 1, queue);
}

}  // namespace sw::cuda
