// SPDX-License-Identifier: MIT
#include "kernels/cuda/few/experts.h"
#include "kernels/cuda/few/parts.h"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/queue.h"

namespace sw::cuda {

bool fuses_shared(const ExpertsDesc& d) {
  const FfnDesc& shared = d.shared;
  const auto like = [](const Linear& one, const ExpertStack& stack) {
    return one.weight.type == stack.formats[0].type && one.n_out() == stack.n_out && one.n_in() == stack.n_in;
  };
  return !shared.gate.empty() && !shared.norm && !shared.gate_bias && !shared.up_bias && !shared.down_bias &&
         d.swiglu_limit == 0 && like(shared.gate, d.gate) && like(shared.up, d.up) &&
         like(shared.down, d.down);
}

bool can_run_experts_few(const ExpertsDesc& d, int64_t n_token, const Queue& queue) {
  return n_token <= kMostPairTokens && gate_up_fits(d.gate.formats[0].type, d.gate.n_in, queue) &&
         down_fits(d.down.formats[0].type, d.down.n_in, queue);
}

size_t few_experts_scratch_bytes(const ExpertsDesc& d, int64_t n_token) {
  const int64_t n_slot = d.n_slot + (fuses_shared(d) ? 1 : 0);
  return Scratch::padded_bytes(static_cast<size_t>(n_token * n_slot * d.gate.n_out) * sizeof(float));
}

void run_experts_few(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  const bool with_shared = fuses_shared(d);
  check_input(d.gate.formats[0].type, args.x);
  auto* hidden = context.scratch.take<float>(n_token * (d.n_slot + (with_shared ? 1 : 0)) * d.gate.n_out);
  if (with_shared) count_dense(context.counters, d.shared, n_token);
  gate_up(d, args, with_shared, hidden, *context.cuda);
  down(d, args, with_shared, hidden, *context.cuda);
}

}  // namespace sw::cuda
