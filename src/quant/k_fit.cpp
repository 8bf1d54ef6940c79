// SPDX-License-Identifier: MIT
#include "quant/k_fit.h"

#include <algorithm>
#include <cmath>

#include "quant/fit.h"

// The affine search goes the way of ScaleSearch (fit.h): a first guess from each sub-block's range, then
// rounds of (1) trying for each sub-block the integer scales around its own, with the true error after
// rounding, and (2) solving for the super-block's factors by least squares with all integers fixed. Every
// step is kept only if the error falls, so the rounds end.
namespace sw {
namespace {

constexpr int kElems = 256;
constexpr int kRounds = 3;    // later ones gain below 0.01 % of the error
constexpr int kMaxMoves = 8;  // of the window of scales that is tried around a sub-block's own

using Target = FitTarget<kElems>;

/// Sums of squared errors of the sub-blocks.
template <int N>
float total(const float (&error)[N]) {
  float sum = 0.0f;
  for (const float e : error) sum += e;
  return sum;
}

template <int kSubs, int kMaxScale>
class AffineSearch {
 public:
  using Fit = AffineFit<kSubs, kMaxScale>;

  AffineSearch(const Target& target, int max_q) : target_(target), max_q_(static_cast<float>(max_q)) {}

  void run() {
    guess();
    for (int round = 0; round < kRounds; ++round) {
      for (int j = 0; j < kSubs; ++j) improve(j);
      if (!refit()) break;
    }
  }

  void store(Fit& fit) const {
    fit.d = scale_bits(d_);
    fit.dmin = scale_bits(dmin_);
    for (int j = 0; j < kSubs; ++j) {
      fit.scale[j] = static_cast<uint8_t>(scale_[j]);
      fit.min[j] = static_cast<uint8_t>(min_[j]);
      const Line line = line_of(scale_[j], min_[j]);
      for (int i = kSub * j; i < kSub * (j + 1); ++i) fit.q[i] = static_cast<uint8_t>(quantize(line, i));
    }
  }

 private:
  static constexpr int kSub = kElems / kSubs;
  static constexpr int kScaleWindow = std::max(kMaxScale / 15, 2), kMinWindow = kScaleWindow / 2;

  /// x ~ step q - offset.
  struct Line {
    float step = 0.0f, inv_step = 0.0f, offset = 0.0f;
  };
  Line line_of(int scale, int min) const {
    const float step = d_ * static_cast<float>(scale);
    return {step, inverse_scale(step), dmin_ * static_cast<float>(min)};
  }
  float quantize(const Line& line, int i) const {
    return nearest((target_.x[i] + line.offset) * line.inv_step, 0.0f, max_q_);
  }

  /// Lines over each sub-block's range, half a step wider: room to shrink them.
  void guess() {
    float step[kSubs], offset[kSubs];
    for (int j = 0; j < kSubs; ++j) {
      const auto [lo, hi] = std::minmax_element(target_.x + kSub * j, target_.x + kSub * (j + 1));
      const float low = std::min(*lo, 0.0f);  // an offset cannot be negative
      step[j] = (*hi - low) / (max_q_ - 0.5f);
      offset[j] = 0.25f * step[j] - low;
    }
    d_ = rounded_up_to_f16(*std::max_element(step, step + kSubs) / kMaxScale);
    dmin_ = rounded_up_to_f16(*std::max_element(offset, offset + kSubs) / kMaxScale);
    for (int j = 0; j < kSubs; ++j) {
      scale_[j] = nearest_int(step[j] * inverse_scale(d_), 0, kMaxScale);
      min_[j] = nearest_int(offset[j] * inverse_scale(dmin_), 0, kMaxScale);
      error_[j] = error(j, scale_[j], min_[j]);
    }
  }

  float error(int j, int scale, int min) const {
    const Line line = line_of(scale, min);
    float sum = 0.0f;
    for (int i = kSub * j; i < kSub * (j + 1); ++i) {
      const float diff = line.step * quantize(line, i) - line.offset - target_.x[i];
      sum += target_.w[i] * diff * diff;
    }
    return sum;
  }

  /// Tries scales near the sub-block's own, each with minima near the one that keeps the line's middle.
  void improve(int j) {
    const float min_per_scale = 0.5f * max_q_ * d_ * inverse_scale(dmin_);
    for (int move = 0; move < kMaxMoves && error_[j] > 0.0f; ++move) {
      const int scale = scale_[j], min = min_[j];
      for (int s = std::max(scale - kScaleWindow, 0); s <= std::min(scale + kScaleWindow, kMaxScale); ++s) {
        const float middle = static_cast<float>(min) + min_per_scale * static_cast<float>(s - scale);
        const int m_middle = nearest_int(middle, 0, kMaxScale);
        const int m_end = std::min(m_middle + kMinWindow, kMaxScale);
        for (int m = std::max(m_middle - kMinWindow, 0); m <= m_end; ++m) {
          const float e = error(j, s, m);
          if (e >= error_[j]) continue;
          error_[j] = e;
          scale_[j] = s;
          min_[j] = m;
        }
      }
      if (scale_[j] == scale && min_[j] == min) break;
    }
  }

