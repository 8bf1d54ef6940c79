// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include "kernels/attention_parts.h"
#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

const char* refuses(const AttentionDesc& d) {
  return d.value_dim == d.head_dim ? nullptr : "value heads differ in width from key heads";
}

/// The cached row of a position as f32.
ref::Vector cached(const AttentionDesc& d, const TokenBatch& batch, const KvPart& part, int64_t t,
                   int64_t pos, int64_t head) {
  const int32_t* table = batch.block_tables[batch.seq[t]];
  ref::Vector row(static_cast<size_t>(d.head_dim));
  traits(part.type).decode(kv_row(part, table, pos, head, d.head_dim), row.data(), d.head_dim);
  return row;
}

/// softmax(q . K * scale) V of one query head over the positions that the token sees.
ref::Vector attend(const AttentionDesc& d, const AttentionArgs& args, int64_t t, int64_t head,
                   const float* q) {
  const int64_t first = d.mask.first_seen(args.batch.pos[t]), n_kv = args.batch.pos[t] + 1;
  const int64_t kv_head = head / (d.n_head / d.n_head_kv);
  std::vector<double> scores(static_cast<size_t>(n_kv), -std::numeric_limits<double>::infinity());
  for (int64_t p = first; p < n_kv; ++p) {
    const ref::Vector key = cached(d, args.batch, args.kv.keys(), t, p, kv_head);
    double dot = 0;
    for (size_t i = 0; i < key.size(); ++i) dot += static_cast<double>(q[i]) * key[i];
    scores[static_cast<size_t>(p)] = dot * attention_scale(d);
  }
  const double sink = d.sinks ? static_cast<double>(d.sinks[head]) : -std::numeric_limits<double>::infinity();
  const double top = std::max(sink, *std::max_element(scores.begin(), scores.end()));
  double total = std::exp(sink - top);
  std::vector<double> sum(static_cast<size_t>(d.head_dim), 0.0);
  for (int64_t p = first; p < n_kv; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p)] - top);
    const ref::Vector value = cached(d, args.batch, args.kv.values(), t, p, kv_head);
    total += weight;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight * value[i];
  }
  ref::Vector out(sum.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sum[i] / total);
  return out;
}

/// Queries, keys and values of a row of normed input, with their biases.
ref::Vector multiply_qkv(const AttentionDesc& d, const float* x) {
  ref::Vector qkv;
  for (const Linear* part : {&d.qkv, &d.k, &d.v}) {
    if (part->empty()) continue;
    const ref::Vector rows = ref::multiply(part->weight, x);
    qkv.insert(qkv.end(), rows.begin(), rows.end());
  }
  for (int64_t h = 0; h < d.n_head + 2 * d.n_head_kv; ++h) {
    const float* bias = d.bias_of(h);
    if (bias) ref::add_scaled(qkv.data() + h * d.head_dim, 1.0f, {bias, static_cast<size_t>(d.head_dim)});
  }
  return qkv;
}

/// QK-norm, limits and rotation of queries or keys, in place.
void finish_heads(const AttentionDesc& d, const TokenBatch& batch, int64_t t, int64_t n_head,
                  const Values& norm, float* heads) {
  for (int64_t at = 0; norm.n > 0 && at < n_head * d.head_dim; at += norm.n) {
    const ref::Vector normed = ref::rms_norm(heads + at, norm, d.rms_eps, norm.n);
    std::copy(normed.begin(), normed.end(), heads + at);
  }
  clip(d, heads, n_head * d.head_dim);
  for (int64_t h = 0; h < n_head; ++h) rotate(d.rope, batch, t, heads + h * d.head_dim);
}

void run(const AttentionDesc& d, const AttentionArgs& args, OpContext&) {
  const TokenBatch& batch = args.batch;
  std::vector<ref::Vector> queries;
  for (int64_t t = 0; t < batch.n_token; ++t) {
    const ref::Vector normed = ref::rms_norm(args.x.row(t), d.norm, d.rms_eps, d.qkv.n_in());
    ref::Vector qkv = multiply_qkv(d, normed.data());
    const auto at = [&](int64_t head) { return qkv.data() + head * d.head_dim; };
    finish_heads(d, batch, t, d.n_head, d.qk_norm.q, at(0));
    finish_heads(d, batch, t, d.n_head_kv, d.qk_norm.k, at(d.n_head));
    clip(d, at(d.n_head + d.n_head_kv), int64_t{d.n_head_kv} * d.head_dim);
    for (int64_t h = 0; h < d.n_head_kv; ++h) {
      store_kv(args.kv, batch, t, h, d.head_dim, at(d.n_head + h), at(d.n_head + d.n_head_kv + h));
    }
    queries.push_back(std::move(qkv));
  }
  for (int64_t t = 0; t < batch.n_token; ++t) {
    ref::Vector attended;
    for (int64_t h = 0; h < d.n_head; ++h) {
      const ref::Vector head = attend(d, args, t, h, queries[static_cast<size_t>(t)].data() + h * d.head_dim);
      attended.insert(attended.end(), head.begin(), head.end());
    }
    ref::add_scaled(args.x.row(t), 1.0f, ref::multiply(d.out.weight, attended.data()));
    if (d.out_bias) ref::add_scaled(args.x.row(t), 1.0f, d.out_bias.span());
  }
}

}  // namespace

extern const AttentionKernel ref_attention;
const AttentionKernel ref_attention{.name = "ref_attention", .refuses = refuses, .run = run};

}  // namespace sw
