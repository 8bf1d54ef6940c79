// SPDX-License-Identifier: MIT
#pragma once
#include <iterator>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/expert_table.h"
#include "kernels/matmul.h"
#include "kernels/op_kernel.h"
#include "kernels/token_batch.h"
#include "kv/layer_view.h"
#include "quant/weight.h"
#include "router/route_counts.h"
#include "router/routing.h"
#include "tensor/view.h"

/// The coarse operations of a model, listed in kernels/ops.inc. Each is an OpKernel with variants listed in
/// kernels/variants/<op>.inc, the scalar reference last. Operands are typed and named; nothing is guessed
/// from a neighbour.
///
/// A description says what is computed and with which weights. Its for_each_weight(desc, f) is the one list
/// of its weights: it calls f(name, member) for each of them, whether it is there or not. A member is a
/// Linear, Values or a WeightView; the name is for users. Whatever concerns all weights folds over that list.
namespace sw {

/// Norms, biases and the like: a vector of f32, or nothing.
struct Values {
  const float* data = nullptr;
  int64_t n = 0;

  constexpr operator const float*() const { return data; }  // NOLINT: implicit, it is a pointer with a length
  std::span<const float> span() const { return {data, static_cast<size_t>(n)}; }
};

/// A weight matrix [n_out, n_in] (or stacked [n_expert, n_out, n_in]) and, on the CPU, the product bound to
/// it; a GPU's operations bring their own.
struct Linear {
  WeightView weight = {};
  const MatmulKernel* matmul = nullptr;

  bool empty() const { return weight.empty(); }
  int64_t n_in() const { return weight.shape.n_cols(); }
  int64_t n_out() const { return weight.shape[weight.shape.n_dims() - 2]; }
  /// The question that choose_matmul() answers. Only a single matrix can be packed.
  MatmulDesc product(bool may_pack) const {
    return {.weight = weight.type,
            .n_in = n_in(),
            .n_out = weight.shape.n_rows(),
            .may_pack = may_pack && weight.shape.n_dims() == 2};
  }
};

/// What bind_op() adds to a description: how the operation runs, not what it computes.
struct Bound {
  /// A row's bits do not depend on how many rows there are. On the CPU they never do but in latent attention,
  /// which then keeps to one form.
  bool row_invariant = false;
  /// The CPU's product with the matrix that latent attention decodes to f32 as it runs.
  const MatmulKernel* decoded = nullptr;
};

template <class Desc, class F>
void for_each_weight(Desc& desc, F&& f) {
  std::remove_const_t<Desc>::for_each_weight(desc, f);
}

/// Calls f(linear) for each matrix that is there.
template <class Desc, class F>
void for_each_linear(const Desc& desc, F&& f) {
  for_each_weight(desc, [&]<class Weight>(const char*, const Weight& weight) {
    if constexpr (std::is_same_v<Weight, Linear>) {
      if (!weight.empty()) f(weight);
    }
  });
}

inline uint64_t linear_flops(const WeightView& w, int64_t n_token) {
  return 2 * static_cast<uint64_t>(w.shape.n_elements()) * static_cast<uint64_t>(n_token);
}

/// Counts one read of a dense weight for `n_token` tokens.
inline void count_dense(OpCounters& counters, const Linear& linear, int64_t n_token) {
  counters.dense_bytes += linear.weight.size_bytes();
  counters.dense_flops += linear_flops(linear.weight, n_token);
}
/// Likewise of all matrices of a description.
template <class Desc>
void count_dense(OpCounters& counters, const Desc& desc, int64_t n_token) {
  for_each_linear(desc, [&](const Linear& linear) { count_dense(counters, linear, n_token); });
}

/// out[t] = table[ids[t]].
struct EmbedDesc {
  WeightView table = {};  ///< [n_vocab, n_embd]

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("embeddings", d.table);
  }
};
struct EmbedArgs {
  const TokenBatch& batch;
  TensorView<float> out;  ///< [n_token, n_embd]
};

