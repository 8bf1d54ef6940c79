// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "arch/hparams.h"

namespace sw {

/// A size of tensors that HParams gives. A family that has others declares them beside its tensors.
struct Dim {
  int64_t (*of)(const HParams&) = nullptr;

  // Named as enumerators are: a declaration says {Dim::Vocab, Dim::Embd}.
  // NOLINTBEGIN(readability-identifier-naming)
  static const Dim Embd, TwoEmbd, Vocab, Ff;
  static const Dim Head, Heads, RotPairs, QRows, KRows, VRows, QkvRows, ValueRows;
  static const Dim QRank, KvRank;
  static const Dim LatentRows;   ///< a latent and the rotated part of a key
  static const Dim LatentQRows;  ///< all heads' queries, made from latents
  static const Dim PlainQRows;   ///< or from the input: 0 where they are made from latents
  static const Dim NopeHead, ValueHead, HeadValueRows;
  static const Dim Expert, ExpertFf, SharedFf;
  static const Dim RouterRows;  ///< identity experts included
  // NOLINTEND(readability-identifier-naming)
};

// clang-format off
inline constexpr Dim Dim::Embd{[](const HParams& h) { return int64_t{h.n_embd}; }};
inline constexpr Dim Dim::TwoEmbd{[](const HParams& h) { return 2 * int64_t{h.n_embd}; }};
inline constexpr Dim Dim::Vocab{[](const HParams& h) { return int64_t{h.n_vocab}; }};
inline constexpr Dim Dim::Ff{[](const HParams& h) { return int64_t{h.n_ff}; }};

inline constexpr Dim Dim::Head{[](const HParams& h) { return int64_t{h.attention.head_dim}; }};
inline constexpr Dim Dim::Heads{[](const HParams& h) { return int64_t{h.attention.n_head}; }};
inline constexpr Dim Dim::RotPairs{[](const HParams& h) { return int64_t{h.rope.n_rot / 2}; }};
inline constexpr Dim Dim::QRows{[](const HParams& h) { return int64_t{h.attention.n_head} * h.attention.head_dim; }};
inline constexpr Dim Dim::KRows{[](const HParams& h) { return int64_t{h.attention.n_head_kv} * h.attention.head_dim; }};
inline constexpr Dim Dim::VRows{[](const HParams& h) { return int64_t{h.attention.n_head_kv} * h.attention.value_dim; }};
inline constexpr Dim Dim::QkvRows{[](const HParams& h) { return QRows.of(h) + KRows.of(h) + VRows.of(h); }};
inline constexpr Dim Dim::ValueRows{[](const HParams& h) { return int64_t{h.attention.n_head} * h.attention.value_dim; }};

inline constexpr Dim Dim::QRank{[](const HParams& h) { return int64_t{h.mla.q_rank}; }};
inline constexpr Dim Dim::KvRank{[](const HParams& h) { return int64_t{h.mla.kv_rank}; }};
inline constexpr Dim Dim::LatentRows{[](const HParams& h) { return int64_t{h.mla.kv_rank} + h.rope.n_rot; }};
inline constexpr Dim Dim::LatentQRows{[](const HParams& h) { return int64_t{h.attention.n_head} * h.mla.key_dim; }};
inline constexpr Dim Dim::PlainQRows{[](const HParams& h) { return h.mla.q_rank > 0 ? 0 : LatentQRows.of(h); }};
inline constexpr Dim Dim::NopeHead{[](const HParams& h) { return int64_t{h.mla.nope_dim}; }};
inline constexpr Dim Dim::ValueHead{[](const HParams& h) { return int64_t{h.mla.value_dim}; }};
inline constexpr Dim Dim::HeadValueRows{[](const HParams& h) { return int64_t{h.attention.n_head} * h.mla.value_dim; }};

inline constexpr Dim Dim::Expert{[](const HParams& h) { return int64_t{h.moe.n_expert}; }};
inline constexpr Dim Dim::ExpertFf{[](const HParams& h) { return int64_t{h.moe.n_ff_expert}; }};
inline constexpr Dim Dim::SharedFf{[](const HParams& h) { return int64_t{h.moe.n_ff_shared}; }};
inline constexpr Dim Dim::RouterRows{[](const HParams& h) { return int64_t{h.moe.n_expert} + h.moe.n_expert_zero; }};
// clang-format on

}  // namespace sw
