// SPDX-License-Identifier: MIT
// Compiled without contraction of a * b + c: the router's bits are fixed.
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/route/route.h"
#include "kernels/cuda/route/route_row.h"
#include "kernels/cuda/warp.cuh"

namespace sw {
namespace cuda {
namespace {

/// The lanes of a warp, which is a block of its own.
struct WarpTeam {
  __device__ int lane() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return kWarp; }
  __device__ void sync() const { __syncwarp(); }
  __device__ uint32_t max(uint32_t x) const { return __reduce_max_sync(kAllLanes, x); }
  __device__ uint32_t min(uint32_t x) const { return __reduce_min_sync(kAllLanes, x); }
  __device__ uint32_t sum(uint32_t x) const { return __reduce_add_sync(kAllLanes, x); }
  __device__ float sum(float x) const { return lane_sum(x); }
  __device__ void count(uint64_t& counter) const {
    atomicAdd(reinterpret_cast<unsigned long long*>(&counter), 1ull);
  }
  __device__ void add(double& total, double x) const { atomicAdd(&total, x); }
};

struct RouteTask {
  RouterSpec spec;
  PolicyRows policies;
  int moe_layer;
  const uint16_t* policy_id;
  TensorView<const float> logits;
  const float* bias;
  TensorView<int32_t> ids;
  TensorView<float> weights;
  int32_t* n_active;
  RouteCounts counts;
};

/// Slots that a row can need: a token has no more experts than there are.
int64_t n_slot_used(const RouterSpec& spec, int64_t n_slot) {
  return std::min<int64_t>(n_slot, spec.n_logits());
}

/// One block of one warp per token: a token's work is short, and many blocks hide each other's waits.
template <bool kCounts>
__global__ void __launch_bounds__(kWarp) route_kernel(const RouteTask task, int n_slot_used) {
  extern __shared__ std::byte memory[];
  const RouteMemory m = route_memory(memory, task.spec, n_slot_used);
  const int64_t token = blockIdx.x;
  const uint16_t policy = task.policy_id[token];
  route_row(WarpTeam(), task.spec, task.policies.at(policy, task.moe_layer),
            task.policies.mask(policy, task.moe_layer), task.logits.row(token), task.bias, m,
            {task.ids.row(token), task.weights.row(token), task.n_active + token,
             static_cast<int>(task.ids.n_cols())},
            kCounts ? task.counts : RouteCounts{});
}

}  // namespace

void route_rows(const RouterSpec& spec, const PolicyRows& policies, int moe_layer, const uint16_t* policy_id,
                TensorView<const float> logits, const float* bias, Routing& out, const RouteCounts& counts,
                Queue& queue) {
  SW_ASSERT(logits.n_cols() == spec.n_logits() && spec.n_logits() <= kMaxRouterLogits);
  SW_ASSERT(out.n_tokens() == logits.n_rows());
  if (logits.n_rows() == 0) return;
  const int64_t n_slot = n_slot_used(spec, out.ids.n_cols());
  const auto shared_bytes = static_cast<size_t>(route_memory_bytes(spec, n_slot));
  const RouteTask task{spec, policies, moe_layer,   policy_id,           logits,
                       bias, out.ids,  out.weights, out.n_active.data(), counts};
  const auto kernel = counts.wanted() ? route_kernel<true> : route_kernel<false>;
  kernel<<<n_blocks(logits.n_rows(), 1), kWarp, shared_bytes, queue.stream()>>>(task,
                                                                                static_cast<int>(n_slot));
  SW_CUDA_LAUNCHED();
}

namespace {

const char* refuses(const RouteDesc& d) {
  return d.spec.n_logits() > kMaxRouterLogits ? "more experts than a GPU's block has room for" : nullptr;
}

void run(const RouteDesc& d, const RouteArgs& args, OpContext& context) {
  rms_norm(args.x, nullptr, d.norm, d.rms_eps, args.normed, context);
  linear(d.router, args.normed, args.logits, {.row_invariant = d.bound.row_invariant, .bias = d.logit_bias},
         context);
  route_rows(d.spec, args.policies, d.moe_layer, args.batch.policy, args.logits, d.bias, args.routing,
             args.counts, *context.cuda);
}

}  // namespace
}  // namespace cuda

extern const RouteKernel cuda_route;
const RouteKernel cuda_route{
    .name = "cuda_route", .refuses = cuda::refuses, .run = cuda::run, .device = DeviceKind::Cuda};

}  // namespace sw
