// SPDX-License-Identifier: MIT
#include "kernels/clamped_swiglu.h"
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

/// The slots of a batch ordered by expert: one run of rows an expert that some token chose. A row is one
/// (token, slot) pair; slots without a real expert have none, so they cost nothing.
struct ExpertRuns {
  struct Run {
    int32_t expert;
    int64_t begin, end;  ///< rows
  };
  Run* runs = nullptr;
  int64_t n_run = 0;
  int64_t n_row = 0;
  int32_t* token = nullptr;   ///< [n_row] the row's token
  int32_t* row_of = nullptr;  ///< [n_token, n_slot] -> row, or -1

  static size_t scratch_bytes(int64_t n_token, int64_t n_slot, int64_t n_expert) {
    return Scratch::padded_bytes(sizeof(Run) * static_cast<size_t>(n_expert)) +
           2 * Scratch::padded_bytes(sizeof(int32_t) * static_cast<size_t>(n_token * n_slot)) +
           Scratch::padded_bytes(sizeof(int64_t) * static_cast<size_t>(n_expert));
  }
};

/// Counting sort by expert; tokens stay in order within a run. Identity experts, experts of other devices
/// and unused slots (-1) are left out by their id, never by their weight.
ExpertRuns sort_by_expert(const ExpertsDesc& d, const Routing& routing, Scratch& scratch) {
  const int64_t n_token = routing.n_tokens(), n_slot = d.n_slot, n_expert = d.gate.weight.shape[0];
  ExpertRuns r;
  r.runs = scratch.take<ExpertRuns::Run>(n_expert);
  r.token = scratch.take<int32_t>(n_token * n_slot);
  r.row_of = scratch.take<int32_t>(n_token * n_slot);
  int64_t* next = scratch.take<int64_t>(n_expert);
  std::fill_n(next, n_expert, 0);
  for (int64_t t = 0; t < n_token; ++t) {
    for (int64_t s = 0; s < routing.n_active[static_cast<size_t>(t)]; ++s) {
      const int32_t place = d.place(routing.ids.at(t, s));
      if (place >= 0) ++next[place];
    }
  }
  for (int64_t e = 0; e < n_expert; ++e) {
    const int64_t count = next[e];
    next[e] = r.n_row;
    if (count > 0) r.runs[r.n_run++] = {static_cast<int32_t>(e), r.n_row, r.n_row + count};
    r.n_row += count;
  }
  for (int64_t t = 0; t < n_token; ++t) {
    for (int64_t s = 0; s < n_slot; ++s) {
      const bool used = s < routing.n_active[static_cast<size_t>(t)];
      const int32_t place = used ? d.place(routing.ids.at(t, s)) : -1;
      r.row_of[t * n_slot + s] = place >= 0 ? static_cast<int32_t>(next[place]) : -1;
      if (place >= 0) r.token[next[place]++] = static_cast<int32_t>(t);
    }
  }
  return r;
}

const char* refuses(const ExpertsDesc&) { return nullptr; }

size_t scratch_bytes(const ExpertsDesc& d, int64_t n_token, int) {
  const int64_t n_row = n_token * d.n_slot;
  const auto f32 = [&](int64_t n_col) {
    return Scratch::padded_bytes(static_cast<size_t>(n_row * n_col) * sizeof(float));
  };
  return ExpertRuns::scratch_bytes(n_token, d.n_slot, d.gate.weight.shape[0]) +
         packed_bytes(d.gate, n_token) + packed_bytes(d.up, n_token) + 2 * f32(d.gate.n_out()) +
         packed_bytes(d.down, n_row) + f32(d.down.n_out());
}

/// One product for every run: tasks are (run, block of weight rows). `act_rows` gives a row's packed
/// activation, or null where rows have their own.
void multiply_runs(const Linear& linear, const ExpertRuns& runs, WorkQueue& queue, int n_thread,
                   const std::byte* packed, const int32_t* act_rows, float* out) {
  const int64_t n_out = linear.n_out();
  const int64_t step = rows_per_task(n_out * runs.n_run, n_thread);
  const int64_t n_block = (n_out + step - 1) / step;
  const size_t act_bytes = linear.matmul->act_bytes(linear.n_in());
  queue.drain(n_block * runs.n_run, [&](int64_t task) {
    const ExpertRuns::Run& run = runs.runs[task / n_block];
    const int64_t begin = task % n_block * step;
    const std::byte* acts = act_rows ? packed : packed + act_bytes * static_cast<size_t>(run.begin);
    multiply(linear, linear.weight.expert(run.expert), {begin, std::min(begin + step, n_out)}, acts,
             act_rows ? act_rows + run.begin : nullptr, run.end - run.begin, out + run.begin * n_out, n_out);
  });
}

