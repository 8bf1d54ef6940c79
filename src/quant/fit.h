// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/scale.h"

/// What the searches for good scales share. All of it is scalar arithmetic in a fixed order: the same result
/// on every machine.
namespace sw {

/// n weights, cleaned (scale.h), to x, and to w how often each one's squared error counts: once on average.
/// Importance only counts relative to its mean over the n; where that mean is 0 it is ignored, and a weight
/// of importance 0 still counts a millionth, so that it stays near its value.
inline void clean_targets(const float* values, const float* importance, int64_t n, float limit, float* x,
                          float* w) {
  for (int64_t i = 0; i < n; ++i) x[i] = clean_weight(values[i], limit);
  std::fill_n(w, n, 1.0f);
  if (!importance) return;
  const auto positive = [&](int64_t i) {
    return std::max(static_cast<double>(clean_weight(importance[i], std::numeric_limits<float>::max())), 0.0);
  };
  double mean = 0.0;
  for (int64_t i = 0; i < n; ++i) mean += positive(i) / static_cast<double>(n);
  if (mean == 0.0) return;
  for (int64_t i = 0; i < n; ++i) w[i] = static_cast<float>(positive(i) / mean + 1e-6);
}
/// The same for N weights, in place.
template <int N>
struct FitTarget {
  FitTarget(const float* values, const float* importance, float limit) {
    clean_targets(values, importance, N, limit, x, w);
  }
  float x[N], w[N];
};

/// The integer in [lo, hi] nearest to v; halves go up.
inline float nearest(float v, float lo, float hi) {
  // NOLINTNEXTLINE(bugprone-incorrect-roundings): never of a negative number
  return static_cast<float>(static_cast<int>(std::clamp(v, lo, hi) - lo + 0.5f)) + lo;
}
inline int nearest_int(float v, int lo, int hi) {
  return static_cast<int>(nearest(v, static_cast<float>(lo), static_cast<float>(hi)));
}

inline float rounded_to_f16(float v) { return f16_to_f32(scale_bits(v)); }

/// The smallest f16 that is not below v >= 0: integer scales counted in it do not pass their maximum, and
/// tiny scales do not vanish.
inline float rounded_up_to_f16(float v) {
  const uint16_t bits = scale_bits(v);
  const float nearest_f16 = f16_to_f32(bits);
  return nearest_f16 < v && nearest_f16 < kMaxF16 ? f16_to_f32(static_cast<uint16_t>(bits + 1)) : nearest_f16;
}

/// The sum of four partial sums, which compilers keep in a vector.
inline float sum_of_lanes(const float (&sums)[4]) { return (sums[0] + sums[1]) + (sums[2] + sums[3]); }

/// term(0) + ... + term(N - 1) in four sums side by side, which compilers turn into vectors; the order is
/// fixed.
template <int N, class Term>
float sum_in_lanes(const Term& term) {
  constexpr int kLanes = 4;
  static_assert(N % kLanes == 0);
  float sums[kLanes] = {};
  for (int i = 0; i < N; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += term(i + lane);
  }
  return sum_of_lanes(sums);
}

/// Sums for a factor by least squares: x ~ factor a.
struct FactorSums {
  float aa = 0.0f, ax = 0.0f;

  void add(float w, float a, float x) {
    aa += w * a * a;
    ax += w * a * x;
  }
  float factor() const { return ax * inverse_scale(aa); }
  /// How much less the squared error is than with factor 0.
  float gain() const { return ax * factor(); }
};

/// The weighted squared error of N weights that become step * q(0) and so on.
template <int N, class Q>
float squared_error(const float* x, const float* w, float step, const Q& q) {
  float sum = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float diff = step * q(i) - x[i];
    sum += w[i] * diff * diff;
  }
  return sum;
}

/// Of n steps, step_of(0) and so on, the one with which sub-block j of a codec (below) comes closest, refined
/// by least squares; 0 where none is better than zeros.
template <class Codec, class StepOf>
float best_step(const Codec& codec, int j, int n, const StepOf& step_of) {
  FactorSums best;
  for (int k = 0; k < n; ++k) {
    FactorSums sums;
    codec.add_products(j, step_of(k), 1.0f, sums);
    if (sums.gain() > best.gain()) best = sums;
  }
  return best.factor();
}

