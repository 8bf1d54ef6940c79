// SPDX-License-Identifier: MIT
#include "kernels/cpu/mla.h"

namespace sw {
namespace cpu {
namespace {

/// The cached tokens that a batch's runs see, summed over runs: what the expanded form unfolds.
int64_t n_unfolded(const TokenBatch& batch) {
  int64_t n = 0;
  for (int64_t t = 0; t < batch.n_token; ++t) {
    if (t + 1 == batch.n_token || batch.seq[t + 1] != batch.seq[t]) n += batch.pos[t] + 1;
  }
  return n;
}

/// Norm and packing of token t's input.
void pack_input(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, int64_t t,
                const VectorKernel& vector) {
  const int64_t n_embd = d.kv_a.n_in();
  float* normed = b.normed + t * n_embd;
  vector.rms_norm(args.x.row(t), d.norm, d.rms_eps, n_embd, normed);
  pack_row(d.kv_a, normed, t, b.packed_kv);
  if (d.q_a.empty()) {
    pack_row(d.q, normed, t, b.packed_q);
  } else {
    pack_row(d.q_a, normed, t, b.packed_qa);
  }
}

/// Token t's latent to the cache, and its low-rank query on to the second product.
void finish_latent(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, int64_t t,
                   const VectorKernel& vector) {
  float* kv = b.kv + t * d.latent_dim();
  vector.rms_norm(kv, d.kv_a_norm, d.latent_eps, d.kv_rank, kv);
  for (int64_t i = 0; i < d.kv_rank; ++i) kv[i] *= d.latent_scale;
  rotate(d.rope, args.batch, t, kv + d.kv_rank);
  store_row(args.kv.keys(), args.batch, t, 0, d.latent_dim(), kv);
  if (d.q_a.empty()) return;
  float* q_low = b.q_low + t * d.q_a.n_out();
  vector.rms_norm(q_low, d.q_a_norm, d.latent_eps, d.q_a.n_out(), q_low);
  pack_row(d.q, q_low, t, b.packed_q);
}

void finish_query(const MlaDesc& d, const TokenBatch& batch, int64_t t, float* q) {
  for (int64_t i = 0; i < d.n_head * d.query_dim(); ++i) q[i] *= d.q_scale;
  for (int64_t h = 0; h < d.n_head; ++h) rotate(d.rope, batch, t, q + h * d.query_dim() + d.nope_dim);
}

/// x -> b.q, and the latents to the cache.
void project(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  const TensorView<float> kv(b.kv, n_token, d.latent_dim()), q(b.q, n_token, d.q.n_out());
  ThreadPool& pool = context.pool;
  for_tokens(pool, n_token, d.kv_a.n_in(),
             [&](int64_t t, int) { pack_input(d, args, b, t, context.vector); });
  Product from_input[2] = {{&d.kv_a, b.packed_kv, kv}};
  if (!d.q_a.empty()) from_input[1] = {&d.q_a, b.packed_qa, {b.q_low, n_token, d.q_a.n_out()}};
  multiply_all(pool, std::span(from_input, d.q_a.empty() ? 1 : 2));
  for_tokens(pool, n_token, d.latent_dim(),
             [&](int64_t t, int) { finish_latent(d, args, b, t, context.vector); });
  multiply_all(pool, {&d.q, b.packed_q, q});
  for_tokens(pool, n_token, d.q.n_out(), [&](int64_t t, int) { finish_query(d, args.batch, t, q.row(t)); });
}

/// x += out(b.attended).
void add_output(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_embd = d.out.n_out();
  const TensorView<float> y(b.y, n_token, n_embd);
  for_tokens(context.pool, n_token, d.out.n_in(),
             [&](int64_t t, int) { pack_row(d.out, b.attended + t * d.out.n_in(), t, b.packed_out); });
  multiply_all(context.pool, {&d.out, b.packed_out, y});
  add_to_residual(args.x, y, {}, context);
}

}  // namespace

MlaForm cheaper_form(const MlaDesc& d, const TokenBatch& batch) {
  if (d.bound.row_invariant || batch.n_token < kLeastExpanded) return MlaForm::Absorbed;
  int64_t n_pair = 0;  // of a query and a token that it sees
  for (int64_t t = 0; t < batch.n_token; ++t) n_pair += batch.pos[t] + 1;
  const int64_t fold = int64_t{d.nope_dim + d.value_dim} * d.kv_rank;  // k_b and v_b of one head, one token
  const int64_t absorbed = batch.n_token * fold + n_pair * (d.latent_dim() + d.kv_rank);
  const int64_t expanded = n_unfolded(batch) * fold + n_pair * (d.query_dim() + d.value_dim);
  return expanded < absorbed ? MlaForm::Expanded : MlaForm::Absorbed;
}

void run_mla(const MlaDesc& d, const MlaArgs& args, OpContext& context, MlaForm form) {
  SW_ASSERT(args.kv.page_tokens <= kMaxPageTokens);
  const int64_t n_token = args.x.n_rows();
  const MlaBuffers buffers(d, n_token, context.pool.size(), context.scratch);
  project(d, args, buffers, context);
  const bool absorbed = form == MlaForm::Absorbed;
  (absorbed ? attend_absorbed : attend_expanded)(d, args, buffers, context);
  add_output(d, args, buffers, context);

  const int64_t n_folded = absorbed ? n_token : n_unfolded(args.batch);
  for_each_linear(d, [&](const Linear& linear) {
    const bool folded = &linear == &d.k_b || &linear == &d.v_b;
    count_dense(context.counters, linear, folded ? n_folded : n_token);
  });
}

}  // namespace cpu

namespace {

void run(const MlaDesc& d, const MlaArgs& args, OpContext& context) {
  cpu::run_mla(d, args, context, cpu::cheaper_form(d, args.batch));
}

}  // namespace

extern const MlaKernel cpu_mla;
const MlaKernel cpu_mla{
    .name = "cpu_mla", .refuses = refuses_mla, .scratch_bytes = scratch_of<cpu::MlaBuffers>, .run = run};

}  // namespace sw
