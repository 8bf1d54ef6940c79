// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/few/dots.cuh"
#include "kernels/cuda/few/parts.h"
#include "kernels/cuda/few/slots.cuh"
#include "kernels/cuda/launch.cuh"

namespace sw::cuda {
namespace {

constexpr int kWarps = kOneWarps, kThreads = kWarps * kWarp;

struct Down {
  FewStack down;
  FewSlots slots;
  int chunk_rows, n_chunk;
  int n_at_once;  ///< slots whose rows fit a block's memory
  const float* hidden;
  const float* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
};

/// A slot as the lanes of a block read it.
struct DownSlot {
  int rows;  ///< where in shared memory; -1: nothing to do
  float weight;
};

/// A block: up to kWarps rows of all slots of one token, a warp each row. A lane's units run on from
/// slot to slot, so that none is idle where rows are short.
template <class Format>
struct DownRows {
  using Input = typename Dots<Format>::Input;
  const Down& a;
  uint8_t* shared;
  int64_t t, row;
  int n_row;

  __device__ DownSlot* table() const { return reinterpret_cast<DownSlot*>(shared); }
  __device__ uint8_t* input(int i) const {
    return shared + (a.n_at_once * sizeof(DownSlot) + 15) / 16 * 16 + i * Input::bytes(a.down.n_in);
  }
  __device__ uint8_t* rows(int i) const {
    return input(a.n_at_once) + i * staged_bytes(a.chunk_rows * a.down.row_bytes);
  }