/// Which dims of a head are rotated by position: the first n_rot, in pairs.
struct Rope {
  int n_rot = 0;
  bool neighbours = false;  ///< pairs (2i, 2i + 1) instead of (i, i + n_rot / 2)

  constexpr int n_pair() const { return n_rot / 2; }
};

/// RMS norms of queries and keys, before they are rotated.
struct QkNorm {
  enum class Over : uint8_t {
    Nothing,  ///< there are none
    Head,     ///< q and k [head_dim]
    AllHeads  ///< q [n_head * head_dim], k [n_head_kv * head_dim]
  };
  Over over = Over::Nothing;
  Values q = {}, k = {};

  bool any() const { return over != Over::Nothing; }
};

/// What a token sees of the tokens before it.
struct AttentionMask {
  int window = 0;  ///< so many, itself included; 0: all

  /// The first position that a token at `pos` sees.
  int64_t first_seen(int64_t pos) const { return window > 0 && pos >= window ? pos - window + 1 : 0; }
};

/// x += out_proj(attend(rope(clip(qk_norm(qkv(norm(x)) + bias))))) + out_bias, with the cache appended first.
struct AttentionDesc {
  int n_head = 0, n_head_kv = 0, head_dim = 0, value_dim = 0;
  float rms_eps = 0;
  Values norm = {};       ///< [n_embd]
  Linear qkv = {};        ///< rows: all query heads, all key heads, all value heads
  Values qkv_bias = {};   ///< [rows of qkv]
  Linear k = {}, v = {};  ///< where a model stores them apart; qkv and its bias are the queries' alone then
  Values k_bias = {}, v_bias = {};  ///< [n_head_kv * head_dim]
  QkNorm qk_norm = {};
  float clip = 0;  ///< not 0: queries, keys and values are brought to -clip .. clip
  Rope rope = {};
  AttentionMask mask = {};
  Values sinks = {};     ///< [n_head] a logit of each head that takes part in the softmax alone
  Linear out = {};       ///< [n_embd, n_head * head_dim]
  Values out_bias = {};  ///< [n_embd]
  Bound bound = {};

  int64_t n_qkv() const { return int64_t{n_head + 2 * n_head_kv} * head_dim; }
  /// The bias of a head, counted through queries, keys and values; null where there is none.
  const float* bias_of(int64_t head) const {
    const auto at = [&](const float* bias, int64_t h) { return bias ? bias + h * head_dim : nullptr; };
    if (k.empty() || head < n_head) return at(qkv_bias, head);
    const int64_t h = head - n_head;
    return h < n_head_kv ? at(k_bias, h) : at(v_bias, h - n_head_kv);
  }

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("attention norm", d.norm);
    f("attention qkv", d.qkv);
    f("attention qkv bias", d.qkv_bias);
    f("attention keys", d.k);
    f("attention key bias", d.k_bias);
    f("attention values", d.v);
    f("attention value bias", d.v_bias);
    f("attention query norm", d.qk_norm.q);
    f("attention key norm", d.qk_norm.k);
    f("attention sinks", d.sinks);
    f("attention output", d.out);
    f("attention output bias", d.out_bias);
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
  int n_head = 0, nope_dim = 0, value_dim = 0, kv_rank = 0;
  Rope rope = {};
  float rms_eps = 0, latent_eps = 0;    ///< of norm; of q_a_norm and kv_a_norm
  float q_scale = 1, latent_scale = 1;  ///< the cache holds the scaled latent
  float softmax_scale = 0;
  Values norm = {};       ///< [n_embd]
  Linear q_a = {};        ///< [q_rank, n_embd], or empty
  Values q_a_norm = {};   ///< [q_rank]
  Linear q = {};          ///< [n_head * (nope_dim + n_rot), q_rank or n_embd]
  Linear kv_a = {};       ///< [kv_rank + n_rot, n_embd]
  Values kv_a_norm = {};  ///< [kv_rank]
  Linear k_b = {};        ///< [n_head, kv_rank, nope_dim]: latent-side queries k_b[h] q_nope
  Linear v_b = {};        ///< [n_head, value_dim, kv_rank]
  Linear out = {};        ///< [n_embd, n_head * value_dim]
  Bound bound = {};