/// The value of largest magnitude, the first of equals.
inline float extreme_of(const float* x, int n) {
  return *std::max_element(x, x + n, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

/// The best of steps at which the value of largest magnitude of sub-block j is near either end of what q may
/// be: at first, first + by, ... n times, of that end.
template <class Codec>
float best_step_at_ends(const Codec& codec, int j, float extreme, int low, int high, int n, float first,
                        float by) {
  return best_step(codec, j, 2 * n, [&](int k) {
    return extreme / (static_cast<float>(k < n ? low : high) * (first + by * static_cast<float>(k % n)));
  });
}

/// Finds the f16 factor d and the scales of a block, x ~ d factor(scale[j]) q, q being integers that are
/// chosen anew for each step d factor(scale[j]). A first guess from each sub-block alone, then rounds of
/// trying the scales around a sub-block's own with the true error after rounding, and of solving for d by
/// least squares with all integers fixed. Every step is kept only if the error falls, so the rounds end.
/// A Codec has
///   kSubs, kMinScale, kMaxScale    sub-blocks and what scales they may have
///   kWindow                        scales to either side that are tried at a time
///   kRounds
///   factor(scale)                  ascending
///   scale_near(factor)             the scale whose factor is about that
///   guess(j)                       a step for sub-block j
///   error(j, step, limit)          the least weighted squared error; where that is not below `limit`, any
///                                  number that is not either
///   add_products(j, step, f, sums) a = f q of each weight
template <class Codec>
class ScaleSearch {
 public:
  explicit ScaleSearch(const Codec& codec) : codec_(codec) {}

  void run() {
    guess();
    for (int round = 0; round < Codec::kRounds; ++round) {
      for (int j = 0; j < Codec::kSubs; ++j) improve(j);
      if (!refit()) break;
    }
  }
  uint16_t d_bits() const { return scale_bits(d_); }
  int scale(int j) const { return scale_[j]; }
  float step(int j) const { return step_of(scale_[j]); }

 private:
  static constexpr int kMaxMoves = 8;
  static constexpr float kNoLimit = std::numeric_limits<float>::infinity();

  float step_of(int scale) const { return d_ * Codec::factor(scale); }

  void guess() {
    float steps[Codec::kSubs], largest = 0.0f;
    for (int j = 0; j < Codec::kSubs; ++j) {
      steps[j] = codec_.guess(j);
      largest = std::max(largest, std::abs(steps[j]));
    }
    d_ = rounded_up_to_f16(largest / Codec::factor(Codec::kMaxScale));
    for (int j = 0; j < Codec::kSubs; ++j) {
      scale_[j] = Codec::scale_near(steps[j] * inverse_scale(d_));
      error_[j] = codec_.error(j, step(j), kNoLimit);
    }
  }

  void improve(int j) {
    for (int move = 0; move < kMaxMoves && error_[j] > 0.0f; ++move) {
      const int scale = scale_[j];
      const int end = std::min(scale + Codec::kWindow, Codec::kMaxScale);
      for (int s = std::max(scale - Codec::kWindow, Codec::kMinScale); s <= end; ++s) {
        if (s == scale) continue;
        const float e = codec_.error(j, step_of(s), error_[j]);
        if (e >= error_[j]) continue;
        error_[j] = e;
        scale_[j] = s;
      }
      if (scale_[j] == scale) break;
    }
  }

  /// False if nothing was gained.
  bool refit() {
    FactorSums sums;
    for (int j = 0; j < Codec::kSubs; ++j) {
      codec_.add_products(j, step(j), Codec::factor(scale_[j]), sums);
    }
    ScaleSearch next = *this;
    next.d_ = rounded_to_f16(sums.factor());
    for (int j = 0; j < Codec::kSubs; ++j) next.error_[j] = codec_.error(j, next.step(j), kNoLimit);
    if (next.total_error() >= total_error()) return false;
    d_ = next.d_;
    std::copy_n(next.error_, Codec::kSubs, error_);
    return true;
  }

  float total_error() const {
    float sum = 0.0f;
    for (const float e : error_) sum += e;
    return sum;
  }

  const Codec& codec_;
  float d_ = 0.0f;  // a value that f16 holds
  int scale_[Codec::kSubs] = {};
  float error_[Codec::kSubs] = {};
};

}  // namespace sw
