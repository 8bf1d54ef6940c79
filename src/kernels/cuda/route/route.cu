// SPDX-License-Identifier: MIT
// Compiled without contraction of a * b + c: the router's bits are fixed.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/route/route.h"
#include "kernels/cuda/route/route_narrow.cuh"
#include "kernels/cuda/route/route_row.h"
#include "kernels/cuda/route/router_product.h"
#include "kernels/cuda/route/router_tiles.h"
#include "kernels/cuda/warp.cuh"

namespace sw {
namespace cuda {
namespace {

/// The lanes of a block's first warp.
struct WarpTeam {
  __device__ int lane() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return kWarp; }
  __device__ void sync() const { __syncwarp(); }
  __device__ uint32_t max(uint32_t x) const { return __reduce_max_sync(kAllLanes, x); }
  __device__ uint32_t sum(uint32_t x) const { return __reduce_add_sync(kAllLanes, x); }
  __device__ float sum(float x) const { return lane_sum(x); }
  template <class Find>
  __device__ float once(Find&& find) const {
    const float value = find();
    sync();
    return value;
  }
  __device__ uint32_t place(bool wanted, uint32_t& n) const {
    const unsigned lanes = __ballot_sync(kAllLanes, wanted);
    const uint32_t at = n + __popc(lanes & ((1u << threadIdx.x) - 1));
    n += __popc(lanes);
    return at;
  }
  __device__ void count(uint64_t& counter) const {
    atomicAdd(reinterpret_cast<unsigned long long*>(&counter), 1ull);
  }
  __device__ void add(double& total, double x) const { atomicAdd(&total, x); }
};

/// All threads of a block, for the scores.
template <int kWarps>
struct BlockTeam {
  __device__ int lane() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return kWarps * kWarp; }
  __device__ void sync() const { __syncthreads(); }
  /// Once in a kernel: nothing guards its memory against the next use.
  __device__ uint32_t max(uint32_t x) const {
    __shared__ uint32_t of_warp[kWarps];
    x = __reduce_max_sync(kAllLanes, x);
    if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = x;
    __syncthreads();
    for (const uint32_t other : of_warp) x = ::max(x, other);
    return x;
  }
  /// By the first warp: all of them would take turns at the same reads. Once in a kernel.
  template <class Find>
  __device__ float once(Find&& find) const {
    __shared__ float value;
    if (threadIdx.x < kWarp) {
      const float mine = find();
      if (threadIdx.x == 0) value = mine;
    }
    sync();
    return value;
  }
};

struct RouteTask {
  RouteShape shape;
  PolicyRows policies;
  int moe_layer;
  const uint16_t* policy_id;
  TensorView<const float> logits;
  const float* bias;
  TensorView<int32_t> ids;
  TensorView<float> weights;
  int32_t* n_active;
  RouteCounts counts;
  int n_slot_used;  ///< slots that a row can need: a token has no more experts than there are
  bool narrow;      ///< narrow(shape)
};

/// A block per token. Its warps share the scores, each of which is a long chain of operations; they choose
/// together, or the first one does. Policies are not written by kernels and need not be waited for.
template <int kWarps, bool kCounts>
__global__ void __launch_bounds__(kWarps* kWarp) route_kernel(const RouteTask task) {
  extern __shared__ uint64_t memory[];
  const RouteMemory m = route_memory(reinterpret_cast<std::byte*>(memory), task.shape, task.n_slot_used);
  const int64_t token = blockIdx.x;
  const BlockTeam<kWarps> block;
  const uint16_t policy_id = task.policy_id[token];
  const LayerPolicy policy = task.policies.at(policy_id, task.moe_layer);
  const RouteRow out{task.ids.row(token), task.weights.row(token), task.n_active + token,
                     static_cast<int>(task.ids.n_cols())};
  const RouteCounts counts = kCounts ? task.counts : RouteCounts{};
  route_prepare(block, task.shape, task.bias, m);
  wait_for_previous();
  let_next_start();
  route_scores(block, task.shape, policy, task.policies.mask(policy_id, task.moe_layer),
               task.logits.row(token), task.bias != nullptr, m);
  if constexpr (kWarps == kNarrowWarps) {
    __shared__ NarrowMemory narrow_memory;
    if (task.narrow && narrow(policy)) {
      if (threadIdx.x == 0) narrow_memory.n_candidate = 0;
      narrow_choose(WarpTeam(), task.shape, policy, m, narrow_memory, out, counts);
      return;
    }
  }
  if (kWarps > 1) {
    __syncthreads();
    if (threadIdx.x >= kWarp) return;
  }
  route_choose(WarpTeam(), task.shape, policy, m, out, counts);
}

/// Up to here a token has many warps: there are multiprocessors enough, and the chain is shorter.
constexpr int64_t kMostWideTokens = 256;
constexpr int kWideWarps = kNarrowWarps;

}  // namespace

void route_rows(const RouterSpec& spec, const PolicyRows& policies, int moe_layer, const uint16_t* policy_id,
                TensorView<const float> logits, const float* bias, Routing& out, const RouteCounts& counts,
                Queue& queue) {
  SW_ASSERT(logits.n_cols() == spec.n_logits() && spec.n_logits() <= kMaxRouterLogits);
  SW_ASSERT(out.n_tokens() == logits.n_rows());
  const int64_t n_token = logits.n_rows();
  if (n_token == 0) return;
  const RouteTask task{.shape = RouteShape(spec),
                       .policies = policies,
                       .moe_layer = moe_layer,
                       .policy_id = policy_id,
                       .logits = logits,
                       .bias = bias,
                       .ids = out.ids,
                       .weights = out.weights,
                       .n_active = out.n_active.data(),
                       .counts = counts,
                       .n_slot_used = static_cast<int>(std::min<int64_t>(out.ids.n_cols(), spec.n_logits())),
                       .narrow = narrow(RouteShape(spec))};
  const auto shared_bytes = static_cast<size_t>(route_memory_bytes(task.shape, task.n_slot_used));
  const bool wide = n_token <= kMostWideTokens, counted = counts.wanted();
  const auto of_width = [&](auto with_counts, auto without) { return counted ? with_counts : without; };
  const auto kernel = wide ? of_width(route_kernel<kWideWarps, true>, route_kernel<kWideWarps, false>)
                           : of_width(route_kernel<1, true>, route_kernel<1, false>);
  launch_early(kernel, n_blocks(n_token, 1), (wide ? kWideWarps : 1) * kWarp, shared_bytes, queue, task);
}

namespace {

const char* refuses(const RouteDesc& d) {
  return d.spec.n_logits() > kMaxRouterLogits ? "more experts than a GPU's block has room for" : nullptr;
}

void run(const RouteDesc& d, const RouteArgs& args, OpContext& context) {
  if (!norm_and_multiply(d, args, context)) {
    rms_norm(args.x, nullptr, d.norm, d.rms_eps, args.normed, context);
    // Which experts are chosen should not hang on inputs rounded to bf16.
    const bool exact = d.bound.row_invariant || d.router.weight.type != Type::F32;
    linear(d.router, args.normed, args.logits, {.row_invariant = exact, .bias = d.logit_bias}, context);
  }
  route_rows(d.spec, args.policies, d.moe_layer, args.batch.policy, args.logits, d.bias, args.routing,
             args.counts, *context.cuda);
}

}  // namespace
}  // namespace cuda

extern const RouteKernel cuda_route;
const RouteKernel cuda_route{
    .name = "cuda_route", .refuses = cuda::refuses, .run = cuda::run, .device = DeviceKind::Cuda};

}  // namespace sw
