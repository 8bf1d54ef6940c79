// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/route/route_row.h"
#include "kernels/cuda/warp.cuh"

/// The choice for routers of few experts, of which each thread of a block has one in its registers: a lone
/// warp that walks through shared memory waits for every step, and there are ten times as many. Bits and
/// order are those of route_choose().
namespace sw::cuda {

inline constexpr int kNarrowWarps = 8, kNarrowExperts = kNarrowWarps * kWarp;

/// Whether groups, where there are any, are made of whole warps.
inline bool narrow(const RouteShape& shape) {
  return shape.n_logits() <= kNarrowExperts &&
         (!shape.has_groups() || (shape.n_member % kWarp == 0 && shape.n_expert_zero == 0));
}
/// Whether a policy drops no slot for its weight, and has a lane per slot.
__device__ __forceinline__ bool narrow(const LayerPolicy& policy) {
  return policy.k <= kWarp && policy.min_k >= policy.k;
}

/// A block's memory beside RouteMemory.
struct alignas(16) NarrowMemory {
  uint32_t best_two[2 * kNarrowWarps];  ///< of each warp
  uint32_t segment_best[kWarp];         ///< of each kSegment threads
  uint32_t n_candidate;
};
inline constexpr int kSegment = kNarrowExperts / kWarp;

/// The key, or 0 where the thread's group is not among the best. Has a barrier.
__device__ __forceinline__ uint32_t key_in_groups(uint32_t key, const RouteShape& shape,
                                                  NarrowMemory& memory) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t best = __reduce_max_sync(kAllLanes, key);
  const int first = __ffs(__ballot_sync(kAllLanes, key == best)) - 1;
  const uint32_t second = __reduce_max_sync(kAllLanes, lane == first ? 0 : key);
  if (lane == 0) memory.best_two[2 * warp] = best;
  if (lane == 1) memory.best_two[2 * warp + 1] = second;
  __syncthreads();
  const int n_part = shape.n_member / kWarp, g = static_cast<int>(threadIdx.x * shape.inverse >> 32);
  float score = kRouteNever;
  if (lane < shape.n_group)
    score = route_group_score(shape.group_score, memory.best_two + 2 * lane * n_part, n_part);
  const float mine = __shfl_sync(kAllLanes, score, g);
  const unsigned better =
      __ballot_sync(kAllLanes, lane < shape.n_group && (score > mine || (score == mine && lane < g)));
  return __popc(better) < shape.n_group_used ? key : 0;
}

/// As route_least_key(), of the block's segments. Has a barrier.
__device__ __forceinline__ uint32_t narrow_least_key(uint32_t key, int k, NarrowMemory& memory) {
  const int lane = threadIdx.x % kWarp;
  uint32_t best = key;
#pragma unroll
  for (int distance = kSegment / 2; distance > 0; distance /= 2)
    best = max(best, __shfl_xor_sync(kAllLanes, best, distance));
  if (threadIdx.x % kSegment == 0) memory.segment_best[threadIdx.x / kSegment] = best;
  __syncthreads();
  best = memory.segment_best[lane];
  int n_better[4] = {};
#pragma unroll
  for (int l = 0; l < kWarp; ++l) n_better[l % 4] += memory.segment_best[l] > best ? 1 : 0;
  const bool among = (n_better[0] + n_better[1]) + (n_better[2] + n_better[3]) < k;
  return ~__reduce_max_sync(kAllLanes, among ? ~best : 0);
}

/// A slot, in the lane of its rank by selection score; lanes from n_slot on have none.
struct NarrowSlot {
  int32_t id;
  float weight;
};

