// SPDX-License-Identifier: MIT
#include "kernels/attention_parts.h"
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

const char* refuses(const AttentionDesc& d) {
  return d.value_dim == d.head_dim ? nullptr : "value heads differ in width from key heads";
}

size_t scratch_bytes(const AttentionDesc& d, int64_t n_token, int n_thread) {
  const auto f32 = [](int64_t n) { return Scratch::padded_bytes(static_cast<size_t>(n) * sizeof(float)); };
  const int64_t heads_per_kv = d.n_head / d.n_head_kv;
  return f32(n_token * d.qkv.n_in()) + packed_bytes(d.qkv, n_token) + f32(n_token * d.qkv.n_out()) +
         f32(n_token * d.out.n_in()) + packed_bytes(d.out, n_token) + f32(n_token * d.out.n_out()) +
         f32(n_thread * heads_per_kv * kMaxPageTokens);
}

/// Bias, QK-norm and rotation of one head of queries or keys, in place.
void finish_head(const AttentionDesc& d, const float* bias, const float* norm, const float* cos,
                 const float* sin, float* head, const VectorKernel& vector) {
  if (bias) vector.add_scaled(head, 1.0f, bias, d.head_dim);
  if (norm) vector.rms_norm(head, norm, d.rms_eps, d.head_dim, head);
  rotate(head, cos, sin, d.n_rot, d.rope_neighbours);
}

/// All heads of token t: queries rotated in place, keys and values appended to the cache.
void finish_token(const AttentionDesc& d, const AttentionArgs& args, int64_t t, float* qkv,
                  const VectorKernel& vector) {
  const TokenBatch& batch = args.batch;
  const float* cos = batch.rope_cos + t * (d.n_rot / 2);
  const float* sin = batch.rope_sin + t * (d.n_rot / 2);
  const auto bias = [&](int64_t head) { return d.qkv_bias ? d.qkv_bias + head * d.head_dim : nullptr; };
  const auto at = [&](int64_t head) { return qkv + head * d.head_dim; };
  for (int64_t h = 0; h < d.n_head; ++h) finish_head(d, bias(h), d.q_norm, cos, sin, at(h), vector);
  for (int64_t h = 0; h < d.n_head_kv; ++h) {
    const int64_t key = d.n_head + h, value = d.n_head + d.n_head_kv + h;
    finish_head(d, bias(key), d.k_norm, cos, sin, at(key), vector);
    if (d.qkv_bias) vector.add_scaled(at(value), 1.0f, bias(value), d.head_dim);
    store_kv(args.kv, batch, t, h, d.head_dim, at(key), at(value));
  }
}

void attend_one(const AttentionDesc& d, const AttentionArgs& args, int64_t t, int64_t kv_head, const float* q,
                float* scores, float* out, const VectorKernel& vector) {
  const int64_t heads_per_kv = d.n_head / d.n_head_kv;
  const size_t head_offset = args.kv.head_stride_bytes * static_cast<size_t>(kv_head);
  vector.attend({.q = q + kv_head * heads_per_kv * d.head_dim,
                 .q_stride = d.head_dim,
                 .n_q = heads_per_kv,
                 .head_dim = d.head_dim,
                 .cache_type = args.kv.type,
                 .k_cache = args.kv.k + head_offset,
                 .v_cache = args.kv.v + head_offset,
                 .page_stride_bytes = args.kv.page_stride_bytes,
                 .block_table = args.batch.block_tables[args.batch.seq[t]],
                 .page_tokens = args.kv.page_tokens,
                 .n_kv = args.batch.pos[t] + 1,
                 .scale = attention_scale(d),
                 .scores = scores,
                 .out = out + kv_head * heads_per_kv * d.head_dim,
                 .out_stride = d.head_dim});
}

void run(const AttentionDesc& d, const AttentionArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_embd = d.qkv.n_in(), heads_per_kv = d.n_head / d.n_head_kv;
  SW_ASSERT(args.kv.page_tokens <= kMaxPageTokens);
  Scratch& scratch = context.scratch;
  const TensorView<float> normed(scratch.take<float>(n_token * n_embd), n_token, n_embd);
  std::byte* packed = take_packed(d.qkv, n_token, scratch);
  const TensorView<float> qkv(scratch.take<float>(n_token * d.qkv.n_out()), n_token, d.qkv.n_out());
  const TensorView<float> attended(scratch.take<float>(n_token * d.out.n_in()), n_token, d.out.n_in());
  std::byte* packed_out = take_packed(d.out, n_token, scratch);
  const TensorView<float> y(scratch.take<float>(n_token * n_embd), n_token, n_embd);
  float* all_scores = scratch.take<float>(context.pool.size() * heads_per_kv * kMaxPageTokens);
  WorkQueue qkv_queue, attend_queue, out_queue;

  context.pool.run([&](ThreadPool::Team& team) {
    const Range mine = team.share(n_token);
    float* scores = all_scores + team.index() * heads_per_kv * kMaxPageTokens;
    for (int64_t t = mine.begin; t < mine.end; ++t) {
      context.vector.rms_norm(args.x.row(t), d.norm, d.rms_eps, n_embd, normed.row(t));
      pack_row(d.qkv, normed.row(t), t, packed);
    }
    team.barrier();
    multiply_all(d.qkv, qkv_queue, team.size(), packed, qkv);
    team.barrier();
    for (int64_t t = mine.begin; t < mine.end; ++t) finish_token(d, args, t, qkv.row(t), context.vector);
    team.barrier();
    attend_queue.drain(n_token * d.n_head_kv, [&](int64_t task) {
      const int64_t t = task / d.n_head_kv, kv_head = task % d.n_head_kv;
      attend_one(d, args, t, kv_head, qkv.row(t), scores, attended.row(t), context.vector);
    });
    team.barrier();
    for (int64_t t = mine.begin; t < mine.end; ++t) pack_row(d.out, attended.row(t), t, packed_out);
    team.barrier();
    multiply_all(d.out, out_queue, team.size(), packed_out, y);
    team.barrier();
    for (int64_t t = mine.begin; t < mine.end; ++t)
      context.vector.add_scaled(args.x.row(t), 1.0f, y.row(t), n_embd);
  });
  count_dense(context.counters, d.qkv, n_token);
  count_dense(context.counters, d.out, n_token);
}

}  // namespace

extern const AttentionKernel cpu_attention;
const AttentionKernel cpu_attention{"cpu_attention", Isa::Scalar, refuses, scratch_bytes, run};

}  // namespace sw
