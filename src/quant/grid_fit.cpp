// SPDX-License-Identifier: MIT
#include "quant/grid_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/all_types.h"
#include "quant/fit.h"

namespace sw {
namespace {

constexpr int power(int base, int exponent) { return exponent == 0 ? 1 : base * power(base, exponent - 1); }

/// Finds the point of a grid with the least sum of costs. The sums of either half of the weights, for every
/// choice of levels, are made first; then points that share an upper half are passed over where that half and
/// the best of all lower halves cost too much already.
template <class Grid>
class PointSearch {
 public:
  using Costs = float[Grid::kWidth][Grid::kLevels];  ///< of each weight at each level

  struct Best {
    float cost = 0.0f;
    int point = 0;
  };
  static Best find(const Costs& costs) {
    float low[kChoices], high[kChoices];
    sum_costs(costs, low);
    sum_costs(costs + kHalf, high);
    const float least_low = *std::min_element(low, low + kChoices);
    const auto costs_less = [&](const Bucket& a, const Bucket& b) { return high[a.high] < high[b.high]; };
    const Bucket& cheapest = *std::min_element(kBuckets.begin(), kBuckets.end(), costs_less);
    Best best = {std::numeric_limits<float>::infinity(), cheapest.begin};
    const auto scan = [&](const Bucket& bucket) {
      for (int p = bucket.begin; p < bucket.end; ++p) {
        const float cost = high[bucket.high] + low[kLow[static_cast<size_t>(p)]];
        if (cost < best.cost) best = {cost, p};
      }
    };
    scan(cheapest);
    for (const Bucket& bucket : kBuckets) {
      if (high[bucket.high] + least_low < best.cost && &bucket != &cheapest) scan(bucket);
    }
    return best;
  }

 private:
  static constexpr int kHalf = Grid::kWidth / 2, kChoices = power(Grid::kLevels, kHalf);
  static constexpr int kPoints = static_cast<int>(Grid::kEntries.size());

  /// The levels of half a point as digits of a number, the first the lowest.
  static constexpr int half_of(int point, int first) {
    int number = 0;
    for (int i = kHalf; i-- > 0;) {
      const int level =
          Grid::kEntries[static_cast<size_t>(point)] >> Grid::kBits * (first + i) & ((1 << Grid::kBits) - 1);
      number = number * Grid::kLevels + level;
    }
    return number;
  }
  static constexpr auto kLow = [] {
    std::array<uint8_t, kPoints> low = {};
    for (int p = 0; p < kPoints; ++p) low[static_cast<size_t>(p)] = static_cast<uint8_t>(half_of(p, 0));
    return low;
  }();

  /// Neighbouring points that share their upper half.
  struct Bucket {
    int high = 0, begin = 0, end = 0;
  };
  static constexpr bool begins_bucket(int point) {
    return point == 0 || half_of(point, kHalf) != half_of(point - 1, kHalf);
  }
  static constexpr int kBucketCount = [] {
    int n = 0;
    for (int p = 0; p < kPoints; ++p) n += begins_bucket(p);
    return n;
  }();
  static constexpr auto kBuckets = [] {
    std::array<Bucket, kBucketCount> buckets = {};
    size_t n = 0;
    for (int p = 0; p < kPoints; ++p) {
      if (begins_bucket(p)) buckets[n++] = {half_of(p, kHalf), p, p};
      buckets[n - 1].end = p + 1;
    }
    return buckets;
  }();

  /// Of half the weights, one weight more at a time.
  static void sum_costs(const float (*costs)[Grid::kLevels], float (&sums)[kChoices]) {
    sums[0] = 0.0f;
    for (int i = 0, n = 1; i < kHalf; ++i, n *= Grid::kLevels) {
      for (int level = Grid::kLevels; level-- > 0;) {
        for (int k = 0; k < n; ++k) sums[level * n + k] = sums[k] + costs[i][level];
      }
    }
  }
};

/// What a grid format is to ScaleSearch.
template <class Format>
class GridCodec {
 public:
  using Grid = typename Format::Grid;
  static constexpr int kSub = Format::kSub, kSubs = 256 / kSub;
  static constexpr int kMinScale = 0, kMaxScale = Format::kMaxScale, kWindow = 1, kRounds = 3;
  static constexpr int kSubPoints = kSub / Grid::kWidth;
  static constexpr bool kSigned = Format::kFlags == GridFlags::Free || Format::kFlags == GridFlags::Even;

  GridCodec(const float* x, const float* importance) : target_(x, importance, Format::kMaxMagnitude) {
    if constexpr (kSigned) {
      for (int o = 0; o < 32; ++o) take_signs(o);
    }
  }

  static float factor(int scale) { return Format::factor(scale); }
  static int scale_near(float factor) {
    return nearest_int((factor / Format::factor(0) - 1.0f) * 0.5f, kMinScale, kMaxScale);
  }