/// The experts whose keys reach `least`, by rank, for the first warp; the others' slots mean nothing. Has a
/// barrier.
__device__ __forceinline__ NarrowSlot narrow_slots(uint32_t key, uint32_t least, int k, const RouteMemory& m,
                                                   NarrowMemory& memory, int& n_slot) {
  const int lane = threadIdx.x % kWarp;
  const bool wanted = key != 0 && key >= least;
  const unsigned lanes = __ballot_sync(kAllLanes, wanted);
  uint32_t at = 0;
  if (lane == 0 && lanes != 0) at = atomicAdd(&memory.n_candidate, static_cast<uint32_t>(__popc(lanes)));
  at = __shfl_sync(kAllLanes, at, 0) + __popc(lanes & ((1u << lane) - 1));
  if (wanted) m.candidates[at] = route_entry(key, static_cast<int>(threadIdx.x));
  __syncthreads();
  const int n = static_cast<int>(memory.n_candidate);
  n_slot = min(k, n);
  if (threadIdx.x >= kWarp) return {};
  for (int c = lane; c < n; c += kWarp) {
    const uint64_t entry = m.candidates[c];
    int rank = 0;
#pragma unroll 4
    for (int j = 0; j < n; ++j) rank += m.candidates[j] > entry ? 1 : 0;
    if (rank < k) m.ids[rank] = route_entry_id(entry);
  }
  __syncwarp();
  NarrowSlot slot{.id = lane < n_slot ? m.ids[lane] : -1, .weight = 0};
  if (lane < n_slot) slot.weight = m.scores[slot.id];
  return slot;
}

/// weight / (sum + eps), the sum by rank; weights that are all 0 stay so.
__device__ __forceinline__ float narrow_share(float weight, int n_slot, float eps) {
  float sum = 0.0f;
#pragma unroll 8
  for (int i = 0; i < n_slot; ++i) sum += __shfl_sync(kAllLanes, weight, i);
  sum += eps;
  return sum == 0.0f ? weight : weight / sum;
}

__device__ __forceinline__ float narrow_weight(float weight, const RouterSpec& spec,
                                               const LayerPolicy& policy, int n_slot) {
  const int lane = threadIdx.x % kWarp;
  if (spec.score == Score::SoftmaxSelected) {
    const uint32_t largest = __reduce_max_sync(kAllLanes, lane < n_slot ? route_key(weight) : 0);
    if (lane < n_slot) weight = exp_exact(weight - route_unkey(largest));
    weight = narrow_share(weight, n_slot, 0.0f);
  }
  if (spec.renorm && policy.k >= spec.renorm_min_k) weight = narrow_share(weight, n_slot, spec.renorm_eps);
  return weight * spec.scale;
}

/// As route_choose(), by a block of kNarrowWarps warps whose threads have made the scores of one expert each.
/// n_candidate is 0, and a barrier ago.
template <class Team>
__device__ __forceinline__ void narrow_choose(const Team& first_warp, const RouteShape& shape,
                                              const LayerPolicy& policy, const RouteMemory& m,
                                              NarrowMemory& memory, const RouteRow& out,
                                              const RouteCounts& counts) {
  const int k = min(policy.k, out.n_slot), lane = threadIdx.x % kWarp;
  uint32_t key = static_cast<int>(threadIdx.x) < shape.n_logits() ? m.keys[threadIdx.x] : 0;
  if (policy.grouped()) key = key_in_groups(key, shape, memory);
  const uint32_t least = narrow_least_key(key, k, memory);
  int n_slot = 0;
  NarrowSlot slot = narrow_slots(key, least, k, m, memory, n_slot);
  if (threadIdx.x >= kWarp) return;
  slot.weight = narrow_weight(slot.weight, shape, policy, n_slot);
  int rank = 0;
#pragma unroll 8
  for (int j = 0; j < n_slot; ++j) {
    const float weight = __shfl_sync(kAllLanes, slot.weight, j);
    const int32_t id = __shfl_sync(kAllLanes, slot.id, j);
    rank += weight > slot.weight || (weight == slot.weight && id < slot.id) ? 1 : 0;
  }
  if (lane < n_slot) {
    out.ids[rank] = slot.id;
    out.weights[rank] = slot.weight;
  }
  for (int i = n_slot + lane; i < out.n_slot; i += kWarp) {
    out.ids[i] = -1;
    out.weights[i] = 0.0f;
  }
  if (lane == 0) *out.n_active = n_slot;
  if (!counts.wanted()) return;
  if (lane < n_slot) m.weights[lane] = slot.weight;
  __syncwarp();
  route_count(first_warp, n_slot, m, counts);
}

}  // namespace sw::cuda
