// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/expert_slots.cuh"

namespace sw::cuda {

/// Where the experts' products of a batch stand.
struct ProductRows {
  const int32_t* row;         ///< [n_token, n_slot] the slot's row of y, or -1
  int32_t first_shared = -1;  ///< the shared expert's row of token 0, the others' behind it; or -1
};

/// out += sum over each token's slots, in order, of weight * product, then the shared expert's product, and
/// the identity experts' weights times the token's own input. y [row, n_embd] in f32, or in bf16 (uint16_t).
template <class T>
void combine(const ExpertSlots& slots, const ProductRows& rows, const T* y, const ExpertsArgs& args,
             OpContext& context);

}  // namespace sw::cuda