  /// Starts to load the rows of slots [begin, begin + n), a warp each.
  __device__ void start(int begin, int n) const {
    for (int i = static_cast<int>(threadIdx.x) / kWarp; i < n; i += kWarps) {
      const int s = begin + i;
      const uint8_t* matrix = matrix_of(a.down, a.slots, t, s);
      const uint8_t* staged = matrix ? a.down.stage_rows_by_warp(rows(i), matrix, row, n_row) : nullptr;
      if (threadIdx.x % kWarp == 0)
        table()[i] = {staged ? static_cast<int>(staged - shared) : -1,
                      matrix && !a.slots.is_shared(s) ? a.slots.routed.weight(t, s) : 1.0f};
    }
    end_copies();
  }
  /// The inputs of slots [begin, begin + n), whose quads lie one behind the other in `hidden`.
  __device__ void put(int begin, int n) const {
    const float* hidden = a.hidden + (t * a.slots.n_slot() + begin) * a.down.n_in;
    if constexpr (Input::kRounded) {
      const int n_quad = a.down.n_in / 4;
      for (int j = static_cast<int>(threadIdx.x); j - static_cast<int>(threadIdx.x) % kWarp < n * n_quad;
           j += kThreads) {
        const int i = min(j / n_quad, n - 1), k = 4 * (j - i * n_quad);
        const bool there = k < a.down.n_in && table()[i].rows >= 0;
        put_quad(Input(input(i), a.down.n_in), k, there ? load_input(hidden + 4 * int64_t{j}) : float4{},
                 there);
      }
    } else {
      for (int j = static_cast<int>(threadIdx.x); j < n * a.down.n_in; j += kThreads) {
        const int i = j / a.down.n_in;
        if (table()[i].rows >= 0) Input(input(i), a.down.n_in).x[j - i * a.down.n_in] = __ldcg(hidden + j);
      }
      const int n_pad = (a.down.n_in + 3) / 4 * 4 - a.down.n_in;
      for (int j = static_cast<int>(threadIdx.x); j < n * n_pad; j += kThreads)
        Input(input(j / n_pad), a.down.n_in).x[a.down.n_in + j % n_pad] = 0;
    }
  }
  /// The lane's share of the sum over `n` slots.
  __device__ float multiply(int n) const {
    const int r = static_cast<int>(threadIdx.x) / kWarp, n_unit = n_units<Format>(a.down.n_in);
    float sum = 0;
    if (r >= n_row) return sum;
#pragma unroll 2
    for (int j = static_cast<int>(threadIdx.x) % kWarp; j < n * n_unit; j += kWarp) {
      const int i = j / n_unit, u = j - i * n_unit;
      const DownSlot slot = table()[i];
      if (slot.rows < 0) continue;
      const uint8_t* of_row[] = {shared + slot.rows + r * static_cast<int>(a.down.row_bytes)};
      const Input inputs[] = {Input(input(i), a.down.n_in)};
      float product[1][1] = {};
      Dots<Format>::add(of_row, Unit{u}, a.down.n_in, inputs, product);
      sum = fmaf(slot.weight, product[0][0], sum);
    }
    return sum;
  }
  /// What a lane adds beside the products of its warp's row: of lane 0 what is there, and of all of them the
  /// biases of their slots and the identity experts. Older than the kernel queued ahead, as the routing.
  __device__ float rest() const {
    const ExpertSlots& routed = a.slots.routed;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t r = row + static_cast<int>(threadIdx.x) / kWarp;
    if (r >= a.down.n_out) return 0;
    float sum = lane == 0 ? a.out[t * a.out_stride + r] : 0.0f;
    for (int s = lane; s < (routed.n_slot == 0 ? 0 : routed.n_used(t)); s += kWarp) {
      const int32_t id = routed.id(t, s);
      if (routed.identity && id >= routed.n_expert)
        sum = fmaf(routed.weight(t, s), a.x[t * a.x_stride + r], sum);
      if (a.down.bias && routed.in_table(id) && a.down.experts.at(id))
        sum = fmaf(routed.weight(t, s), a.down.bias[id * a.down.n_out + r], sum);
    }
    return sum;
  }
};

template <class Format>
__global__ void __launch_bounds__(kThreads, 2) few_down_kernel(const Down a) {
  extern __shared__ uint4 memory[];
  const int64_t row = int64_t{static_cast<int>(blockIdx.x) % a.n_chunk} * a.chunk_rows;
  const DownRows<Format> block{a, reinterpret_cast<uint8_t*>(memory),
                               static_cast<int>(blockIdx.x) / a.n_chunk, row,
                               static_cast<int>(min(int64_t{a.chunk_rows}, a.down.n_out - row))};
  float sum = 0, rest = 0;
  const int n_slot = a.slots.n_slot();
  for (int begin = 0; begin < n_slot; begin += a.n_at_once) {
    const int n = min(a.n_at_once, n_slot - begin);
    if (begin > 0) __syncthreads();  // all have read the slots before
    // The routing is older than the kernel queued ahead, which waited for it before it let this one start.
    block.start(begin, n);
    if (begin == 0) {
      rest = block.rest();
      wait_for_previous();
      let_next_start();
    }
    __syncthreads();
    block.put(begin, n);
    wait_copies<0>();
    __syncthreads();
    sum += block.multiply(n);
  }
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (warp >= block.n_row) return;
  sum = lane_sum(sum + rest);
  if (threadIdx.x % kWarp == 0) a.out[block.t * a.out_stride + row + warp] = sum;
}

/// For each slot that a block of few_down_kernel has at once; and what it needs beside.
template <class Format>
int down_slot_bytes(int64_t n_in, int64_t row_bytes, int chunk_rows) {
  return Dots<Format>::Input::bytes(static_cast<int>(n_in)) + staged_bytes(chunk_rows * row_bytes) +
         static_cast<int>(sizeof(DownSlot));
}
constexpr int kDownExtraBytes = 16;

template <class Format>
void launch_down(Down task, int64_t n_token, const Queue& queue) {
  const int64_t per_token = std::max<int64_t>(1, queue.n_multiprocessor() / n_token);
  const int64_t rows = (task.down.n_out + per_token - 1) / per_token;
  task.chunk_rows = static_cast<int>(std::clamp<int64_t>(rows, 1, kWarps));
  task.n_chunk = static_cast<int>((task.down.n_out + task.chunk_rows - 1) / task.chunk_rows);
  const int each = down_slot_bytes<Format>(task.down.n_in, task.down.row_bytes, task.chunk_rows);
  task.n_at_once = std::clamp((most_at_once(queue) - kDownExtraBytes) / each, 1, task.slots.n_slot());
  const int bytes = task.n_at_once * each + kDownExtraBytes;
  const auto kernel = few_down_kernel<Format>;
  allow_shared(kernel, static_cast<size_t>(bytes), queue);
  launch_early(kernel, n_blocks(n_token * task.n_chunk, 1), kThreads, static_cast<size_t>(bytes), queue,
               task);
}

}  // namespace

bool down_fits(Type type, int64_t n_in, const Queue& queue) {
  const auto bytes = static_cast<int64_t>(row_bytes(type, n_in));
  return with_gpu_type(type, [&]<class Format>() {
    return down_slot_bytes<Format>(n_in, bytes, kWarps) + kDownExtraBytes <= most_at_once(queue);
  });
}

void down(const ExpertsDesc& d, const ExpertsArgs& args, bool with_shared, const float* hidden,
          const Queue& queue) {
  const Down task{.down = FewStack(d.down, with_shared ? d.shared.down : Linear{}),
                  .slots = {ExpertSlots(d, args.routing), with_shared},
                  .chunk_rows = 0,
                  .n_chunk = 0,
                  .n_at_once = 0,
                  .hidden = hidden,
                  .x = args.x.data(),
                  .x_stride = args.x.stride(),
                  .out = args.out.data(),
                  .out_stride = args.out.stride()};
  const int64_t n_token = args.x.n_rows();
  with_gpu_type(d.down.formats[0].type, [&]<class Format>() { launch_down<Format>(task, n_token, queue); });
}

}  // namespace sw::cuda
