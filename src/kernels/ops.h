// SPDX-License-Identifier: MIT
#pragma once
#include <iterator>
#include <span>

#include "kernels/matmul.h"
#include "kernels/op_kernel.h"
#include "kv/layer_view.h"
#include "quant/weight.h"
#include "router/routing.h"
#include "tensor/view.h"

/// The coarse operations of a model. Each is an OpKernel with variants listed in kernels/variants/<op>.inc,
/// the scalar reference last. Operands are typed and named; nothing is guessed from a neighbour.
namespace sw {

/// A weight matrix [n_out, n_in] (or stacked [n_expert, n_out, n_in]) and the product bound to it.
struct Linear {
  WeightView weight = {};
  const MatmulKernel* matmul = nullptr;
  /// Bound so that a row's bits do not depend on how many rows there are; so is the operation around it. The
  /// processor's products are so in any case.
  bool row_invariant = false;

  bool empty() const { return weight.empty(); }
  int64_t n_in() const { return weight.shape.n_cols(); }
  int64_t n_out() const { return weight.shape[weight.shape.n_dims() - 2]; }
};

inline uint64_t linear_flops(const WeightView& w, int64_t n_token) {
  return 2 * static_cast<uint64_t>(w.shape.n_elements()) * static_cast<uint64_t>(n_token);
}

/// Counts one read of a dense weight for `n_token` tokens.
inline void count_dense(OpCounters& counters, const Linear& linear, int64_t n_token) {
  counters.dense_bytes += linear.weight.size_bytes();
  counters.dense_flops += linear_flops(linear.weight, n_token);
}

/// The tokens of one forward pass. Arrays of n_token unless said otherwise.
struct TokenBatch {
  int64_t n_token = 0;
  const int32_t* ids = nullptr;
  const int32_t* pos = nullptr;                  ///< position in its sequence; all earlier ones are cached
  const int32_t* seq = nullptr;                  ///< which block table
  const int32_t* const* block_tables = nullptr;  ///< [n_seq] -> pages of the sequence in the block's group
  /// Of a block that keeps states, pages of its group. [n_seq] the one that holds the state before the
  /// sequence's first token here; -1: the state is zeros. It is read only.
  const int32_t* state_from = nullptr;
  const int32_t* state_to = nullptr;  ///< where the state after the token is stored; -1: nowhere
  const uint16_t* policy = nullptr;   ///< resolved routing policy
  const float* rope_cos = nullptr;    ///< [n_token, n_rot / 2]
  const float* rope_sin = nullptr;
};

/// out[t] = table[ids[t]].
struct EmbedDesc {
  WeightView table = {};  ///< [n_vocab, n_embd]
};
struct EmbedArgs {
  const TokenBatch& batch;
  TensorView<float> out;  ///< [n_token, n_embd]
};

/// x += out_proj(attend(rope(qk_norm(qkv(norm(x)) + bias)))) + out_bias, with the cache appended first.
struct AttentionDesc {
  int n_head = 0, n_head_kv = 0, head_dim = 0, value_dim = 0, n_rot = 0;
  bool rope_neighbours = false;  ///< rotary pairs (2i, 2i + 1) instead of (i, i + n_rot / 2)
  float rms_eps = 0;
  const float* norm = nullptr;  ///< [n_embd]
  Linear qkv = {};              ///< rows: all query heads, all key heads, all value heads
  const float* qkv_bias = nullptr;
  Linear k = {}, v = {};  ///< where a model stores them apart; qkv and its bias are the queries' alone then
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* q_norm = nullptr;  ///< [head_dim], or null
  const float* k_norm = nullptr;
  bool norm_all_heads = false;   ///< one norm over all heads: q_norm [n_head * head_dim], k_norm likewise
  int window = 0;                ///< a token sees so many, itself included; 0: all
  const float* sinks = nullptr;  ///< [n_head] a logit of each head that takes part in the softmax alone
  Linear out = {};               ///< [n_embd, n_head * head_dim]
  const float* out_bias = nullptr;

