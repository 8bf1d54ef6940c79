// SPDX-License-Identifier: MIT
#include "quant/ik_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "quant/all_types.h"
#include "quant/fit.h"
#include "quant/ik_coders.h"
#include "quant/rows.h"
#include "quant/trellis_coder.h"

// The search: for each sub-block alone the best step, a real number; from these the factor under which
// integer scales come nearest to them; then rounds of (1) trying the scales around each sub-block's own, with
// the true error, and (2) solving for the factor by least squares with scales and codes fixed. A step is kept
// only if the error falls, so the rounds end.
namespace sw {
namespace {

template <class F>
struct CoderOf {
  using Coder = ScalarCoder<typename F::Codes, F::kSubElems>;
};
template <>
struct CoderOf<IQ2_KL> {
  using Coder = PairCoder<PairCodebook, 32>;
};
template <>
struct CoderOf<IQ4_KSS> {
  using Coder = EvenCoder<Codebook4>;
};
template <>
struct CoderOf<IQ1_KT> {
  using Coder = TrellisCoder<IQ1_KT::Codes, false>;
};
template <>
struct CoderOf<IQ2_KT> {
  using Coder = TrellisCoder<IQ2_KT::Codes, false>;
};
template <>
struct CoderOf<IQ3_KT> {
  using Coder = TrellisCoder<IQ3_KT::Codes, true>;
};
template <>
struct CoderOf<IQ4_KT> {
  using Coder = TrellisCoder<IQ4_KT::Codes, false>;
};

/// The weights of a row or of a block of it.
struct Target {
  Target(const float* values, const float* importance, int64_t n, float limit)
      : x(static_cast<size_t>(n)), w(static_cast<size_t>(n)) {
    clean_targets(values, importance, n, limit, x.data(), w.data());
  }
  std::vector<float> x, w;
};

template <class F>
class IkSearch {
 public:
  explicit IkSearch(const Target& target) : target_(target), subs_(target.x.size() / kSub) {
    for (size_t j = 0; j < subs_.size(); ++j) guess(j);
  }

  void find_factor() {
    choose_factor();
    for (size_t j = 0; j < subs_.size(); ++j) begin(j);
    for (int round = 0; round < Coder::kRounds; ++round) {
      for (size_t j = 0; j < subs_.size(); ++j) improve(j);
      if (!refit()) break;
    }
    if (total_error() >= zero_error()) d_ = 0.0f;
  }
  void use_factor(float d) {
    d_ = d;
    for (size_t j = 0; j < subs_.size(); ++j) {
      begin(j);
      improve(j);
    }
  }
  float factor() const { return d_; }

  /// Of a target of one block.
  IkFit fit() const {
    IkFit fit;
    fit.d = kF16 ? scale_bits(d_) : 0;
    for (size_t j = 0; j < subs_.size(); ++j) {
      fit.scale[j] = static_cast<uint8_t>(subs_[j].scale);
      fit.shifted[j] = subs_[j].shifted != 0;
      Coder::codes(x(j), w(j), inverse_scale(step(subs_[j].scale)), subs_[j].shifted, fit.code + j * kSub);
    }
    return fit;
  }

 private:
  using Coder = typename CoderOf<F>::Coder;
  using Scales = typename F::Scales;
  static constexpr int kSub = F::kSubElems;
  static constexpr int kWindow = Coder::kWindow;
  static constexpr bool kF16 = !HasRowHeader<F> || std::is_same_v<typename RowHeaderOf<F>::Type, RowF16>;

  struct Sub {
    float ideal = 0.0f;      // step, if it were alone
    float curvature = 0.0f;  // how the error grows beside it
    int scale = 0, shifted = 0;
    float error = 0.0f;
  };
  const float* x(size_t j) const { return target_.x.data() + j * kSub; }
  const float* w(size_t j) const { return target_.w.data() + j * kSub; }
  static float rounded(float d) { return kF16 ? rounded_to_f16(d) : d; }
  float step(int scale) const { return d_ * static_cast<float>(Scales::value(scale)); }

  /// For x ~ step v with the values v that are nearest under `step`.
  FactorSums products(size_t j, float step, int shifted) const {
    float v[kSub];
    Coder::values(x(j), w(j), inverse_scale(step), shifted, v);
    return {.aa = sum_in_lanes<kSub>([&](int i) { return w(j)[i] * v[i] * v[i]; }),
            .ax = sum_in_lanes<kSub>([&](int i) { return w(j)[i] * v[i] * x(j)[i]; })};
  }
  float error(size_t j, int scale, int shifted) const {
    float v[kSub];
    const float s = step(scale);
    Coder::values(x(j), w(j), inverse_scale(s), shifted, v);
    return sum_in_lanes<kSub>([&](int i) {
      const float diff = s * v[i] - x(j)[i];
      return w(j)[i] * diff * diff;
    });
  }

  void guess(size_t j) {
    const float extreme = extreme_of(x(j), kSub);
    if (std::abs(extreme) < kLeast) return;
    Sub& sub = subs_[j];
    float best = 0.0f;
    for (int shifted = 0; shifted < Coder::kShifts; ++shifted) {
      for (const float end : Coder::kEnds) {
        const FactorSums p = products(j, extreme / end, shifted);
        if (!(p.gain() > best)) continue;
        best = p.gain();
        sub = {.ideal = p.factor(), .curvature = p.aa, .shifted = shifted};
      }
    }
  }

