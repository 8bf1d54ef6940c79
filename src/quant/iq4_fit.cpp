// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "quant/fit.h"
#include "quant/iq4_values.h"

namespace sw {
namespace {

constexpr auto& kValues = Iq4Values::kEntries;

/// The number of the value nearest to v: how many of the middles between neighbours lie below.
int nearest_value(float v) {
  int number = 0;
  for (size_t k = 0; k + 1 < kValues.size(); ++k)
    number += v > 0.5f * static_cast<float>(kValues[k] + kValues[k + 1]);
  return number;
}

/// What the formats of these values are to ScaleSearch.
template <int n_sub>
class Iq4Codec {
 public:
  static constexpr int kSubs = n_sub, kWindow = 1, kRounds = 3;
  // Where there is one step, its sign is the factor's.
  static constexpr int kMinScale = n_sub > 1 ? -32 : -1, kMaxScale = n_sub > 1 ? 31 : 1;

  Iq4Codec(const float* x, const float* importance) : target_(x, importance, Iq4Fit<n_sub>::kMaxMagnitude) {
    // So small that the values around zero, at the least f16 factor, would do more harm than zeros.
    const auto is_tiny = [](float v) { return std::abs(v) < 7 * 0x1p-24f; };
    if (std::ranges::all_of(target_.x, is_tiny)) std::ranges::fill(target_.x, 0.0f);
  }

  /// The step at which the largest magnitude is the first value.
  float first_step() const {
    return extreme_of(target_.x, kSub * n_sub) / static_cast<float>(kValues.front());
  }

  static float factor(int scale) { return static_cast<float>(scale); }
  static int scale_near(float factor) { return nearest_int(factor, kMinScale, kMaxScale); }

  /// Steps at which the largest magnitude is near either end of the values.
  float guess(int j) const {
    return best_step_at_ends(*this, j, extreme_of(target_.x + kSub * j, kSub), kValues.front(),
                             kValues.back(), kGuesses, kFirstGuess, kGuessStep);
  }
  float error(int j, float step, float /*limit*/) const {
    const float inv_step = inverse_scale(step);
    return squared_error<kSub>(target_.x + kSub * j, target_.w + kSub * j, step,
                               [&](int i) { return value(inv_step, kSub * j + i); });
  }
  void add_products(int j, float step, float factor, FactorSums& sums) const {
    const float inv_step = inverse_scale(step);
    for (int i = kSub * j; i < kSub * (j + 1); ++i)
      sums.add(target_.w[i], factor * value(inv_step, i), target_.x[i]);
  }
  void store(int j, float step, uint8_t* q) const {
    const float inv_step = inverse_scale(step);
    for (int i = kSub * j; i < kSub * (j + 1); ++i) {
      q[i] = static_cast<uint8_t>(nearest_value(target_.x[i] * inv_step));
    }
  }

 private:
  static constexpr int kSub = 32;
  static constexpr int kGuesses = 9;
  static constexpr float kFirstGuess = 0.76f, kGuessStep = 0.06f;

  float value(float inv_step, int i) const {
    return static_cast<float>(kValues[static_cast<size_t>(nearest_value(target_.x[i] * inv_step))]);
  }

  FitTarget<kSub * n_sub> target_;
};

}  // namespace

template <int kSubs>
Iq4Fit<kSubs>::Iq4Fit(const float* x, const float* importance) {
  const Iq4Codec<kSubs> codec(x, importance);
  ScaleSearch<Iq4Codec<kSubs>> search(codec);
  search.run();
  d = kSubs > 1 ? search.d_bits() : scale_bits(search.step(0));
  for (int j = 0; j < kSubs; ++j) {
    scale[j] = static_cast<int8_t>(search.scale(j));
    codec.store(j, search.step(j), q);
  }
}
template struct Iq4Fit<1>;
template struct Iq4Fit<8>;

Iq4Fit<1> quick_iq4_fit(const float* x) {
  const Iq4Codec<1> codec(x, nullptr);
  const float first = codec.first_step();
  FactorSums sums;
  codec.add_products(0, first, 1.0f, sums);
  Iq4Fit<1> fit;
  fit.d = scale_bits(sums.factor());
  codec.store(0, first, fit.q);
  return fit;
}

}  // namespace sw