  int64_t n_qkv() const { return int64_t{n_head + 2 * n_head_kv} * head_dim; }
  /// The first position that a token at `pos` sees.
  int64_t first_seen(int64_t pos) const { return window > 0 && pos >= window ? pos - window + 1 : 0; }
  /// The bias of a head, counted through queries, keys and values; null where there is none.
  const float* bias_of(int64_t head) const {
    const auto at = [&](const float* bias, int64_t h) { return bias ? bias + h * head_dim : nullptr; };
    if (k.empty() || head < n_head) return at(qkv_bias, head);
    const int64_t h = head - n_head;
    return h < n_head_kv ? at(k_bias, h) : at(v_bias, h - n_head_kv);
  }
};
struct AttentionArgs {
  const TokenBatch& batch;
  KvLayerView kv;
  TensorView<float> x;  ///< [n_token, n_embd], residual
};

/// Multi-head latent attention: x += out(values), with the cache appended first. A token's keys and values of
/// all heads come from one latent, which is what the cache keeps beside the rotated part that all heads
/// share.
///   q [n_head, nope_dim + n_rot] = q_scale * q(q_a_norm(q_a(norm(x)))), or q_scale * q(norm(x)) without q_a;
///   latent = latent_scale * kv_a_norm(kv_a(norm(x))[0 .. kv_rank)); rope turns the rest of kv_a's rows and
///   the last n_rot dims of each query head; score(h, j) = softmax_scale * (q_nope . k_b[h]^T latent_j +
///   q_rot . k_rot_j); value(h, j) = v_b[h] latent_j.
struct MlaDesc {
  int n_head = 0, nope_dim = 0, n_rot = 0, value_dim = 0, kv_rank = 0;
  bool rope_neighbours = false;         ///< rotary pairs (2i, 2i + 1) instead of (i, i + n_rot / 2)
  float rms_eps = 0, latent_eps = 0;    ///< of norm; of q_a_norm and kv_a_norm
  float q_scale = 1, latent_scale = 1;  ///< the cache holds the scaled latent
  float softmax_scale = 0;
  const float* norm = nullptr;           ///< [n_embd]
  Linear q_a = {};                       ///< [q_rank, n_embd], or empty
  const float* q_a_norm = nullptr;       ///< [q_rank]
  Linear q = {};                         ///< [n_head * (nope_dim + n_rot), q_rank or n_embd]
  Linear kv_a = {};                      ///< [kv_rank + n_rot, n_embd]
  const float* kv_a_norm = nullptr;      ///< [kv_rank]
  Linear k_b = {};                       ///< [n_head, kv_rank, nope_dim]: latent-side queries k_b[h] q_nope
  Linear v_b = {};                       ///< [n_head, value_dim, kv_rank]
  Linear out = {};                       ///< [n_embd, n_head * value_dim]
  const MatmulKernel* unfold = nullptr;  ///< the processor's product of latents with decoded k_b; bound
};
struct MlaArgs {
  const TokenBatch& batch;
  KvLayerView kv;       ///< keys alone, one head of kv_rank + n_rot: the latent, then the rotated part
  TensorView<float> x;  ///< [n_token, n_embd], residual
};

/// normed = norm(x); logits = router(normed) + logit_bias; routing = route(logits).
struct RouteDesc {
  const float* norm = nullptr;
  float rms_eps = 0;
  Linear router = {};                 ///< [n_expert + n_zero, n_embd]
  const float* logit_bias = nullptr;  ///< [n_expert + n_zero] added to the logits, or null
  std::span<const float> bias = {};   ///< [n_expert + n_zero] of the selection, or empty
  RouterSpec spec = {};
  int moe_layer = 0;  ///< row of the policy table
  const PolicyTable* policies = nullptr;
  PolicyRows rows = {};  ///< the table's copy on a GPU, where that is what routes
};
struct RouteArgs {
  const TokenBatch& batch;
  TensorView<const float> x;
  TensorView<float> normed;  ///< [n_token, n_embd]
  TensorView<float> logits;  ///< [n_token, n_expert + n_zero]
  Routing& routing;
};

/// out += sum over slots of weight * down(act(gate(x), up(x))), each with its bias; act is silu(gate) * up
/// or, with a limit, clamped_swiglu (kernels/clamped_swiglu.h). An identity expert adds weight * x; a slot
/// with id -1 adds nothing. Bytes of experts that no token chose are not read.
struct ExpertsDesc {
  Linear gate = {}, up = {};         ///< [n_expert, n_ff, n_embd]
  Linear down = {};                  ///< [n_expert, n_embd, n_ff]
  const float* gate_bias = nullptr;  ///< [n_expert, n_ff], or null
  const float* up_bias = nullptr;
  const float* down_bias = nullptr;  ///< [n_expert, n_embd], or null
  float swiglu_limit = 0;            ///< 0: silu(gate) * up
  int n_slot = 0;                    ///< most slots a token may use (the policy table's k at most)
  /// [the model's n_expert] Where only some experts are on this device: an expert's place in the stacks
  /// above, or -1 for one that lives elsewhere and adds nothing here. Empty: all are here, in order.
  std::span<const int32_t> local = {};
  bool identity = true;  ///< adds the identity experts' share; false on all devices but one