  /// Puts the largest step at either end of the scales, and a little off it, and takes what suits all steps.
  void choose_factor() {
    float largest = 0.0f, least = std::numeric_limits<float>::infinity();
    for (const Sub& sub : subs_) {
      if (std::abs(sub.ideal) > std::abs(largest)) largest = sub.ideal;
    }
    for (const int end : {Scales::value(0), Scales::value(Scales::kSize - 1)}) {
      if (end == 0) continue;
      for (int percent = 70; percent <= 130; percent += 3) {
        const float d = rounded(largest * 100.0f / static_cast<float>(end * percent));
        const float misfit = misfit_of(d);
        if (!(misfit < least)) continue;
        least = misfit;
        d_ = d;
      }
    }
  }
  float misfit_of(float d) const {
    const float inv_d = inverse_scale(d);
    float sum = 0.0f;
    for (const Sub& sub : subs_) {
      const float diff = d * static_cast<float>(Scales::value(Scales::near(sub.ideal * inv_d))) - sub.ideal;
      sum += sub.curvature * diff * diff;
    }
    return sum;
  }

  void begin(size_t j) {
    Sub& sub = subs_[j];
    sub.scale = Scales::near(sub.ideal * inverse_scale(d_));
    sub.error = error(j, sub.scale, sub.shifted);
  }

  /// Tries scales near the sub-block's own.
  void improve(size_t j) {
    Sub& sub = subs_[j];
    for (int move = 0; move < Coder::kMoves && sub.error > 0.0f; ++move) {
      const int scale = sub.scale, shifted = sub.shifted;
      const int end = std::min(scale + kWindow, Scales::kSize - 1);
      for (int s = std::max(scale - kWindow, 0); s <= end; ++s) {
        for (int f = 0; f < Coder::kShifts; ++f) {
          if (s == scale && f == shifted) continue;
          const float e = error(j, s, f);
          if (e >= sub.error) continue;
          sub.error = e;
          sub.scale = s;
          sub.shifted = f;
        }
      }
      if (sub.scale == scale) break;
    }
  }

  /// Least squares for the factor. False if nothing was gained.
  bool refit() {
    FactorSums sums;
    for (size_t j = 0; j < subs_.size(); ++j) {
      const FactorSums p = products(j, step(subs_[j].scale), subs_[j].shifted);
      const auto s = static_cast<float>(Scales::value(subs_[j].scale));
      sums.ax += s * p.ax;
      sums.aa += s * s * p.aa;
    }
    const float before = total_error(), old = d_;
    std::vector<Sub> kept = subs_;
    d_ = rounded(sums.factor());
    for (size_t j = 0; j < subs_.size(); ++j) subs_[j].error = error(j, subs_[j].scale, subs_[j].shifted);
    if (total_error() < before) return true;
    d_ = old;
    subs_ = std::move(kept);
    return false;
  }

  float total_error() const {
    float sum = 0.0f;
    for (const Sub& sub : subs_) sum += sub.error;
    return sum;
  }
  float zero_error() const {
    float sum = 0.0f;
    for (size_t i = 0; i < target_.x.size(); ++i) sum += target_.w[i] * target_.x[i] * target_.x[i];
    return sum;
  }

  static constexpr float kLeast = 1e-15f;  // weights below are zeros: their squares are no normal numbers
  const Target& target_;
  std::vector<Sub> subs_;
  float d_ = 0.0f;
};

}  // namespace

template <class F>
IkFit fit_ik_block(const float* x, const float* importance) {
  const Target target(x, importance, F::kBlockElems, F::kMaxMagnitude);
  IkSearch<F> search(target);
  search.find_factor();
  return search.fit();
}

template <class F>
float fit_ik_row(const float* x, int64_t n_elems, const float* importance) {
  const Target target(x, importance, n_elems, F::kMaxMagnitude);
  IkSearch<F> search(target);
  search.find_factor();
  return search.factor();
}

template <class F>
IkFit fit_ik_block(float d, const float* x, const float* importance) {
  const Target target(x, importance, F::kBlockElems, F::kMaxMagnitude);
  IkSearch<F> search(target);
  search.use_factor(d);
  return search.fit();
}

template IkFit fit_ik_block<IQ2_K>(const float*, const float*);
template IkFit fit_ik_block<IQ3_K>(const float*, const float*);
template IkFit fit_ik_block<IQ4_K>(const float*, const float*);
template IkFit fit_ik_block<IQ5_K>(const float*, const float*);
template IkFit fit_ik_block<IQ6_K>(const float*, const float*);

#define SW_ROW_FIT(F)                                                \
  template float fit_ik_row<F>(const float*, int64_t, const float*); \
  template IkFit fit_ik_block<F>(float, const float*, const float*);
SW_ROW_FIT(IQ2_KS)
SW_ROW_FIT(IQ3_KS)
SW_ROW_FIT(IQ4_KS)
SW_ROW_FIT(IQ5_KS)
SW_ROW_FIT(IQ4_KSS)
SW_ROW_FIT(IQ2_KL)
SW_ROW_FIT(IQ1_KT)
SW_ROW_FIT(IQ2_KT)
SW_ROW_FIT(IQ3_KT)
SW_ROW_FIT(IQ4_KT)
#undef SW_ROW_FIT

}  // namespace sw