  /// Least squares for d and dmin: x ~ d a + dmin b, a = scale q, b = -min. False if nothing was gained.
  bool refit() {
    float aa = 0.0f, ab = 0.0f, bb = 0.0f, ax = 0.0f, bx = 0.0f;
    for (int j = 0; j < kSubs; ++j) {
      const Line line = line_of(scale_[j], min_[j]);
      const float b = -static_cast<float>(min_[j]);
      for (int i = kSub * j; i < kSub * (j + 1); ++i) {
        const float a = static_cast<float>(scale_[j]) * quantize(line, i);
        const float wa = target_.w[i] * a, wb = target_.w[i] * b;
        aa += wa * a;
        ab += wa * b;
        bb += wb * b;
        ax += wa * target_.x[i];
        bx += wb * target_.x[i];
      }
    }
    const float det = aa * bb - ab * ab;
    AffineSearch next = *this;
    next.d_ = rounded_to_f16((det > 0.0f ? ax * bb - bx * ab : ax) * inverse_scale(det > 0.0f ? det : aa));
    next.dmin_ = rounded_to_f16((aa * bx - ab * ax) * inverse_scale(std::max(det, 0.0f)));
    for (int j = 0; j < kSubs; ++j) next.error_[j] = next.error(j, scale_[j], min_[j]);
    if (total(next.error_) >= total(error_)) return false;
    d_ = next.d_;
    dmin_ = next.dmin_;
    std::copy_n(next.error_, kSubs, error_);
    return true;
  }

  const Target& target_;
  const float max_q_;
  float d_ = 0.0f, dmin_ = 0.0f;  // values that f16 holds
  int scale_[kSubs] = {}, min_[kSubs] = {};
  float error_[kSubs] = {};
};

template <int kHalf, int kHalfScale>
class SymmetricCodec {
 public:
  static constexpr int kSubs = 16, kMinScale = -kHalfScale, kMaxScale = kHalfScale - 1;
  static constexpr int kWindow = kHalfScale / 16, kRounds = sw::kRounds;

  explicit SymmetricCodec(const Target& target) : target_(target) {}

  static float factor(int scale) { return static_cast<float>(scale); }
  static int scale_near(float factor) { return nearest_int(factor, kMinScale, kMaxScale); }

  /// The value of largest magnitude gets a q a little above the lowest: room to shrink the step. (Its sign
  /// makes the scale's.) With few q the error has several minima; the best of some steps is near the lowest.
  float guess(int j) const {
    const float extreme = extreme_of(target_.x + kSub * j, kSub);
    if (kHalf > 4) return extreme / (-kHalf * 15 / 16.0f);
    return best_step_at_ends(*this, j, extreme, -kHalf, kHalf - 1, kGuesses, kFirstGuess, kGuessStep);
  }
  float error(int j, float step, float /*limit*/) const {
    const float inv_step = inverse_scale(step);
    return squared_error<kSub>(target_.x + kSub * j, target_.w + kSub * j, step,
                               [&](int i) { return quantize(inv_step, kSub * j + i); });
  }
  void add_products(int j, float step, float factor, FactorSums& sums) const {
    const float inv_step = inverse_scale(step);
    for (int i = kSub * j; i < kSub * (j + 1); ++i) {
      sums.add(target_.w[i], factor * quantize(inv_step, i), target_.x[i]);
    }
  }
  void store(int j, float step, int8_t* q) const {
    const float inv_step = inverse_scale(step);
    for (int i = kSub * j; i < kSub * (j + 1); ++i) q[i] = static_cast<int8_t>(quantize(inv_step, i));
  }

 private:
  static constexpr int kSub = 16;
  static constexpr int kGuesses = 12;
  static constexpr float kFirstGuess = 0.5f, kGuessStep = 0.06f;

  float quantize(float inv_step, int i) const { return nearest(target_.x[i] * inv_step, -kHalf, kHalf - 1); }

  const Target& target_;
};

}  // namespace

template <int kSubs, int kMaxScale>
AffineFit<kSubs, kMaxScale>::AffineFit(const float* x, const float* importance, int max_q) {
  const Target target(x, importance, kMaxMagnitude);
  AffineSearch<kSubs, kMaxScale> search(target, max_q);
  search.run();
  search.store(*this);
}
template struct AffineFit<8, 63>;
template struct AffineFit<16, 15>;

template <int kHalf, int kHalfScale>
SymmetricFit<kHalf, kHalfScale>::SymmetricFit(const float* x, const float* importance) {
  using Codec = SymmetricCodec<kHalf, kHalfScale>;
  const Target target(x, importance, kMaxMagnitude);
  const Codec codec(target);
  ScaleSearch<Codec> search(codec);
  search.run();
  d = search.d_bits();
  for (int j = 0; j < Codec::kSubs; ++j) {
    scale[j] = static_cast<int8_t>(search.scale(j));
    codec.store(j, search.step(j), q);
  }
}
template struct SymmetricFit<4, 32>;
template struct SymmetricFit<32, 128>;

}  // namespace sw
