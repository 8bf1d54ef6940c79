// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/attention/attend_decode.cuh"
#include "kernels/cuda/attention/attend_flash.cuh"
#include "kernels/cuda/attention/attend_half.h"
#include "kernels/cuda/attention/attend_tasks.cuh"
#include "kernels/cuda/attention/attend_wide.cuh"
#include "kernels/cuda/launch.cuh"

namespace sw::cuda {
namespace {

/// Rows of partial results, of a head of a token each, that scratch holds at most.
constexpr int64_t kMostPartRows = 32768;
constexpr int kNarrowWindow = 512;
/// Of DecodeShared, at most.
constexpr int kStaticBytes = 2048;
/// Units of 16 keys that a split should have, one or two per warp: with fewer, merging takes longer.
constexpr unsigned kLeastUnits = 12;

/// Splits of each of `n_block` blocks, of which so many run on a multiprocessor at once.
int n_split(const OpContext& context, int blocks_at_once, int64_t n_block, int64_t n_row) {
  const int64_t n_slot = int64_t{blocks_at_once} * context.cuda->n_multiprocessor();
  const int64_t most = std::min<int64_t>(kMaxParts, kMostPartRows / n_row);
  return static_cast<int>(std::max<int64_t>(std::min(n_slot / n_block, most), 1));
}

/// So many blocks of the kernel run on a multiprocessor at once.
template <class Shape>
void attend_tiles(void (*kernel)(FlashTask), int blocks_at_once, const AttendTask& task, float* parts,
                  OpContext& context) {
  const int64_t n_token = task.batch.n_token, n_row = n_token * task.n_head;
  const int64_t n_block = int64_t{n_blocks(n_token, Shape::kRows / task.group())} * task.n_head_kv;
  const FlashTask flash{
      .attend = task, .n_split = n_split(context, blocks_at_once, n_block, n_row), .parts = parts};
  allow_shared(kernel, Shape::kSharedBytes, *context.cuda);
  kernel<<<n_blocks(n_block * flash.n_split, 1), Shape::kThreads, Shape::kSharedBytes,
           context.cuda->stream()>>>(flash);
  SW_CUDA_LAUNCHED();
  if (flash.n_split == 1) return;
  const int n_thread = (task.head_dim / 2 + kWarp - 1) / kWarp * kWarp;
  merge_flash_kernel<<<n_blocks(n_row, 1), n_thread, 0, context.cuda->stream()>>>(flash);
  SW_CUDA_LAUNCHED();
}

template <class Shape>
void attend_flash(const AttendTask& task, float* parts, OpContext& context) {
  attend_tiles<Shape>(attend_flash_kernel<Shape>, 2, task, parts, context);
}
template <class Shape>
void attend_wide(const AttendTask& task, float* parts, OpContext& context) {
  attend_tiles<Shape>(attend_wide_kernel<Shape>, 1, task, parts, context);
}

template <int kDim, int kWarps, int kRing, int kAtOnce = 1>
void attend_decode(const FinishTask& finish, const AttendTask& task, float* parts, OpContext& context) {
  using Shape = DecodeShape<kDim, kWarps, kRing>;
  const int64_t n_token = task.batch.n_token;
  const int n_chunk = (task.group() + kDecodeHeads - 1) / kDecodeHeads;
  const int64_t n_block = n_token * task.n_head_kv * n_chunk;
  const DecodeTask decode{
      .finish = finish,
      .attend = task,
      .n_split = static_cast<unsigned>(n_split(context, kAtOnce, n_block, n_token * task.n_head)),
      .n_chunk = static_cast<unsigned>(n_chunk),
      .least_units = kLeastUnits,
      .parts = parts,
      .n_ended = context.cuda->counters()};
  SW_ASSERT(decode.n_split == 1 || n_block <= Queue::kCounters);
  allow_shared(attend_decode_kernel<kDim, kWarps, kRing>, Shape::kSharedBytes, *context.cuda);
  launch_early(attend_decode_kernel<kDim, kWarps, kRing>, n_blocks(n_block * decode.n_split, 1),
               Shape::kThreads, Shape::kSharedBytes, *context.cuda, decode);
}

/// The first of two shapes that the GPU has shared memory for.
template <int kDim, int kWarps, int kRing, int kSmallWarps, int kSmallRing>
void attend_decode_where_room(const FinishTask& finish, const AttendTask& task, float* parts,
                              OpContext& context) {
  constexpr auto kNeeded = static_cast<int>(DecodeShape<kDim, kWarps, kRing>::kSharedBytes) + kStaticBytes;
  if (context.cuda->most_shared_bytes() >= kNeeded)
    return attend_decode<kDim, kWarps, kRing>(finish, task, parts, context);
  attend_decode<kDim, kSmallWarps, kSmallRing>(finish, task, parts, context);
}

/// Tokens that are each the only one of their sequence here.
void attend_alone(const FinishTask& finish, const AttendTask& task, float* parts, OpContext& context) {
  if (task.head_dim <= 64) return attend_decode<64, 8, 6>(finish, task, parts, context);
  if (task.head_dim <= 128) return attend_decode_where_room<128, 8, 5, 8, 3>(finish, task, parts, context);
  attend_decode_where_room<256, 8, 3, 4, 3>(finish, task, parts, context);
}

/// Tokens that may see each other.
void attend_runs(const FinishTask& finish, const AttendTask& task, float* parts, OpContext& context) {
  cuda::finish<__half>(finish, context.cuda->stream());
  const bool wide = context.cuda->capability() == kWideCapability;
  if (task.head_dim <= 64) {
    // Small tiles skip more of what lies before a narrow window.
    if (wide && task.window > kNarrowWindow) return attend_wide<WideShape<64, 128, 4>>(task, parts, context);
    return attend_flash<FlashShape<64, 2, 4, 64, 4>>(task, parts, context);
  }
  if (task.head_dim <= 128) {
    if (wide) return attend_wide<WideShape<128, 128, 3>>(task, parts, context);
    return attend_flash<FlashShape<128, 2, 4, 64, 4>>(task, parts, context);
  }
  attend_flash<FlashShape<256, 1, 4, 32, 4>>(task, parts, context);
}

}  // namespace

int64_t n_half_part(const AttentionDesc& d, int64_t n_token) {
  return std::min(n_token * d.n_head * kMaxParts, kMostPartRows) * (d.head_dim + kPartTail);
}

void attend_half(const AttentionDesc& d, const AttentionArgs& args, TensorView<float> qkv, float* parts,
                 float* out, OpContext& context) {
  SW_ASSERT(args.kv.page_tokens % kTileRows == 0);
  const int64_t n_token = args.batch.n_token, n_alone = n_token == 1 ? 1 : args.batch.n_alone;
  const auto part = [&](int64_t begin, int64_t n, auto attend) {
    const TokenBatch batch = tokens_of(args.batch, begin, n, d.rope);
    const AttentionArgs of_part{.batch = batch, .kv = args.kv, .x = args.x};
    const TensorView<float> rows = qkv.rows(begin, n);
    attend(finish_task(d, of_part, rows.data()),
           attend_task(d, of_part, rows, out + begin * d.n_head * d.head_dim), parts, context);
  };
  if (n_alone > 0) part(0, n_alone, attend_alone);
  if (n_alone < n_token) part(n_alone, n_token - n_alone, attend_runs);
}

}  // namespace sw::cuda
