// SPDX-License-Identifier: MIT
// Multi-head latent attention in its absorbed form, for any number of tokens: queries go over to the latent's
// side through k_b, attention runs over the cached latents themselves, and v_b makes heads of what it gives.
#include <algorithm>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/mla/mla_attend.cuh"
#include "kernels/cuda/mla/mla_finish.cuh"
#include "kernels/cuda/mla/mla_half.h"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/queue.h"

namespace sw {
namespace cuda {
namespace {

/// Heads of tokens that are attended at once; more are taken in parts. It bounds the scratch: each has
/// kv_rank floats.
constexpr int64_t kMostLatentRows = 16384;
constexpr int64_t kMlaBlocks = 512, kMaxMlaSplits = 64;
/// Blocks of tokens that are each split as if alone.
constexpr int64_t kMostMlaParts = 1024;

/// Splits of the keys of `n_token` tokens that are attended at once. Where their number must not matter,
/// those of a single token.
int n_split(const MlaDesc& d, int64_t n_token) {
  const int64_t n_sharing = d.bound.row_invariant ? 1 : n_token,
                n_chunk = MlaTask{.n_head = d.n_head}.n_chunk();
  return static_cast<int>(std::clamp<int64_t>(kMlaBlocks / (n_sharing * n_chunk), 1, kMaxMlaSplits));
}

/// Tokens that are attended at once.
int64_t most_at_once(const MlaDesc& d) {
  const int n = n_split(d, 1);
  if (!d.bound.row_invariant || n == 1) return std::max<int64_t>(kMostLatentRows / d.n_head, 1);
  return kMostMlaParts / (int64_t{n} * MlaTask{.n_head = d.n_head}.n_chunk());
}

/// Rows of partial results, which there are with more than one split.
int64_t n_part(const MlaDesc& d) { return (d.bound.row_invariant ? kMostMlaParts : kMlaBlocks) * kMlaHeads; }

const char* refuses(const MlaDesc& d) {
  if (d.kv_rank > kMaxLatent || d.rope.n_rot > kMaxMlaRot) return "latents of more than 512 + 64";
  for (const int width : {d.kv_rank, d.rope.n_rot, d.nope_dim, d.value_dim}) {
    if (width <= 0 || width % 8 != 0) return "a width of the heads or of the latent is no multiple of 8";
  }
  return nullptr;
}

struct Buffers {
  template <class Take>
  Buffers(const MlaDesc& d, int64_t n_token, int, Take& take) {
    normed = take_rows(take, n_token, d.kv_a.n_in());
    if (!d.q_a.empty()) q_a = take_rows(take, n_token, d.q.n_in());
    queries = take_rows(take, n_token, d.q.n_out());
    kv = take_rows(take, n_token, d.kv_a.n_out());
    heads = take_rows(take, n_token, d.out.n_in());
    take(latents, std::min(n_token, most_at_once(d)) * d.n_head * d.kv_rank);
    take(parts, n_part(d) * (d.kv_rank + kPartTail));
    const bool invariant = d.bound.row_invariant;
    int64_t n_room = 0;
    for (const Linear* linear : {&d.q_a, &d.q, &d.kv_a, &d.out})
      n_room = std::max(n_room, linear_room(*linear, n_token, invariant));
    for (const Linear* linear : {&d.k_b, &d.v_b})
      n_room = std::max(n_room, linear_room(*linear, std::min(n_token, most_at_once(d)), invariant));
    take(room, n_room);
  }
  TensorView<float> normed = {}, q_a = {}, queries = {}, kv = {}, heads = {};
  float* latents = nullptr;  ///< [most_at_once() at most, n_head, kv_rank]
  float* parts = nullptr;
  uint16_t* room = nullptr;  ///< for inputs of a product
};

template <class Element>
void finish(const MlaDesc& d, const MlaArgs& args, const Buffers& b, OpContext& context) {
  const MlaFinishTask task{.queries = b.queries.data(),
                           .kv = b.kv.data(),
                           .batch = args.batch,
                           .cache = args.kv,
                           .n_head = d.n_head,
                           .query_dim = static_cast<int>(d.query_dim()),
                           .kv_rank = d.kv_rank,
                           .rope = d.rope,
                           .eps = d.latent_eps,
                           .latent_scale = d.latent_scale,
                           .kv_norm = d.kv_a_norm};
  mla_finish_kernel<Element>
      <<<n_blocks(args.batch.n_token, 1), kMlaFinishThreads, 0, context.cuda->stream()>>>(task);
  SW_CUDA_LAUNCHED();
}

template <class Element>
void attend(const MlaTask& task, OpContext& context) {
  const auto kernel = mla_attend_kernel<Element>;
  constexpr MlaTask kWidest{.n_rot = kMaxMlaRot, .kv_rank = kMaxLatent};
  allow_shared(kernel, kWidest.shared_bytes(), *context.cuda);
  const int64_t n_token = task.batch.n_token;
  const unsigned blocks = n_blocks(n_token * task.n_chunk() * task.n_split, 1);
  kernel<<<blocks, kMlaThreads, task.shared_bytes(), context.cuda->stream()>>>(task);
  SW_CUDA_LAUNCHED();
  if (task.n_split == 1) return;
  mla_combine_kernel<<<n_blocks(n_token * task.n_head, 1), kMlaThreads, 0, context.cuda->stream()>>>(task);
  SW_CUDA_LAUNCHED();
}

/// Tokens [begin, begin + n), whose keys are all cached, from their queries to their heads' values.
template <class Element>
void attend_part(const MlaDesc& d, const MlaArgs& args, const Buffers& b, int64_t begin, int64_t n,
                 OpContext& context) {
  MlaTask task{.latents = b.latents,
               .queries = b.queries.row(begin),
               .batch = tokens_of(args.batch, begin, n, d.rope),
               .kv = args.kv,
               .n_head = d.n_head,
               .query_dim = static_cast<int>(d.query_dim()),
               .n_rot = d.rope.n_rot,
               .kv_rank = d.kv_rank,
               .scale = d.q_scale * d.softmax_scale * kLog2E,
               .parts = b.parts};
  const HeadRows latents{b.latents, int64_t{d.n_head} * d.kv_rank, d.kv_rank};
  linear_heads(d.k_b, n, {b.queries.row(begin), b.queries.stride(), task.query_dim}, latents,
               d.bound.row_invariant, b.room, context);
  if (std::is_same_v<Element, __half> && !d.bound.row_invariant) {
    attend_half_latents(task, d.rope, n_part(d), context);
  } else {
    task.n_split = n_split(d, n);
    attend<Element>(task, context);
  }
  linear_heads(d.v_b, n, latents, {b.heads.row(begin), b.heads.stride(), d.value_dim}, d.bound.row_invariant,
               b.room, context);
}

template <class Element>
void attend_all(const MlaDesc& d, const MlaArgs& args, const Buffers& b, OpContext& context) {
  finish<Element>(d, args, b, context);
  const int64_t n_token = args.batch.n_token, n_most = most_at_once(d);
  for (int64_t begin = 0; begin < n_token; begin += n_most)
    attend_part<Element>(d, args, b, begin, std::min(n_most, n_token - begin), context);
}

void run(const MlaDesc& d, const MlaArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  if (n_token == 0) return;
  SW_ASSERT(args.batch.n_token == n_token);
  SW_ASSERT(args.kv.type == Type::F16 || args.kv.type == Type::F32);
  const Buffers b(d, n_token, 1, context.scratch);
  const LinearOptions options{.row_invariant = d.bound.row_invariant, .room = b.room};
  rms_norm(args.x, nullptr, d.norm, d.rms_eps, b.normed, context);
  if (!d.q_a.empty()) {
    linear(d.q_a, b.normed, b.q_a, options, context);
    rms_norm(b.q_a, nullptr, d.q_a_norm, d.latent_eps, b.q_a, context);
  }
  linear(d.q, d.q_a.empty() ? b.normed : b.q_a, b.queries, options, context);
  linear(d.kv_a, b.normed, b.kv, options, context);
  const auto attend_in = args.kv.type == Type::F16 ? attend_all<__half> : attend_all<float>;
  attend_in(d, args, b, context);
  linear(d.out, b.heads, args.x, {.row_invariant = d.bound.row_invariant, .add = true, .room = b.room},
         context);
}

}  // namespace
}  // namespace cuda

extern const MlaKernel cuda_mla;
const MlaKernel cuda_mla{.name = "cuda_mla",
                         .refuses = cuda::refuses,
                         .scratch_bytes = scratch_of<cuda::Buffers>,
                         .run = cuda::run,
                         .device = DeviceKind::Cuda};

}  // namespace sw