  /// Of a query head.
  int64_t query_dim() const { return nope_dim + rope.n_rot; }
  /// Of a row of the cache.
  int64_t latent_dim() const { return kv_rank + rope.n_rot; }

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("attention norm", d.norm);
    f("attention query latents", d.q_a);
    f("attention query latent norm", d.q_a_norm);
    f("attention queries", d.q);
    f("attention latents", d.kv_a);
    f("attention latent norm", d.kv_a_norm);
    f("attention keys", d.k_b);
    f("attention values", d.v_b);
    f("attention output", d.out);
  }
};
struct MlaArgs {
  const TokenBatch& batch;
  KvLayerView kv;       ///< keys alone, one head of kv_rank + n_rot: the latent, then the rotated part
  TensorView<float> x;  ///< [n_token, n_embd], residual
};

/// A short convolution between two gates: x += out(c * y) + out_bias, where
///   b, c, v = in(norm(x)) + in_bias, each n_embd wide; u = b * v;
///   y(t) = bias + sum over j of taps[:, j] * u(t - n_tap + 1 + j), channel by channel.
/// u is 0 before a sequence's first token. The state after a token is the last n_tap - 1 u, oldest first.
struct ShortConvDesc {
  Values norm = {};  ///< [n_embd]
  float rms_eps = 0;
  Linear in = {};        ///< [3 * n_embd, n_embd]
  Values in_bias = {};   ///< [3 * n_embd]
  Values taps = {};      ///< [n_embd, n_tap]
  Values bias = {};      ///< [n_embd]
  Linear out = {};       ///< [n_embd, n_embd]
  Values out_bias = {};  ///< [n_embd]

  int64_t n_embd() const { return in.n_in(); }
  int64_t n_tap() const { return taps.n / n_embd(); }

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("convolution norm", d.norm);
    f("convolution input", d.in);
    f("convolution input bias", d.in_bias);
    f("convolution taps", d.taps);
    f("convolution bias", d.bias);
    f("convolution output", d.out);
    f("convolution output bias", d.out_bias);
  }
};
struct ShortConvArgs {
  const TokenBatch& batch;
  StateView states;     ///< [n_tap - 1, n_embd] each
  TensorView<float> x;  ///< [n_token, n_embd], residual
};

/// normed = norm(x); logits = router(normed) + logit_bias; routing = route(logits).
struct RouteDesc {
  Values norm = {};  ///< [n_embd]
  float rms_eps = 0;
  Linear router = {};      ///< [n_expert + n_zero, n_embd]
  Values logit_bias = {};  ///< [n_expert + n_zero] added to the logits
  Values bias = {};        ///< [n_expert + n_zero] of the selection
  RouterSpec spec = {};
  int moe_layer = 0;  ///< row of the policy table
  Bound bound = {};

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("router norm", d.norm);
    f("router", d.router);
    f("router logit bias", d.logit_bias);
    f("router selection bias", d.bias);
  }
};
struct RouteArgs {
  const TokenBatch& batch;
  TensorView<const float> x;
  TensorView<float> normed;  ///< [n_token, n_embd]
  TensorView<float> logits;  ///< [n_token, n_expert + n_zero]
  Routing& routing;
  PolicyRows policies = {};  ///< the table as this device reads it
  RouteCounts counts = {};   ///< where what was chosen is counted, on the same device, if anywhere
};

