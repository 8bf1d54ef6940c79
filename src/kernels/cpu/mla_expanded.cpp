// SPDX-License-Identifier: MIT
#include <limits>

#include "kernels/cpu/mla.h"

namespace sw::cpu {
namespace {

/// One head of one run of tokens, on one thread: its keys and values are unfolded block by block, each as a
/// row [key without rotation, rotated part, value], and every query that sees the block attends to it.
class HeadRun {
 public:
  HeadRun(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, const VectorKernel& vector, int thread)
      : d_(d),
        args_(args),
        vector_(vector),
        row_dim_(d.query_dim() + d.value_dim),
        q_(b.q),
        attended_(b.attended),
        carried_(b.carried),
        k_up_(b.k_up + thread * int64_t{d.nope_dim} * d.kv_rank),
        row_(b.row + thread * std::max<int64_t>(d.nope_dim, d.latent_dim())),
        packed_up_(b.packed_up +
                   static_cast<int64_t>(d.bound.decoded->act_bytes(d.kv_rank)) * thread * kUnfoldedTokens),
        packed_values_(b.packed_values +
                       static_cast<int64_t>(d.v_b.matmul->act_bytes(d.kv_rank)) * thread * kUnfoldedTokens),
        unfolded_(b.unfolded + thread * kUnfoldedTokens * row_dim_),
        scores_(b.scores + thread * kQueryRows * kMaxPageTokens) {}

  void run(Range tokens, int64_t head) {
    head_ = head;
    turn_k_b();
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
      *max_of(t) = -std::numeric_limits<float>::infinity();
      *sum_of(t) = 0;
      std::fill_n(out(t), d_.value_dim, 0.0f);
    }
    const int64_t n_kv = args_.batch.pos[tokens.end - 1] + 1;
    for (int64_t begin = 0; begin < n_kv; begin += kUnfoldedTokens) {
      const int64_t n = std::min(kUnfoldedTokens, n_kv - begin);
      unfold(tokens.begin, begin, n);
      attend_block(tokens, begin, n);
    }
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
      for (int64_t i = 0; i < d_.value_dim; ++i) out(t)[i] /= *sum_of(t);
    }
  }

 private:
  float* max_of(int64_t t) const { return carried_ + head_ * args_.batch.n_token + t; }
  float* sum_of(int64_t t) const { return max_of(t) + d_.n_head * args_.batch.n_token; }
  float* out(int64_t t) const { return attended_ + (t * d_.n_head + head_) * d_.value_dim; }

  void turn_k_b() {
    const WeightView k_b = d_.k_b.weight.expert(head_);
    for (int64_t r = 0; r < d_.kv_rank; ++r) {
      traits(k_b.type).decode(k_b.row(r), row_, d_.nope_dim);
      for (int64_t i = 0; i < d_.nope_dim; ++i) k_up_[i * d_.kv_rank + r] = row_[i];
    }
  }

  /// Cached tokens [begin, begin + n) of token t's sequence.
  void unfold(int64_t t, int64_t begin, int64_t n) {
    const int32_t* table = args_.batch.block_tables[args_.batch.seq[t]];
    const size_t up_bytes = d_.bound.decoded->act_bytes(d_.kv_rank);
    for (int64_t j = 0; j < n; ++j) {
      const std::byte* latent = kv_row(args_.kv.keys(), table, begin + j, 0, d_.latent_dim());
      traits(args_.kv.type).decode(latent, row_, d_.latent_dim());
      d_.bound.decoded->pack(row_, d_.kv_rank, packed_up_ + up_bytes * static_cast<size_t>(j));
      pack_row(d_.v_b, row_, j, packed_values_);
      std::copy_n(row_ + d_.kv_rank, d_.rope.n_rot, unfolded_ + j * row_dim_ + d_.nope_dim);
    }
    d_.bound.decoded->run({.weight = Type::F32,
                           .n_in = d_.kv_rank,
                           .weights = reinterpret_cast<const std::byte*>(k_up_),
                           .row_end = d_.nope_dim,
                           .acts = packed_up_,
                           .n_token = n,
                           .out = unfolded_,
                           .out_stride = row_dim_});
    multiply(d_.v_b, d_.v_b.weight.expert(head_), {0, d_.value_dim}, packed_values_, nullptr, n,
             unfolded_ + d_.query_dim(), row_dim_);
  }

  /// Neighbouring queries that see equally much of the block go together.
  void attend_block(Range tokens, int64_t begin, int64_t n) {
    const auto n_seen = [&](int64_t t) { return std::clamp<int64_t>(args_.batch.pos[t] + 1 - begin, 0, n); };
    for (int64_t t = tokens.begin; t < tokens.end;) {
      int64_t end = t + 1;
      while (end < tokens.end && end - t < kQueryRows && n_seen(end) == n_seen(t)) ++end;
      if (n_seen(t) > 0) attend({t, end}, n_seen(t));
      t = end;
    }
  }

  void attend(Range queries, int64_t n_kv) {
    static constexpr int32_t kOnlyPage[] = {0};
    const int64_t t = queries.begin;
    const auto rows_from = [&](int64_t column) {
      return CachedHead{.data = reinterpret_cast<const std::byte*>(unfolded_ + column),
                        .row_stride_bytes = static_cast<size_t>(row_dim_) * sizeof(float)};
    };
    vector_.attend({.q = q_ + (t * d_.n_head + head_) * d_.query_dim(),
                    .q_stride = d_.n_head * d_.query_dim(),
                    .n_q = queries.size(),
                    .head_dim = d_.query_dim(),
                    .value_dim = d_.value_dim,
                    .k = rows_from(0),
                    .v = rows_from(d_.query_dim()),
                    .block_table = kOnlyPage,
                    .page_tokens = kUnfoldedTokens,
                    .n_kv = n_kv,
                    .scale = d_.softmax_scale,
                    .scores = scores_,
                    .out = out(t),
                    .out_stride = int64_t{d_.n_head} * d_.value_dim,
                    .carried_max = max_of(t),
                    .carried_sum = sum_of(t)});
  }

  const MlaDesc& d_;
  const MlaArgs& args_;
  const VectorKernel& vector_;
  int64_t row_dim_, head_ = 0;
  const float* q_;
  float *attended_, *carried_, *k_up_, *row_;
  std::byte *packed_up_, *packed_values_;
  float *unfolded_, *scores_;
};

}  // namespace

void attend_expanded(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, OpContext& context) {
  static_assert(kUnfoldedTokens <= kMaxPageTokens);
  const TokenBatch& batch = args.batch;
  int64_t n_run = 0;
  for (int64_t t = 0; t < batch.n_token; ++t) {
    if (t == 0 || batch.seq[t] != batch.seq[t - 1]) b.runs[n_run++] = static_cast<int32_t>(t);
  }
  b.runs[n_run] = static_cast<int32_t>(batch.n_token);
  context.pool.for_each(n_run * d.n_head, [&](int64_t task, int worker) {
    const int64_t run = task / d.n_head;
    HeadRun(d, args, b, context.vector, worker).run({b.runs[run], b.runs[run + 1]}, task % d.n_head);
  });
}

}  // namespace sw::cpu
