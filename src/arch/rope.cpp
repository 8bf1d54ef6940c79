// SPDX-License-Identifier: MIT
#include "arch/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sw {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

/// The frequency of a rotary pair before any scaling, as the models' original Python rounds it.
float plain_frequency(const RopeParams& rope, int pair) {
  const double exponent = 2.0 * pair / rope.n_rot;
  return static_cast<float>(1.0 / std::pow(static_cast<double>(rope.freq_base), exponent));
}

/// The pair, as a fraction, that turns `n` times within the original context.
double pair_of_rotations(const RopeParams& rope, double n) {
  return rope.n_rot * std::log(rope.n_ctx_orig / (n * kTwoPi)) /
         (2 * std::log(static_cast<double>(rope.freq_base)));
}

/// How much yarn amplifies for the context's growth.
float yarn_growth(const RopeParams& rope, float multiplier) {
  return rope.factor > 1 ? multiplier * std::log(rope.factor) + 1 : 1.0f;
}

/// Scales slow pairs by 1 / factor, leaves fast ones, and goes over from one to the other in between.
void scale_yarn(const RopeParams& rope, RopeTable& table) {
  double fast = pair_of_rotations(rope, static_cast<double>(rope.beta_fast));
  double slow = pair_of_rotations(rope, static_cast<double>(rope.beta_slow));
  if (rope.yarn_round) {
    fast = std::floor(fast);
    slow = std::ceil(slow);
  }
  fast = std::max(fast, 0.0);
  slow = std::min(slow, static_cast<double>(rope.n_rot - 1));
  if (fast == slow) slow += 0.001;
  for (size_t i = 0; i < table.inv_freq.size(); ++i) {
    const double scaled = std::clamp((static_cast<double>(i) - fast) / (slow - fast), 0.0, 1.0);
    const auto plain = static_cast<double>(table.inv_freq[i]);
    table.inv_freq[i] =
        static_cast<float>(plain / static_cast<double>(rope.factor) * scaled + plain * (1 - scaled));
  }
  table.magnitude = rope.attn_factor;
  if (rope.log_multiplier == 0) table.magnitude *= yarn_growth(rope, 0.1f);
}

}  // namespace

float yarn_score_scale(const RopeParams& rope) {
  if (rope.kind() != RopeScaling::Yarn) return 1;
  const float growth = yarn_growth(rope, rope.log_multiplier);
  return growth * growth;
}

RopeTable rope_table(const RopeParams& rope, const float* factors) {
  RopeTable table;
  for (int i = 0; i < rope.n_rot / 2; ++i) {
    table.inv_freq.push_back(plain_frequency(rope, i));
    if (factors) table.inv_freq.back() /= factors[i];
    if (rope.kind() == RopeScaling::Linear) table.inv_freq.back() /= rope.factor;
  }
  if (rope.kind() == RopeScaling::Yarn) scale_yarn(rope, table);
  if (rope.kind() == RopeScaling::LongRope) table.magnitude = rope.attn_factor;
  return table;
}

std::vector<float> llama3_factors(const RopeParams& rope) {
  std::vector<float> factors;
  for (int i = 0; i < rope.n_rot / 2; ++i) {
    const double rotations = rope.n_ctx_orig * static_cast<double>(plain_frequency(rope, i)) / kTwoPi;
    const auto low = static_cast<double>(rope.low_freq_factor),
               high = static_cast<double>(rope.high_freq_factor);
    const double kept = std::clamp((rotations - low) / (high - low), 0.0, 1.0);
    factors.push_back(static_cast<float>(1 / ((1 - kept) / static_cast<double>(rope.factor) + kept)));
  }
  return factors;
}

}  // namespace sw
