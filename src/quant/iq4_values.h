// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/scale.h"
#include "quant/table.h"

namespace sw {

/// The 16 values of IQ4_NL and IQ4_XS: closer together near zero.
struct Iq4Values {
  static constexpr std::array<int8_t, 16> kEntries = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};
};

/// Sub-blocks of 32, x[i] ~ d scale[j] value(q[i]), by a search for the least squared error, each weight's
/// counted `importance` times (null: once). kSubs is 1, without a scale,
/// or 8, with scales in [-32, 31].
template <int kSubs>
struct Iq4Fit {
  static constexpr float kMaxMagnitude = 127.0f * (kSubs > 1 ? 31 : 1) * kMaxF16;
  Iq4Fit(const float* x, const float* importance);

  Iq4Fit() = default;

  uint16_t d = 0;  ///< f16
  int8_t scale[kSubs] = {};
  uint8_t q[32 * kSubs] = {};
};

/// Without a search: the value of largest magnitude becomes the first value, and the step is then the best
/// for what all became.
Iq4Fit<1> quick_iq4_fit(const float* x);

}  // namespace sw