  float error(int j, float step) const { return solve(j, step).error; }
  void add_products(int j, float step, float factor, FactorSums& sums) const {
    const Solution solution = solve(j, step);
    for (int i = 0; i < kSub; ++i) {
      const int p = i / Grid::kWidth;
      const int value = GridPoints<Grid>::kTable.values[solution.points[p]][i % Grid::kWidth];
      const int q = kSigned ? value : Grid::flagged(value, solution.flags[p]);
      sums.add(target_.w[kSub * j + i], factor * static_cast<float>(q), target_.x[kSub * j + i]);
    }
  }
  /// The best of some steps at which the largest magnitude is near the top of the grid, and of the one that
  /// puts it to the lowest level: for weights that are all alike.
  float guess(int j) const {
    float largest = 0.0f;
    for (int i = kSub * j; i < kSub * (j + 1); ++i) largest = std::max(largest, std::abs(target_.x[i]));
    if (largest == 0.0f) return 0.0f;
    FactorSums best;
    const auto try_step = [&](float step) {
      FactorSums sums;
      add_products(j, step, 1.0f, sums);
      if (sums.gain() > best.gain()) best = sums;
    };
    const float top = largest / static_cast<float>(Grid::flagged(Grid::value(Grid::kLevels - 1), false));
    for (int k = 0; k < kGuesses; ++k) try_step(top * (kFirstGuess + kGuessStep * static_cast<float>(k)));
    if (kSigned) try_step(largest / static_cast<float>(Grid::value(0)));
    return best.factor();
  }
  void store(int j, float step, GridFit<Format>& fit) const {
    const Solution solution = solve(j, step);
    std::copy_n(solution.points, kSubPoints, fit.point + kSubPoints * j);
    for (int o = kSub / 8 * j; o < kSub / 8 * (j + 1); ++o) {
      fit.flags[o] = kSigned ? signs_[o] : static_cast<uint8_t>(solution.flags[o - kSub / 8 * j] ? 255 : 0);
    }
  }

 private:
  static constexpr int kGuesses = 10;
  static constexpr float kFirstGuess = 0.5f, kGuessStep = 0.1f;

  /// Leaves the magnitudes of eight weights. Where the number of minus signs must be even and is not, the
  /// weight takes the wrong sign to which that matters least.
  void take_signs(int o) {
    float* x = target_.x + 8 * o;
    const float* w = target_.w + 8 * o;
    int signs = 0, n_minus = 0, least = 0;
    for (int i = 0; i < 8; ++i) {
      if (x[i] < 0.0f) {
        x[i] = -x[i];
        signs |= 1 << i;
        ++n_minus;
      }
      if (w[i] * x[i] < w[least] * x[least]) least = i;
    }
    if (Format::kFlags == GridFlags::Even && n_minus % 2 != 0) {
      x[least] = -x[least];
      signs ^= 1 << least;
    }
    signs_[o] = static_cast<uint8_t>(signs);
  }

  /// What the weights of a sub-block become at a step.
  struct Solution {
    float error = 0.0f;
    uint16_t points[kSubPoints] = {};
    bool flags[kSubPoints] = {};  ///< of points of eight weights; not of signs
  };

  Solution solve(int j, float step) const {
    if constexpr (Format::kFlags == GridFlags::PerSubBlock) {
      const Solution up = solve(j, step, false, false), down = solve(j, step, true, true);
      return down.error < up.error ? down : up;
    }
    return solve(j, step, false, Format::kFlags == GridFlags::PerEight);
  }
  /// Each point with the better of two flags.
  Solution solve(int j, float step, bool flag, bool other_flag) const {
    Solution solution;
    for (int p = 0; p < kSubPoints; ++p) {
      const int first = kSub * j + Grid::kWidth * p;
      auto best = find_point(first, step, flag);
      solution.flags[p] = flag;
      if (flag != other_flag) {
        const auto other = find_point(first, step, other_flag);
        if (other.cost < best.cost) {
          best = other;
          solution.flags[p] = other_flag;
        }
      }
      solution.points[p] = static_cast<uint16_t>(best.point);
      solution.error += best.cost;
    }
    return solution;
  }
  /// The best point for the weights from `first` on.
  typename PointSearch<Grid>::Best find_point(int first, float step, bool flag) const {
    typename PointSearch<Grid>::Costs costs;
    for (int level = 0; level < Grid::kLevels; ++level) {
      const int value = kSigned ? Grid::value(level) : Grid::flagged(Grid::value(level), flag);
      for (int i = 0; i < Grid::kWidth; ++i) {
        const float diff = step * static_cast<float>(value) - target_.x[first + i];
        costs[i][level] = target_.w[first + i] * diff * diff;
      }
    }
    return PointSearch<Grid>::find(costs);
  }

  FitTarget<256> target_;  // magnitudes, where flags are signs
  uint8_t signs_[32] = {};
};

}  // namespace

template <class Format>
GridFit<Format>::GridFit(const float* x, const float* importance) {
  const GridCodec<Format> codec(x, importance);
  ScaleSearch<GridCodec<Format>> search(codec);
  search.run();
  d = search.d_bits();
  for (int j = 0; j < kSubs; ++j) {
    scale[j] = static_cast<uint8_t>(search.scale(j));
    codec.store(j, search.step(j), *this);
  }
}

template struct GridFit<IQ1_S>;
template struct GridFit<IQ1_M>;
template struct GridFit<IQ2_XXS>;
template struct GridFit<IQ2_XS>;
template struct GridFit<IQ2_S>;
template struct GridFit<IQ3_XXS>;
template struct GridFit<IQ3_S>;

}  // namespace sw
