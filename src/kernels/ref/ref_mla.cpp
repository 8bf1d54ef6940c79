// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/attention_parts.h"
#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

/// All heads' queries of a row of normed input, scaled and rotated.
ref::Vector queries(const MlaDesc& d, const TokenBatch& batch, int64_t t, const float* normed) {
  ref::Vector q;
  if (d.q_a.empty()) {
    q = ref::multiply(d.q.weight, normed);
  } else {
    const ref::Vector low = ref::multiply(d.q_a.weight, normed);
    q = ref::multiply(d.q.weight,
                      ref::rms_norm(low.data(), d.q_a_norm, d.latent_eps, std::ssize(low)).data());
  }
  for (float& value : q) value *= d.q_scale;
  for (int64_t h = 0; h < d.n_head; ++h) rotate(d.rope, batch, t, q.data() + h * d.query_dim() + d.nope_dim);
  return q;
}

/// What the cache keeps of a token: its latent, then the rotated part.
ref::Vector latent_row(const MlaDesc& d, const TokenBatch& batch, int64_t t, const float* normed) {
  ref::Vector row = ref::multiply(d.kv_a.weight, normed);
  const ref::Vector latent = ref::rms_norm(row.data(), d.kv_a_norm, d.latent_eps, d.kv_rank);
  for (size_t i = 0; i < latent.size(); ++i) row[i] = latent[i] * d.latent_scale;
  rotate(d.rope, batch, t, row.data() + d.kv_rank);
  return row;
}

/// softmax over the token's own and earlier positions; the weighted sum of their latents.
ref::Vector attend(const MlaDesc& d, const MlaArgs& args, int64_t t, const ref::Vector& query) {
  const int64_t n_kv = args.batch.pos[t] + 1, width = std::ssize(query);
  const int32_t* table = args.batch.block_tables[args.batch.seq[t]];
  std::vector<ref::Vector> rows;
  std::vector<double> scores;
  for (int64_t p = 0; p < n_kv; ++p) {
    ref::Vector& row = rows.emplace_back(query.size());
    traits(args.kv.type).decode(kv_row(args.kv.keys(), table, p, 0, width), row.data(), width);
    double dot = 0;
    for (size_t i = 0; i < row.size(); ++i) dot += static_cast<double>(query[i]) * row[i];
    scores.push_back(dot * d.softmax_scale);
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  std::vector<double> sum(static_cast<size_t>(d.kv_rank), 0.0);
  for (size_t p = 0; p < rows.size(); ++p) {
    const double weight = std::exp(scores[p] - top);
    total += weight;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight * rows[p][i];
  }
  ref::Vector latent(sum.size());
  for (size_t i = 0; i < latent.size(); ++i) latent[i] = static_cast<float>(sum[i] / total);
  return latent;
}

void run(const MlaDesc& d, const MlaArgs& args, OpContext&) {
  const TokenBatch& batch = args.batch;
  std::vector<ref::Vector> all_queries;
  for (int64_t t = 0; t < batch.n_token; ++t) {
    const ref::Vector normed = ref::rms_norm(args.x.row(t), d.norm, d.rms_eps, d.kv_a.n_in());
    const ref::Vector row = latent_row(d, batch, t, normed.data());
    store_row(args.kv.keys(), batch, t, 0, std::ssize(row), row.data());
    all_queries.push_back(queries(d, batch, t, normed.data()));
  }
  for (int64_t t = 0; t < batch.n_token; ++t) {
    ref::Vector values;
    for (int64_t h = 0; h < d.n_head; ++h) {
      const float* q = all_queries[static_cast<size_t>(t)].data() + h * d.query_dim();
      ref::Vector query = ref::multiply(d.k_b.weight.expert(h), q);
      query.insert(query.end(), q + d.nope_dim, q + d.query_dim());
      const ref::Vector value = ref::multiply(d.v_b.weight.expert(h), attend(d, args, t, query).data());
      values.insert(values.end(), value.begin(), value.end());
    }
    ref::add_scaled(args.x.row(t), 1.0f, ref::multiply(d.out.weight, values.data()));
  }
}

}  // namespace

extern const MlaKernel ref_mla;
const MlaKernel ref_mla{.name = "ref_mla", .refuses = refuses_mla, .run = run};

}  // namespace sw
