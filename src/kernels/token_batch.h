// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

namespace sw {

/// The tokens of one forward pass. Arrays of n_token unless said otherwise.
struct TokenBatch {
  int64_t n_token = 0;
  const int32_t* ids = nullptr;
  const int32_t* pos = nullptr;  ///< position in its sequence; all earlier ones are cached
  const int32_t* seq = nullptr;  ///< which block table
  int64_t n_alone = 0;           ///< so many at the front have no other token of their sequence here
  const int32_t* const* block_tables = nullptr;  ///< [n_seq] -> pages of the sequence in the block's group
  /// Of a block that keeps states, pages of its group. [n_seq] the one that holds the state before the
  /// sequence's first token here; -1: the state is zeros. It is read only.
  const int32_t* state_from = nullptr;
  const int32_t* state_to = nullptr;  ///< where the state after the token is stored; -1: nowhere
  const uint16_t* policy = nullptr;   ///< resolved routing policy
  const float* rope_cos = nullptr;    ///< [n_token, n_rot / 2]
  const float* rope_sin = nullptr;
};

}  // namespace sw
