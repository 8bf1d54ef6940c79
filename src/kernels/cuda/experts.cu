// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/experts_exact.h"
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/experts_sorted.h"
#include "kernels/cuda/few/experts.h"
#include "kernels/cuda/few/stream.h"
#include "kernels/cuda/ffn.h"

/// Few tokens: each (token, slot) pair for itself. Else pairs sorted by expert: streams of weights as long as
/// an expert has few tokens, then products of tiles on the tensor cores. Which experts were read is known on
/// the GPU alone, so the counters of expert_bytes and expert_flops stay as they are.
namespace sw {
namespace cuda {
namespace {

/// More tokens are taken in parts: it bounds the scratch.
constexpr int64_t kMostSortedTokens = 4096;
constexpr int kMostSlots = 1024;

/// Up to here weights are streamed, from so many tokens on: measured on an H200 with 8 of 256 experts.
constexpr int64_t kLeastStreamTokens = 9, kMostStreamTokens = 64;

bool one_format(const ExpertsDesc& d) {
  return d.gate.formats.size() == 1 && d.up.formats.size() == 1 &&
         d.gate.formats[0].type == d.up.formats[0].type && d.down.formats.size() == 1;
}

const char* refuses(const ExpertsDesc& d) {
  if (d.n_expert() > kMostSortedExperts) return "more than 4000 experts";
  return d.n_slot <= kMostSlots ? nullptr : "more than 1024 experts per token";
}

size_t scratch_bytes(const ExpertsDesc& d, int64_t n_token, int) {
  const int64_t n_few = std::min(n_token, kMostPairTokens);
  return std::max({few_experts_scratch_bytes(d, n_few), exact_experts_scratch_bytes(d, n_few),
                   stream_scratch_bytes(d, std::min(n_token, kMostStreamTokens)),
                   sorted_scratch_bytes(d, std::min(n_token, kMostSortedTokens)),
                   d.shared.gate.empty() ? 0 : ffn_scratch_bytes(d.shared, n_token)});
}

void run_in_parts(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  for (int64_t begin = 0; begin < n_token; begin += kMostSortedTokens) {
    const int64_t n = std::min(kMostSortedTokens, n_token - begin);
    Routing routing{
        .ids = args.routing.ids.rows(begin, n),
        .weights = args.routing.weights.rows(begin, n),
        .n_active = args.routing.n_active.subspan(static_cast<size_t>(begin), static_cast<size_t>(n))};
    run_sorted(d, {.x = args.x.rows(begin, n), .routing = routing, .out = args.out.rows(begin, n)},
               d.bound.row_invariant, context);
  }
}

void run(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  if (n_token == 0) return;
  bool has_shared = !d.shared.gate.empty();
  if (d.n_slot == 0) {
    // The policies of this model route to nobody.
  } else if (d.bound.row_invariant) {
    n_token <= kMostPairTokens&& one_format(d) ? run_experts_exact(d, args, context)
                                               : run_in_parts(d, args, context);
  } else if (n_token >= kLeastStreamTokens && n_token <= kMostStreamTokens && one_format(d) &&
             can_stream_experts(d, *context.cuda)) {
    run_experts_stream(d, args, context);
    has_shared = has_shared && !fuses_shared(d);
  } else if (one_format(d) && can_run_experts_few(d, n_token, *context.cuda)) {
    run_experts_few(d, args, context);
    has_shared = has_shared && !fuses_shared(d);
  } else {
    run_in_parts(d, args, context);
  }
  if (!has_shared) return;
  context.scratch.reset();  // the experts have been queued
  FfnDesc shared = d.shared;
  shared.bound = d.bound;
  run_ffn(shared, {.x = args.x, .out = args.out}, context);
}

}  // namespace
}  // namespace cuda

extern const ExpertsKernel cuda_experts;
const ExpertsKernel cuda_experts{"cuda_experts",      Isa::Scalar, cuda::refuses,
                                 cuda::scratch_bytes, cuda::run,   DeviceKind::Cuda};

}  // namespace sw
