// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/iq4_values.h"
#include "quant/scale.h"

namespace sw {

/// 32 nibbles that stand for the values of a table, and one f16 scale: x = d value(q). 4.5 bits a weight.
struct IQ4_NL {
  static constexpr int kBlockElems = 32;
  static constexpr float kErrorBound = 0.2f;
  static constexpr float kMaxMagnitude = Iq4Fit<1>::kMaxMagnitude;
  struct Block {
    uint16_t d;     ///< f16
    uint8_t q[16];  ///< weight i in the low nibble of byte i, weight i + 16 in the high one
  };
  static_assert(sizeof(Block) == 18);

  static constexpr float at(const Block& block, int i) {
    return f16_to_f32(block.d) *
           static_cast<float>(table_entry<Iq4Values>(block.q[i % 16] >> i / 16 * 4 & 15));
  }

  static void encode(const float* x, const float* importance, Block& block) {
    store(Iq4Fit<1>(x, importance), block);
  }
  static void encode_quickly(const float* x, Block& block) { store(quick_iq4_fit(x), block); }

 private:
  static void store(const Iq4Fit<1>& fit, Block& block) {
    block.d = fit.d;
    for (int i = 0; i < 16; ++i) block.q[i] = static_cast<uint8_t>(fit.q[i] | fit.q[i + 16] << 4);
  }
};

}  // namespace sw