/// out[t, cols] += sum over the token's slots, in slot order, of weight * expert output; identity experts
/// add their weights to one coefficient of the token's own input.
void combine(const ExpertsDesc& d, const ExpertsArgs& args, const ExpertRuns& runs, const float* y, int64_t t,
             Range cols, float* sum, const VectorKernel& vector) {
  const int64_t n_embd = d.down.n_out();
  std::fill_n(sum, cols.size(), 0.0f);
  float identity = 0.0f;
  for (int64_t s = 0; s < args.routing.n_active[static_cast<size_t>(t)]; ++s) {
    const float weight = args.routing.weights.at(t, s);
    const int32_t row = runs.row_of[t * d.n_slot + s];
    if (row >= 0) {
      vector.add_scaled(sum, weight, y + row * n_embd + cols.begin, cols.size());
      if (!d.down_bias) continue;
      const float* bias = d.down_bias + d.place(args.routing.ids.at(t, s)) * n_embd;
      vector.add_scaled(sum, weight, bias + cols.begin, cols.size());
    } else if (d.identity && args.routing.ids.at(t, s) >= d.n_expert()) {
      identity += weight;
    }
  }
  if (identity != 0.0f) vector.add_scaled(sum, identity, args.x.row(t) + cols.begin, cols.size());
  vector.add_scaled(args.out.row(t) + cols.begin, 1.0f, sum, cols.size());
}

/// Biases and the activation of a row of an expert, into `gate`.
void activate(const ExpertsDesc& d, int64_t place, float* gate, float* up, const VectorKernel& vector) {
  const int64_t n_ff = d.gate.n_out();
  if (d.gate_bias) vector.add_scaled(gate, 1.0f, d.gate_bias + place * n_ff, n_ff);
  if (d.up_bias) vector.add_scaled(up, 1.0f, d.up_bias + place * n_ff, n_ff);
  if (d.swiglu_limit > 0) {
    clamped_swiglu(gate, up, d.swiglu_limit, n_ff);
  } else {
    vector.silu_mul(gate, up, n_ff, gate);
  }
}

void run(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  const int64_t n_ff = d.gate.n_out(), n_embd = d.down.n_out();
  Scratch& scratch = context.scratch;
  const ExpertRuns runs = sort_by_expert(d, args.routing, scratch);
  std::byte* packed_gate = take_packed(d.gate, n_token, scratch);
  std::byte* packed_up = same_packing(d.gate, d.up) ? packed_gate : take_packed(d.up, n_token, scratch);
  float* gate = scratch.take<float>(runs.n_row * n_ff);
  float* up = scratch.take<float>(runs.n_row * n_ff);
  std::byte* packed_hidden = take_packed(d.down, runs.n_row, scratch);
  float* y = scratch.take<float>(runs.n_row * n_embd);
  WorkQueue gate_queue, up_queue, down_queue, combine_queue;
  constexpr int64_t kCombineCols = 256;
  const int64_t n_col_block = (n_embd + kCombineCols - 1) / kCombineCols;

  context.pool.run([&](ThreadPool::Team& team) {
    const Range tokens = team.share(n_token);
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
      pack_row(d.gate, args.x.row(t), t, packed_gate);
      if (packed_up != packed_gate) pack_row(d.up, args.x.row(t), t, packed_up);
    }
    team.barrier();
    multiply_runs(d.gate, runs, gate_queue, team.size(), packed_gate, runs.token, gate);
    multiply_runs(d.up, runs, up_queue, team.size(), packed_up, runs.token, up);
    team.barrier();
    const Range rows = team.share(runs.n_row);
    const ExpertRuns::Run* run = runs.runs;
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      while (run->end <= i) ++run;
      activate(d, run->expert, gate + i * n_ff, up + i * n_ff, context.vector);
      pack_row(d.down, gate + i * n_ff, i, packed_hidden);
    }
    team.barrier();
    multiply_runs(d.down, runs, down_queue, team.size(), packed_hidden, nullptr, y);
    team.barrier();
    float sum[kCombineCols];
    combine_queue.drain(n_token * n_col_block, [&](int64_t task) {
      const int64_t begin = task % n_col_block * kCombineCols;
      combine(d, args, runs, y, task / n_col_block, {begin, std::min(begin + kCombineCols, n_embd)}, sum,
              context.vector);
    });
  });
  for (const Linear* linear : {&d.gate, &d.up, &d.down}) {
    const WeightView one = linear->weight.expert(0);
    context.counters.expert_bytes += one.size_bytes() * static_cast<size_t>(runs.n_run);
    context.counters.expert_flops += linear_flops(one, runs.n_row);
  }
}

}  // namespace

extern const ExpertsKernel cpu_experts;
const ExpertsKernel cpu_experts{"cpu_experts", Isa::Scalar, refuses, scratch_bytes, run};

}  // namespace sw
