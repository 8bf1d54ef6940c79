// SPDX-License-Identifier: MIT
#include "kernels/cpu/mla.h"

namespace sw::cpu {
namespace {

/// Some neighbouring tokens of the batch, whose absorbed queries fit the scratch.
struct Slab {
  int64_t begin = 0, n = 0;
};

/// A head's packed rows of the slab.
const std::byte* head_rows(const Linear& linear, const std::byte* packed, int64_t head, int64_t n_token) {
  return packed + static_cast<int64_t>(linear.matmul->act_bytes(linear.n_in())) * head * n_token;
}

/// Query heads that attend together: enough tasks for all threads, and a latent is read once for each.
int64_t heads_per_task(int64_t n_query, int n_thread) {
  constexpr int64_t kTile = 4;  // VectorKernel::attend's
  return std::clamp(n_query / n_thread / kTile * kTile, kTile, kQueryRows);
}

/// The query of token t and head h as k_b reads it; its rotated part goes to the wide query as it is.
void pack_query(const MlaDesc& d, const MlaBuffers& b, const Slab& slab, int64_t t, int64_t h) {
  const float* q = b.q + ((slab.begin + t) * d.n_head + h) * d.query_dim();
  pack_row(d.k_b, q, h * slab.n + t, b.packed_k);
  std::copy_n(q + d.nope_dim, d.rope.n_rot, b.wide + (t * d.n_head + h) * d.latent_dim() + d.kv_rank);
}

void attend_heads(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, const Slab& slab, int64_t t,
                  Range heads, float* scores, const VectorKernel& vector) {
  const int64_t token = slab.begin + t, row = t * d.n_head + heads.begin;
  const CachedHead latents = cached_head(args.kv.keys(), 0, d.latent_dim());
  vector.attend({.q = b.wide + row * d.latent_dim(),
                 .q_stride = d.latent_dim(),
                 .n_q = heads.size(),
                 .head_dim = d.latent_dim(),
                 .value_dim = d.kv_rank,
                 .k = latents,
                 .v = latents,
                 .block_table = args.batch.block_tables[args.batch.seq[token]],
                 .page_tokens = args.kv.page_tokens,
                 .n_kv = args.batch.pos[token] + 1,
                 .scale = d.softmax_scale,
                 .scores = scores,
                 .out = b.latents + row * d.kv_rank,
                 .out_stride = d.kv_rank});
}

/// out[t, h, :] = matrix[h] of the head's packed rows, for every head.
void multiply_heads(const Linear& linear, ThreadPool& pool, int64_t n_head, const std::byte* packed,
                    int64_t n_token, float* out, int64_t head_stride) {
  pool.for_each(n_head, [&](int64_t h, int) {
    multiply(linear, linear.weight.expert(h), {0, linear.n_out()}, head_rows(linear, packed, h, n_token),
             nullptr, n_token, out + h * head_stride, n_head * head_stride);
  });
}

void attend_slab(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, const Slab& slab,
                 OpContext& context) {
  const int64_t n_query = slab.n * d.n_head, per_task = heads_per_task(n_query, context.pool.size());
  const int64_t n_task = (d.n_head + per_task - 1) / per_task;
  float* attended = b.attended + slab.begin * d.n_head * d.value_dim;
  ThreadPool& pool = context.pool;
  for_tokens(pool, n_query, d.query_dim(),
             [&](int64_t i, int) { pack_query(d, b, slab, i / d.n_head, i % d.n_head); });
  multiply_heads(d.k_b, pool, d.n_head, b.packed_k, slab.n, b.wide, d.latent_dim());
  pool.for_each(slab.n * n_task, [&](int64_t task, int worker) {
    const int64_t first = task % n_task * per_task;
    const Range heads{first, std::min<int64_t>(first + per_task, d.n_head)};
    float* scores = b.scores + worker * kQueryRows * kMaxPageTokens;
    attend_heads(d, args, b, slab, task / n_task, heads, scores, context.vector);
  });
  for_tokens(pool, n_query, d.kv_rank, [&](int64_t i, int) {
    pack_row(d.v_b, b.latents + i * d.kv_rank, i % d.n_head * slab.n + i / d.n_head, b.packed_v);
  });
  multiply_heads(d.v_b, pool, d.n_head, b.packed_v, slab.n, attended, d.value_dim);
}

}  // namespace

void attend_absorbed(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  for (int64_t t = 0; t < n_token; t += kAbsorbedTokens)
    attend_slab(d, args, b, {t, std::min(kAbsorbedTokens, n_token - t)}, context);
}

}  // namespace sw::cpu