  /// Ids from here on are identity experts.
  int64_t n_expert() const { return local.empty() ? gate.weight.shape[0] : std::ssize(local); }
  /// The place of an id in the stacks, or -1. Reads `local`: only on the device that it is on.
  int32_t place(int32_t id) const {
    if (id < 0 || id >= n_expert()) return -1;
    return local.empty() ? id : local[static_cast<size_t>(id)];
  }
};
struct ExpertsArgs {
  TensorView<const float> x;  ///< [n_token, n_embd], normed
  const Routing& routing;
  TensorView<float> out;  ///< [n_token, n_embd], added to
};

/// out += down(silu(gate(x')) * up(x')), x' = norm(x) where a norm is given. Dense layers, shared experts.
struct FfnDesc {
  const float* norm = nullptr;
  float rms_eps = 0;
  Linear gate = {}, up = {};  ///< [n_ff, n_embd]
  Linear down = {};           ///< [n_embd, n_ff]
};
struct FfnArgs {
  TensorView<const float> x;
  TensorView<float> out;  ///< may be the memory of x
};

/// logits[i] = output(norm(x[rows[i]])).
struct HeadDesc {
  const float* norm = nullptr;
  float rms_eps = 0;
  Linear output = {};  ///< [n_vocab, n_embd]
};
struct HeadArgs {
  TensorView<const float> x;
  std::span<const int32_t> rows;
  TensorView<float> normed;  ///< [n_rows, n_embd]
  TensorView<float> logits;  ///< [n_rows, n_vocab]
};

using EmbedKernel = OpKernel<EmbedDesc, EmbedArgs>;
using AttentionKernel = OpKernel<AttentionDesc, AttentionArgs>;
using MlaKernel = OpKernel<MlaDesc, MlaArgs>;
using RouteKernel = OpKernel<RouteDesc, RouteArgs>;
using ExpertsKernel = OpKernel<ExpertsDesc, ExpertsArgs>;
using FfnKernel = OpKernel<FfnDesc, FfnArgs>;
using HeadKernel = OpKernel<HeadDesc, HeadArgs>;

/// How operations are bound: the best instruction set allowed, or the scalar references (--no-fused).
struct BindOptions {
  Isa limit = Isa::Scalar;
  bool references = false;
  bool row_invariant = false;           ///< one way for any number of tokens (--invariant)
  DeviceKind device = DeviceKind::Cpu;  ///< a GPU has no references of its own
};

/// Bind a description to the first variant that accepts it; matrices in it get their product kernels.
/// `why`, if given, gets a line for each choice.
BoundOp<EmbedDesc, EmbedArgs> bind_op(EmbedDesc desc, const BindOptions& options, std::string* why = nullptr);
BoundOp<AttentionDesc, AttentionArgs> bind_op(AttentionDesc desc, const BindOptions& options,
                                              std::string* why = nullptr);
BoundOp<MlaDesc, MlaArgs> bind_op(MlaDesc desc, const BindOptions& options, std::string* why = nullptr);
BoundOp<RouteDesc, RouteArgs> bind_op(RouteDesc desc, const BindOptions& options, std::string* why = nullptr);
BoundOp<ExpertsDesc, ExpertsArgs> bind_op(ExpertsDesc desc, const BindOptions& options,
                                          std::string* why = nullptr);
BoundOp<FfnDesc, FfnArgs> bind_op(FfnDesc desc, const BindOptions& options, std::string* why = nullptr);
BoundOp<HeadDesc, HeadArgs> bind_op(HeadDesc desc, const BindOptions& options, std::string* why = nullptr);

}  // namespace sw
