// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/attention_parts.h"
#include "kernels/cpu/linear.h"

/// Multi-head latent attention on the CPU. The two forms differ in what meets the cache; both give the
/// same but for rounding.
namespace sw::cpu {

enum class MlaForm : uint8_t {
  Absorbed,  ///< each query goes to the latents' side (k_b), the sum of latents comes back (v_b)
  Expanded   ///< keys and values of all heads are unfolded from the latents, then ordinary attention
};

/// Batches of fewer tokens are absorbed in any case, so that the bits of a short one do not depend on how it
/// is cut: they may where the form changes.
inline constexpr int64_t kLeastExpanded = 64;

/// The form with fewer multiply-adds: absorbed for a few tokens, expanded for a long prompt. Where the number
/// of tokens must not matter, absorbed.
MlaForm cheaper_form(const MlaDesc& d, const TokenBatch& batch);

/// Tokens of one absorbed pass; bounds its scratch.
inline constexpr int64_t kAbsorbedTokens = 32;
/// Cached tokens that are unfolded at a time for one head; bounds its scratch.
inline constexpr int64_t kUnfoldedTokens = 128;
/// Query rows of one call of VectorKernel::attend.
inline constexpr int64_t kQueryRows = 16;

/// Arrays of the two forms share nothing, so that either can run.
struct MlaBuffers {
  template <class Take>
  MlaBuffers(const MlaDesc& d, int64_t n_token, int n_thread, Take& take);

  float* normed = nullptr;         ///< [n_token, n_embd]
  std::byte* packed_q = nullptr;   ///< normed, or the normed q_a, as q reads it
  std::byte* packed_qa = nullptr;  ///< normed, as q_a reads it
  std::byte* packed_kv = nullptr;  ///< normed, as kv_a reads it
  float* q_low = nullptr;          ///< [n_token, q_rank]
  float* kv = nullptr;             ///< [n_token, kv_rank + n_rot]
  float* q = nullptr;              ///< [n_token, n_head, nope_dim + n_rot]
  float* attended = nullptr;       ///< [n_token, n_head, value_dim]
  std::byte* packed_out = nullptr;
  float* y = nullptr;       ///< [n_token, n_embd]
  float* scores = nullptr;  ///< [n_thread, kQueryRows, kMaxPageTokens]

  // Absorbed, of kAbsorbedTokens at most.
  std::byte* packed_k = nullptr;  ///< [n_head, n_token] q_nope, as k_b reads it
  float* wide = nullptr;          ///< [n_token, n_head, kv_rank + n_rot] queries
  float* latents = nullptr;       ///< [n_token, n_head, kv_rank] weighted sums
  std::byte* packed_v = nullptr;  ///< [n_head, n_token] latents, as v_b reads them

  // Expanded, of each thread but for the first two.
  float* carried = nullptr;            ///< [2, n_head, n_token] largest score and sum of weights
  int32_t* runs = nullptr;             ///< [n_token + 1] first tokens of runs of one sequence
  float* k_up = nullptr;               ///< [nope_dim, kv_rank] k_b of one head, turned
  float* row = nullptr;                ///< [max(nope_dim, kv_rank + n_rot)]
  std::byte* packed_up = nullptr;      ///< [kUnfoldedTokens] latents, as the product with k_up reads them
  std::byte* packed_values = nullptr;  ///< [kUnfoldedTokens] latents, as v_b reads them
  float* unfolded = nullptr;           ///< [kUnfoldedTokens, nope_dim + n_rot + value_dim]
};

template <class Take>
MlaBuffers::MlaBuffers(const MlaDesc& d, int64_t n_token, int n_thread, Take& take) {
  const int64_t n_embd = d.kv_a.n_in(), n_absorbed = std::min(n_token, kAbsorbedTokens);
  take(normed, n_token * n_embd);
  take_packed(take, packed_q, d.q, n_token);
  if (!d.q_a.empty()) {
    take_packed(take, packed_qa, d.q_a, n_token);
    take(q_low, n_token * d.q_a.n_out());
  }
  take_packed(take, packed_kv, d.kv_a, n_token);
  take(kv, n_token * d.latent_dim());
  take(q, n_token * d.n_head * d.query_dim());
  take(attended, n_token * d.n_head * d.value_dim);
  take_packed(take, packed_out, d.out, n_token);
  take(y, n_token * n_embd);
  take(scores, n_thread * kQueryRows * kMaxPageTokens);

  take_packed(take, packed_k, d.k_b, n_absorbed * d.n_head);
  take(wide, n_absorbed * d.n_head * d.latent_dim());
  take(latents, n_absorbed * d.n_head * d.kv_rank);
  take_packed(take, packed_v, d.v_b, n_absorbed * d.n_head);

  take(carried, 2 * n_token * d.n_head);
  take(runs, n_token + 1);
  take(k_up, n_thread * d.nope_dim * d.kv_rank);
  take(row, n_thread * std::max<int64_t>(d.nope_dim, d.latent_dim()));
  take(packed_up, static_cast<int64_t>(d.bound.decoded->act_bytes(d.kv_rank)) * n_thread * kUnfoldedTokens);
  take_packed(take, packed_values, d.v_b, n_thread * kUnfoldedTokens);
  take(unfolded, n_thread * kUnfoldedTokens * (d.query_dim() + d.value_dim));
}

/// b.q -> b.attended over a cache that has the batch's tokens. Both are some parallel loops.
void attend_absorbed(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, OpContext& context);
void attend_expanded(const MlaDesc& d, const MlaArgs& args, const MlaBuffers& b, OpContext& context);

/// The operation in one of its forms.
void run_mla(const MlaDesc& d, const MlaArgs& args, OpContext& context, MlaForm form);

}  // namespace sw::cpu