/// out += down(silu(gate(x')) * up(x')), each with its bias where there is one; x' = norm(x) where a norm is
/// given. Dense layers, shared experts.
struct FfnDesc {
  Values norm = {};  ///< [n_embd]
  float rms_eps = 0;
  Linear gate = {}, up = {};            ///< [n_ff, n_embd]
  Linear down = {};                     ///< [n_embd, n_ff]
  Values gate_bias = {}, up_bias = {};  ///< [n_ff]
  Values down_bias = {};                ///< [n_embd]
  Bound bound = {};

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("ffn norm", d.norm);
    f("ffn gate", d.gate);
    f("ffn up", d.up);
    f("ffn down", d.down);
    f("ffn gate bias", d.gate_bias);
    f("ffn up bias", d.up_bias);
    f("ffn down bias", d.down_bias);
  }
};
struct FfnArgs {
  TensorView<const float> x;
  TensorView<float> out;  ///< may be the memory of x
};

/// out += sum over slots of weight * down(act(gate(x), up(x))), each with its bias, and the shared expert's;
/// act is silu(gate) * up or, with a limit, clamped_swiglu. An identity expert adds weight * x; a slot with
/// id -1, and an expert on another device, add nothing. Bytes of experts that no token chose are not read.
struct ExpertsDesc {
  ExpertStack gate = {}, up = {};  ///< [n_expert, n_ff, n_embd], each with its biases
  ExpertStack down = {};           ///< [n_expert, n_embd, n_ff]
  float swiglu_limit = 0;          ///< 0: silu(gate) * up
  int n_slot = 0;                  ///< most slots a token may use (the policy table's k at most)
  bool identity = true;            ///< adds the identity experts' share; false on all devices but one
  FfnDesc shared = {};             ///< a GPU's alone: on the CPU it is an operation of its own
  Bound bound = {};

  /// Ids from here on are identity experts.
  int64_t n_expert() const { return gate.n_expert; }

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("expert gate", d.gate);
    f("expert up", d.up);
    f("expert down", d.down);
    sw::for_each_weight(d.shared, f);
  }
};
struct ExpertsArgs {
  TensorView<const float> x;  ///< [n_token, n_embd], normed
  const Routing& routing;
  TensorView<float> out;  ///< [n_token, n_embd], added to
};

/// logits[i] = output(norm(x[rows[i]])).
struct HeadDesc {
  Values norm = {};  ///< [n_embd]
  float rms_eps = 0;
  Linear output = {};  ///< [n_vocab, n_embd]
  Bound bound = {};

  template <class Self, class F>
  static void for_each_weight(Self& d, F& f) {
    f("head norm", d.norm);
    f("head", d.output);
  }
};
struct HeadArgs {
  TensorView<const float> x;
  std::span<const int32_t> rows;
  TensorView<float> normed;  ///< [n_rows, n_embd]
  TensorView<float> logits;  ///< [n_rows, n_vocab]
};

#define SW_OP(name, Name)                                                 \
  template <>                                                             \
  struct OpTraits<Name##Desc> {                                           \
    using Args = Name##Args;                                              \
    static constexpr const char* kName = #name;                           \
    /* Best first, the reference last; a GPU's only in a build for it. */ \
    static std::vector<const OpKernel<Name##Desc>*> kernels();            \
  };                                                                      \
  using Name##Kernel = OpKernel<Name##Desc>;
#include "kernels/ops.inc"
#undef SW_OP

/// How operations are bound: the best instruction set allowed, or the scalar references (--no-fused).
struct BindOptions {
  Isa limit = Isa::Scalar;
  bool references = false;
  bool row_invariant = false;           ///< one way for any number of tokens (--invariant)
  bool may_pack = false;                ///< on the CPU weights may lie as a kernel packs them (--repack)
  bool observe_products = false;        ///< on the CPU products are ProductObserver's
  DeviceKind device = DeviceKind::Cpu;  ///< a GPU has no references of its own
};

/// Binds a description to the first variant that accepts it; on the CPU its matrices get their product
/// kernels. `why`, if given, gets a line per choice. Throws sw::Error with all reasons where none accepts it.
template <class Desc>
BoundOp<Desc> bind_op(Desc desc, const BindOptions& options, std::string* why = nullptr);

}  // namespace sw
