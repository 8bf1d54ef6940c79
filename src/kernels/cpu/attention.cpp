// SPDX-License-Identifier: MIT
#include "kernels/attention_parts.h"
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

const char* refuses(const AttentionDesc& d) {
  return d.value_dim == d.head_dim ? nullptr : "value heads differ in width from key heads";
}

struct Buffers {
  /// One of the products whose rows together are queries, keys and values.
  struct Part {
    const Linear* linear = nullptr;
    int64_t first_row = 0;
    std::byte* packed = nullptr;  ///< [n_token] normed, as the product reads it
    bool shares = false;          ///< the memory of the first part, which reads the same
  };

  template <class Take>
  Buffers(const AttentionDesc& d, int64_t n_token, int n_thread, Take& take) {
    normed = take_rows(take, n_token, d.qkv.n_in());
    int64_t n_row = 0;
    for (const Linear* linear : {&d.qkv, &d.k, &d.v}) {
      if (linear->empty()) continue;
      Part& part = all_parts[n_part++];
      part = {linear, n_row, all_parts[0].packed, n_part > 1 && same_packing(*linear, d.qkv)};
      if (!part.shares) take_packed(take, part.packed, *linear, n_token);
      n_row += linear->n_out();
    }
    SW_ASSERT(n_row == d.n_qkv());
    qkv = take_rows(take, n_token, d.n_qkv());
    attended = take_rows(take, n_token, d.out.n_in());
    take_packed(take, packed_out, d.out, n_token);
    y = take_rows(take, n_token, d.out.n_out());
    take(scores, n_thread * (d.n_head / d.n_head_kv) * kMaxPageTokens);
  }
  std::span<const Part> parts() const { return {all_parts, n_part}; }

  TensorView<float> normed = {};
  Part all_parts[3] = {};
  size_t n_part = 0;
  TensorView<float> qkv = {}, attended = {};
  std::byte* packed_out = nullptr;  ///< [n_token] attended, as the output's product reads it
  TensorView<float> y = {};
  float* scores = nullptr;  ///< [n_thread, query heads of a key head, kMaxPageTokens]
};

/// QK-norm, limits and rotation of queries or keys that have their biases, in place.
void finish_heads(const AttentionDesc& d, const TokenBatch& batch, int64_t t, int64_t n_head,
                  const Values& norm, float* heads, const VectorKernel& vector) {
  for (int64_t at = 0; norm.n > 0 && at < n_head * d.head_dim; at += norm.n)
    vector.rms_norm(heads + at, norm, d.rms_eps, norm.n, heads + at);
  clip(d, heads, n_head * d.head_dim);
  for (int64_t h = 0; h < n_head; ++h) rotate(d.rope, batch, t, heads + h * d.head_dim);
}

/// All heads of token t: queries rotated in place, keys and values appended to the cache.
void finish_token(const AttentionDesc& d, const AttentionArgs& args, int64_t t, float* qkv,
                  const VectorKernel& vector) {
  const TokenBatch& batch = args.batch;
  const auto at = [&](int64_t head) { return qkv + head * d.head_dim; };
  for (int64_t h = 0; h < d.n_head + 2 * d.n_head_kv; ++h) {
    const float* bias = d.bias_of(h);
    if (bias) vector.add_scaled(at(h), 1.0f, bias, d.head_dim);
  }
  finish_heads(d, batch, t, d.n_head, d.qk_norm.q, at(0), vector);
  finish_heads(d, batch, t, d.n_head_kv, d.qk_norm.k, at(d.n_head), vector);
  clip(d, at(d.n_head + d.n_head_kv), int64_t{d.n_head_kv} * d.head_dim);
  for (int64_t h = 0; h < d.n_head_kv; ++h)
    store_kv(args.kv, batch, t, h, d.head_dim, at(d.n_head + h), at(d.n_head + d.n_head_kv + h));
}

void attend_one(const AttentionDesc& d, const AttentionArgs& args, int64_t t, int64_t kv_head, const float* q,
                float* scores, float* out, const VectorKernel& vector) {
  const int64_t heads_per_kv = d.n_head / d.n_head_kv;
  vector.attend({.q = q + kv_head * heads_per_kv * d.head_dim,
                 .q_stride = d.head_dim,
                 .n_q = heads_per_kv,
                 .head_dim = d.head_dim,
                 .value_dim = d.head_dim,
                 .k = cached_head(args.kv.keys(), kv_head, d.head_dim),
                 .v = cached_head(args.kv.values(), kv_head, d.head_dim),
                 .block_table = args.batch.block_tables[args.batch.seq[t]],
                 .page_tokens = args.kv.page_tokens,
                 .first_kv = d.mask.first_seen(args.batch.pos[t]),
                 .n_kv = args.batch.pos[t] + 1,
                 .sinks = d.sinks ? d.sinks + kv_head * heads_per_kv : nullptr,
                 .scale = attention_scale(d),
                 .scores = scores,
                 .out = out + kv_head * heads_per_kv * d.head_dim,
                 .out_stride = d.head_dim});
}

void run(const AttentionDesc& d, const AttentionArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_embd = d.qkv.n_in(), heads_per_kv = d.n_head / d.n_head_kv;
  SW_ASSERT(args.kv.page_tokens <= kMaxPageTokens);
  const Buffers b(d, n_token, context.pool.size(), context.scratch);
  ThreadPool& pool = context.pool;
  for_tokens(pool, n_token, n_embd, [&](int64_t t, int) {
    context.vector.rms_norm(args.x.row(t), d.norm, d.rms_eps, n_embd, b.normed.row(t));
    for (const Buffers::Part& part : b.parts()) {
      if (!part.shares) pack_row(*part.linear, b.normed.row(t), t, part.packed);
    }
  });
  Product products[std::size(b.all_parts)];
  std::ranges::transform(b.parts(), products, [&](const Buffers::Part& part) {
    return Product{part.linear,
                   part.packed,
                   {b.qkv.data() + part.first_row, n_token, part.linear->n_out(), b.qkv.stride()}};
  });
  multiply_all(pool, std::span(products, b.n_part));
  for_tokens(pool, n_token, d.n_qkv(),
             [&](int64_t t, int) { finish_token(d, args, t, b.qkv.row(t), context.vector); });
  pool.for_each(n_token * d.n_head_kv, [&](int64_t task, int worker) {
    const int64_t t = task / d.n_head_kv, kv_head = task % d.n_head_kv;
    float* scores = b.scores + worker * heads_per_kv * kMaxPageTokens;
    attend_one(d, args, t, kv_head, b.qkv.row(t), scores, b.attended.row(t), context.vector);
  });
  for_tokens(pool, n_token, d.out.n_in(),
             [&](int64_t t, int) { pack_row(d.out, b.attended.row(t), t, b.packed_out); });
  multiply_all(pool, {&d.out, b.packed_out, b.y});
  add_to_residual(args.x, b.y, d.out_bias, context);
  count_dense(context.counters, d, n_token);
}

}  // namespace

extern const AttentionKernel cpu_attention;
const AttentionKernel cpu_attention{
    .name = "cpu_attention", .refuses = refuses, .scratch_bytes = scratch_of<Buffers>, .run = run};

}  // namespace sw
