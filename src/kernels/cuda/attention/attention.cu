// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/attention/attend_half.h"
#include "kernels/cuda/attention/attend_split.cuh"
#include "kernels/cuda/attention/attend_tasks.cuh"
#include "kernels/cuda/attention/attend_tiles.cuh"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/queue.h"

namespace sw {
namespace cuda {
namespace {

constexpr int kMaxGroup = 32;
/// Up to so many tokens the keys of each are split over blocks; with more, tiles of tokens fill the GPU.
constexpr int64_t kMostSplitTokens = 128;
constexpr int64_t kSplitBlocks = 512, kMaxSplits = 64;
/// Blocks of tokens that are each split as if alone: some tokens at once, and scratch of a few MiB.
constexpr int64_t kMostParts = 8192;
/// Heads that one warp's registers hold.
constexpr int kChunkHeads = 4;

int n_chunk(const AttentionDesc& d) {
  const int group = d.n_head / d.n_head_kv;
  return (group + kChunkHeads - 1) / kChunkHeads;
}

/// How the keys of a batch are split, and how many of its tokens are taken at once. Where their number must
/// not matter, the splits are those of a single token.
struct SplitPlan {
  SplitPlan(const AttentionDesc& d, int64_t n_batch) {
    const int64_t n_block = int64_t{d.n_head_kv} * n_chunk(d);  // of a token and a split
    const int64_t n_sharing = d.bound.row_invariant ? 1 : n_batch;
    n_split = static_cast<int>(std::clamp<int64_t>(kSplitBlocks / (n_sharing * n_block), 1, kMaxSplits));
    n_token = d.bound.row_invariant && n_split > 1 ? kMostParts / (n_block * n_split) : n_batch;
  }
  int n_split;
  int64_t n_token;
};

/// Floats of partial results, which there are with more than one split. Whether the cache is F16 is not known
/// here.
int64_t n_part(const AttentionDesc& d, int64_t n_token) {
  const int64_t n_row = (d.bound.row_invariant ? kMostParts : kSplitBlocks) * kChunkHeads,
                n_exact = n_row * (d.head_dim + 2);
  return d.bound.row_invariant ? n_exact : std::max(n_exact, n_half_part(d, n_token));
}

const char* refuses(const AttentionDesc& d) {
  if (d.value_dim != d.head_dim) return "value heads differ in width from key heads";
  if (d.head_dim < 16 || d.head_dim > kMaxHeadDim || d.head_dim % 8 != 0)
    return "the head width is no multiple of 8 from 16 to 256";
  if (d.n_head % d.n_head_kv != 0 || d.n_head / d.n_head_kv > kMaxGroup)
    return "more than 32 query heads a key head";
  return nullptr;
}

struct Buffers {
  template <class Take>
  Buffers(const AttentionDesc& d, int64_t n_token, int, Take& take) {
    normed = take_rows(take, n_token, d.qkv.n_in());
    qkv = take_rows(take, n_token, d.n_qkv());
    attended = take_rows(take, n_token, d.out.n_in());
    take(parts, n_part(d, n_token));
    int64_t n_room = 0;
    for (const Linear* linear : {&d.qkv, &d.k, &d.v, &d.out})
      n_room = std::max(n_room, linear_room(*linear, n_token, d.bound.row_invariant));
    take(room, n_room);
  }
  TensorView<float> normed = {}, qkv = {}, attended = {};
  float* parts = nullptr;
  uint16_t* room = nullptr;  ///< for inputs of a product
};

/// Whether the products of queries, keys and values norm their inputs themselves.
bool norms_inputs(const AttentionDesc& d, int64_t n_token, const OpContext& context) {
  const auto norms = [&](const Linear& linear) {
    return linear.empty() || norms_input(linear, n_token, d.bound.row_invariant, context);
  };
  return norms(d.qkv) && norms(d.k) && norms(d.v);
}

/// Queries, keys and values with their biases, next to each other, wherever their matrices are.
void multiply_qkv(const AttentionDesc& d, TensorView<const float> x, const InputNorm& norm, uint16_t* room,
                  TensorView<float> qkv, OpContext& context) {
  struct Part {
    const Linear& linear;
    const float* bias;
  };
  int64_t first = 0;
  for (const Part& part : {Part{d.qkv, d.qkv_bias}, Part{d.k, d.k_bias}, Part{d.v, d.v_bias}}) {
    if (part.linear.empty()) continue;
    const int64_t n_out = part.linear.n_out();
    linear(part.linear, x, {qkv.data() + first, qkv.n_rows(), n_out, qkv.stride()},
           {.row_invariant = d.bound.row_invariant, .bias = part.bias, .norm = norm, .room = room}, context);
    first += n_out;
  }
  SW_ASSERT(first == d.n_qkv());
}

/// One norm over all heads of the queries, one over all of the keys; finish() knows norms of single heads.
void norm_all_heads(const AttentionDesc& d, TensorView<float> qkv, OpContext& context) {
  const int64_t n_query = int64_t{d.n_head} * d.head_dim, n_key = int64_t{d.n_head_kv} * d.head_dim;
  const TensorView<float> queries(qkv.data(), qkv.n_rows(), n_query, qkv.stride());
  const TensorView<float> keys(qkv.data() + n_query, qkv.n_rows(), n_key, qkv.stride());
  rms_norm(queries, nullptr, d.qk_norm.q, d.rms_eps, queries, context);
  rms_norm(keys, nullptr, d.qk_norm.k, d.rms_eps, keys, context);
}

template <class Element>
void attend_split(const SplitTask& task, cudaStream_t stream) {
  const AttendTask& a = task.attend;
  const auto kernel = [&] {
    const bool wide = a.head_dim > 4 * kWarp;
    if (a.group() == 1) return wide ? attend_split_kernel<Element, 1, 2> : attend_split_kernel<Element, 1, 1>;
    return wide ? attend_split_kernel<Element, kChunkHeads, 2> : attend_split_kernel<Element, kChunkHeads, 1>;
  }();
  const unsigned blocks = n_blocks(a.batch.n_token * a.n_head_kv * task.n_chunk * task.n_split, 1);
  kernel<<<blocks, kSplitWarps * kWarp, 0, stream>>>(task);
  SW_CUDA_LAUNCHED();
  if (task.n_split == 1) return;
  const int n_thread = (a.head_dim + kWarp - 1) / kWarp * kWarp;
  combine_kernel<<<n_blocks(a.batch.n_token * a.n_head, 1), n_thread, 0, stream>>>(task);
  SW_CUDA_LAUNCHED();
}

template <int kDim>
void attend_tiles(const AttendTask& task, const Queue& queue) {
  constexpr size_t kBytes = TileShape<kDim>::kSharedBytes;
  const int n_most = tile_tokens<kDim>(task.group());
  const unsigned blocks = n_blocks(n_blocks(task.batch.n_token, n_most) * int64_t{task.n_head_kv}, 1);
  const auto kernel = attend_tiles_kernel<float, kDim>;
  allow_shared(kernel, kBytes, queue);
  kernel<<<blocks, kSide * kSide, kBytes, queue.stream()>>>(task);
  SW_CUDA_LAUNCHED();
}

/// All in f32: over a cache in F32, and where a token's bits must not depend on its batch.
template <class Element>
void attend(const AttentionDesc& d, const AttentionArgs& args, TensorView<float> qkv, float* parts,
            float* out, const Queue& queue) {
  const cudaStream_t stream = queue.stream();
  finish<Element>(finish_task(d, args, qkv.data()), stream);
  const AttendTask task = attend_task(d, args, qkv, out);
  const int64_t n_token = args.batch.n_token;
  if (n_token <= kMostSplitTokens || d.bound.row_invariant) {
    const SplitPlan plan(d, n_token);
    for (int64_t begin = 0; begin < n_token; begin += plan.n_token) {
      AttendTask part = task;
      part.queries += begin * task.query_stride;
      part.batch = tokens_of(task.batch, begin, std::min(plan.n_token, n_token - begin), d.rope);
      part.out += begin * task.n_head * task.head_dim;
      attend_split<Element>({part, plan.n_split, n_chunk(d), parts}, stream);
    }
  } else if constexpr (std::is_same_v<Element, float>) {
    if (d.head_dim <= 64) return attend_tiles<64>(task, queue);
    if (d.head_dim <= 128) return attend_tiles<128>(task, queue);
    attend_tiles<256>(task, queue);
  }
}

void attend(const AttentionDesc& d, const AttentionArgs& args, const Buffers& b, OpContext& context) {
  const bool is_half = args.kv.type == Type::F16;
  if (is_half && !d.bound.row_invariant)
    return attend_half(d, args, b.qkv, b.parts, b.attended.data(), context);
  const auto attend_in = is_half ? attend<__half> : attend<float>;
  attend_in(d, args, b.qkv, b.parts, b.attended.data(), *context.cuda);
}

void run(const AttentionDesc& d, const AttentionArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  if (n_token == 0) return;
  SW_ASSERT(args.batch.n_token == n_token);
  SW_ASSERT(args.kv.type == Type::F16 || args.kv.type == Type::F32);
  SW_ASSERT(args.kv.v_type == args.kv.type && args.kv.v_page_stride_bytes == args.kv.page_stride_bytes &&
            args.kv.v_head_stride_bytes == args.kv.head_stride_bytes);  // the kernels read both alike
  const Buffers b(d, n_token, 1, context.scratch);
  if (norms_inputs(d, n_token, context)) {
    multiply_qkv(d, args.x, {d.norm, d.rms_eps}, b.room, b.qkv, context);
  } else {
    rms_norm(args.x, nullptr, d.norm, d.rms_eps, b.normed, context);
    multiply_qkv(d, b.normed, {}, b.room, b.qkv, context);
  }
  if (d.qk_norm.over == QkNorm::Over::AllHeads) norm_all_heads(d, b.qkv, context);
  attend(d, args, b, context);
  linear(d.out, b.attended, args.x,
         {.row_invariant = d.bound.row_invariant, .add = true, .bias = d.out_bias, .room = b.room}, context);
}

}  // namespace
}  // namespace cuda

extern const AttentionKernel cuda_attention;
const AttentionKernel cuda_attention{.name = "cuda_attention",
                                     .refuses = cuda::refuses,
                                     .scratch_bytes = scratch_of<cuda::Buffers>,
                                     .run = cuda::run,
                                     .device = DeviceKind::Cuda};

}  // namespace sw
