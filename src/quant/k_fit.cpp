// SPDX-License-Identifier: MIT
#include "quant/k_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Both searches go the same way: a first guess from each sub-block's range, then rounds of (1) trying for
// each sub-block the integer scales around its own, with the true error after rounding, and (2) solving
// for the super-block's factors by least squares with all integers fixed. Every step is kept only if
// the error falls, so the rounds end.
namespace sw {
namespace {

constexpr int kElems = 256;
constexpr int kRounds = 3;    // later ones gain below 0.01 % of the error
constexpr int kMaxMoves = 8;  // of the window of scales that is tried around a sub-block's own

/// A block's weights, cleaned, and how often each one's error counts: once on average.
struct Target {
  Target(const float* values, const float* importance, float limit) {
    for (int i = 0; i < kElems; ++i) x[i] = clean_weight(values[i], limit);
    std::fill_n(w, kElems, 1.0f);
    if (!importance) return;
    const auto positive = [&](int i) {
      return std::max(static_cast<double>(clean_weight(importance[i], std::numeric_limits<float>::max())),
                      0.0);
    };
    double mean = 0.0;
    for (int i = 0; i < kElems; ++i) mean += positive(i) / kElems;
    if (mean == 0.0) return;
    for (int i = 0; i < kElems; ++i) w[i] = static_cast<float>(positive(i) / mean + 1e-6);
  }
  float x[kElems], w[kElems];
};

/// The integer in [lo, hi] nearest to v; halves go up.
float nearest(float v, float lo, float hi) {
  return static_cast<float>(static_cast<int>(std::clamp(v, lo, hi) - lo + 0.5f)) + lo;
}
int nearest_int(float v, int lo, int hi) {
  return static_cast<int>(nearest(v, static_cast<float>(lo), static_cast<float>(hi)));
}

float rounded_to_f16(float v) { return f16_to_f32(scale_bits(v)); }

/// The smallest f16 that is not below v >= 0: integer scales counted in it do not pass their maximum, and
/// tiny scales do not vanish.
float rounded_up_to_f16(float v) {
  const uint16_t bits = scale_bits(v);
  const float nearest_f16 = f16_to_f32(bits);
  return nearest_f16 < v && nearest_f16 < kMaxF16 ? f16_to_f32(static_cast<uint16_t>(bits + 1)) : nearest_f16;
}

/// Sums of squared errors of the sub-blocks.
template <int N>
float total(const float (&error)[N]) {
  float sum = 0.0f;
  for (const float e : error) sum += e;
  return sum;
}

class AffineSearch {
 public:
  AffineSearch(const Target& target, int max_q) : target_(target), max_q_(static_cast<float>(max_q)) {}

  void run() {
    guess();
    for (int round = 0; round < kRounds; ++round) {
      for (int j = 0; j < 8; ++j) improve(j);
      if (!refit()) break;
    }
  }

  void store(AffineFit& fit) const {
    fit.d = scale_bits(d_);
    fit.dmin = scale_bits(dmin_);
    for (int j = 0; j < 8; ++j) {
      fit.scale[j] = static_cast<uint8_t>(scale_[j]);
      fit.min[j] = static_cast<uint8_t>(min_[j]);
      const Line line = line_of(scale_[j], min_[j]);
      for (int i = kSub * j; i < kSub * (j + 1); ++i) fit.q[i] = static_cast<uint8_t>(quantize(line, i));
    }
  }

 private:
  static constexpr int kSub = 32;
  static constexpr int kMaxScale = 63;
  static constexpr int kScaleWindow = 4, kMinWindow = 2;

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
    float step[8], offset[8];
    for (int j = 0; j < 8; ++j) {
      const auto [lo, hi] = std::minmax_element(target_.x + kSub * j, target_.x + kSub * (j + 1));
      const float low = std::min(*lo, 0.0f);  // an offset cannot be negative
      step[j] = (*hi - low) / (max_q_ - 0.5f);
      offset[j] = 0.25f * step[j] - low;
    }
    d_ = rounded_up_to_f16(*std::max_element(step, step + 8) / kMaxScale);
    dmin_ = rounded_up_to_f16(*std::max_element(offset, offset + 8) / kMaxScale);
    for (int j = 0; j < 8; ++j) {
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
    for (int j = 0; j < 8; ++j) {
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
    for (int j = 0; j < 8; ++j) next.error_[j] = next.error(j, scale_[j], min_[j]);
    if (total(next.error_) >= total(error_)) return false;
    d_ = next.d_;
    dmin_ = next.dmin_;
    std::copy_n(next.error_, 8, error_);
    return true;
  }

  const Target& target_;
  const float max_q_;
  float d_ = 0.0f, dmin_ = 0.0f;  // values that f16 holds
  int scale_[8] = {}, min_[8] = {};
  float error_[8] = {};
};

class SymmetricSearch {
 public:
  explicit SymmetricSearch(const Target& target) : target_(target) {}

