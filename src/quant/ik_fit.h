// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

/// The search behind the formats of ik_llama.cpp: which factor, scales and codes reproduce the weights with
/// the least squared error, each weight's error counted `importance` times (null: once). Scalar arithmetic in
/// a fixed order: the same result on every machine. Weights and importance are cleaned as in k_fit.h.
///
/// F is the format's struct (ik_blocks.h).
namespace sw {

/// A block of 256 weights, ready to be packed.
struct IkFit {
  uint16_t d = 0;           ///< f16; 0 where the factor is the row's
  uint8_t scale[16] = {};   ///< of each sub-block, an index into F::Scales
  bool shifted[16] = {};    ///< whether it uses the shifted values
  uint16_t code[256] = {};  ///< of each weight; of weights that share one, at the first

  uint16_t shifted_bits() const {
    int bits = 0;
    for (int j = 0; j < 16; ++j) bits |= (shifted[j] ? 1 : 0) << j;
    return static_cast<uint16_t>(bits);
  }
};

/// The best block with a factor of its own.
template <class F>
IkFit fit_ik_block(const float* x, const float* importance);

/// The factor of a row of `n_elems`; one that f16 holds where that is how F::RowHeader stores it.
template <class F>
float fit_ik_row(const float* x, int64_t n_elems, const float* importance);

/// The best block of a row with the factor d.
template <class F>
IkFit fit_ik_block(float d, const float* x, const float* importance);

}  // namespace sw
