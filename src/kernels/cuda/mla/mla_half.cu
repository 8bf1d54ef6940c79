// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/mla/mla_flash.cuh"
#include "kernels/cuda/mla/mla_half.h"
#include "kernels/cuda/queue.h"

namespace sw::cuda {
namespace {

/// Tiles of up to n_most tokens; so many of them run on a multiprocessor at once.
template <class Shape>
void attend_tiles(MlaTask task, int n_most, int64_t blocks_at_once, int64_t most_parts, OpContext& context) {
  const int64_t n_token = task.batch.n_token, n_chunk = (task.n_head + Shape::kRows - 1) / Shape::kRows;
  const int64_t n_block = int64_t{n_blocks(n_token, n_most)} * n_chunk,
                n_slot = blocks_at_once * context.cuda->n_multiprocessor();
  const int64_t most = std::min({int64_t{kMaxParts}, n_slot / n_block, most_parts / (n_token * task.n_head)});
  task.n_split = static_cast<int>(std::max<int64_t>(most, 1));
  const auto kernel = mla_flash_kernel<Shape>;
  allow_shared(kernel, Shape::kSharedBytes, *context.cuda);
  kernel<<<n_blocks(n_block * task.n_split, 1), Shape::kThreads, Shape::kSharedBytes,
           context.cuda->stream()>>>(task, n_most);
  SW_CUDA_LAUNCHED();
  if (task.n_split == 1) return;
  merge_latents_kernel<<<n_blocks(n_token * task.n_head, 1), kMaxLatent / 2, 0, context.cuda->stream()>>>(
      task);
  SW_CUDA_LAUNCHED();
}

}  // namespace

void attend_half_latents(const MlaTask& task, const Rope& rope, int64_t most_parts, OpContext& context) {
  SW_ASSERT(task.kv.page_tokens % kTileRows == 0);
  using Small = MlaShape<1, 1, 1>;
  using Large = MlaShape<2, 2, 2>;
  const bool has_room = context.cuda->most_shared_bytes() >= static_cast<int>(Large::kSharedBytes);
  // The tokens of a tile should be of one sequence: what it streams serves the rows of one at a time.
  const auto attend = [&](int64_t begin, int64_t n, bool alone) {
    MlaTask part = task;
    part.batch = tokens_of(task.batch, begin, n, rope);
    part.latents += begin * task.n_head * task.kv_rank;
    part.queries += begin * task.n_head * task.query_dim;
    const auto tokens = [&](int n_row) { return alone ? 1 : std::max(n_row / task.n_head, 1); };
    if (has_room && std::min<int64_t>(tokens(Large::kRows), n) * task.n_head > Large::kRows / 2) {
      attend_tiles<Large>(part, tokens(Large::kRows), 1, most_parts, context);
    } else {
      attend_tiles<Small>(part, tokens(Small::kRows), 2, most_parts, context);
    }
  };
  const int64_t n_token = task.batch.n_token, n_alone = n_token == 1 ? 1 : task.batch.n_alone;
  if (n_alone > 0) attend(0, n_alone, true);
  if (n_alone < n_token) attend(n_alone, n_token - n_alone, false);
}

}  // namespace sw::cuda