  void run() {
    guess();
    for (int round = 0; round < kRounds; ++round) {
      for (int j = 0; j < 16; ++j) improve(j);
      if (!refit()) break;
    }
  }

  void store(SymmetricFit& fit) const {
    fit.d = scale_bits(d_);
    for (int j = 0; j < 16; ++j) {
      fit.scale[j] = static_cast<int8_t>(scale_[j]);
      const float inv_step = inverse_scale(d_ * static_cast<float>(scale_[j]));
      for (int i = kSub * j; i < kSub * (j + 1); ++i) fit.q[i] = static_cast<int8_t>(quantize(inv_step, i));
    }
  }

 private:
  static constexpr int kSub = 16;
  static constexpr int kMinScale = -128, kMaxScale = 127;
  static constexpr int kScaleWindow = 8;

  float quantize(float inv_step, int i) const { return nearest(target_.x[i] * inv_step, -32.0f, 31.0f); }

  /// The value of largest magnitude gets q = -30: room to shrink the step. (Its sign makes the scale's.)
  void guess() {
    float step[16], largest = 0.0f;
    for (int j = 0; j < 16; ++j) {
      const float* x = target_.x + kSub * j;
      const auto less = [](float a, float b) { return std::abs(a) < std::abs(b); };
      step[j] = *std::max_element(x, x + kSub, less) / -30.0f;
      largest = std::max(largest, std::abs(step[j]));
    }
    d_ = rounded_up_to_f16(largest / kMaxScale);
    for (int j = 0; j < 16; ++j) {
      scale_[j] = nearest_int(step[j] * inverse_scale(d_), kMinScale, kMaxScale);
      error_[j] = error(j, scale_[j]);
    }
  }

  float error(int j, int scale) const {
    const float step = d_ * static_cast<float>(scale), inv_step = inverse_scale(step);
    float sum = 0.0f;
    for (int i = kSub * j; i < kSub * (j + 1); ++i) {
      const float diff = step * quantize(inv_step, i) - target_.x[i];
      sum += target_.w[i] * diff * diff;
    }
    return sum;
  }

  /// Tries scales near the sub-block's own.
  void improve(int j) {
    for (int move = 0; move < kMaxMoves && error_[j] > 0.0f; ++move) {
      const int scale = scale_[j];
      const int end = std::min(scale + kScaleWindow, kMaxScale);
      for (int s = std::max(scale - kScaleWindow, kMinScale); s <= end; ++s) {
        const float e = error(j, s);
        if (e >= error_[j]) continue;
        error_[j] = e;
        scale_[j] = s;
      }
      if (scale_[j] == scale) break;
    }
  }

  /// Least squares for d: x ~ d a, a = scale q. False if nothing was gained.
  bool refit() {
    float aa = 0.0f, ax = 0.0f;
    for (int j = 0; j < 16; ++j) {
      const float inv_step = inverse_scale(d_ * static_cast<float>(scale_[j]));
      for (int i = kSub * j; i < kSub * (j + 1); ++i) {
        const float a = static_cast<float>(scale_[j]) * quantize(inv_step, i);
        aa += target_.w[i] * a * a;
        ax += target_.w[i] * a * target_.x[i];
      }
    }
    SymmetricSearch next = *this;
    next.d_ = rounded_to_f16(ax * inverse_scale(aa));
    for (int j = 0; j < 16; ++j) next.error_[j] = next.error(j, scale_[j]);
    if (total(next.error_) >= total(error_)) return false;
    d_ = next.d_;
    std::copy_n(next.error_, 16, error_);
    return true;
  }

  const Target& target_;
  float d_ = 0.0f;  // a value that f16 holds
  int scale_[16] = {};
  float error_[16] = {};
};

}  // namespace

AffineFit::AffineFit(const float* x, const float* importance, int max_q) {
  const Target target(x, importance, kMaxMagnitude);
  AffineSearch search(target, max_q);
  search.run();
  search.store(*this);
}

SymmetricFit::SymmetricFit(const float* x, const float* importance) {
  const Target target(x, importance, kMaxMagnitude);
  SymmetricSearch search(target);
  search.run();
  search.store(*this);
}

}  // namespace sw
