// SPDX-License-Identifier: MIT
#include "quant/grid_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "quant/all_types.h"
#include "quant/fit.h"

namespace sw {
namespace {

constexpr int power(int base, int exponent) { return exponent == 0 ? 1 : base * power(base, exponent - 1); }

/// Finds the point of a grid with the least sum of costs. Entries ascend, so points that share the upper
/// levels are neighbours: they are passed over together where what they share and the best of all lower
/// levels cost too much already. Sums are made in one order, so that no bound is above what it bounds.
template <class Grid>
class PointSearch {
 public:
  using Costs = float[Grid::kLevels][Grid::kWidth];  ///< at each level, of each weight

  struct Best {
    float cost = 0.0f;
    int point = 0;
  };
  static Best find(const Costs& costs) {
    float low[kChoices], middle[kQuarterChoices], top[kQuarterChoices];
    const float least_low = sum_half(costs, low);
    const float least_middle = sum_quarter(costs, kHalf, middle);
    sum_quarter(costs, kHalf + kQuarter, top);
    Best best = {std::numeric_limits<float>::infinity(), 0};
    const auto scan = [&](const Bucket& bucket) {
      const float high = top[bucket.top] + middle[bucket.middle];
      if (high + least_low >= best.cost) return;
      for (int p = bucket.begin; p < bucket.end; ++p) {
        const float cost = high + low[kLow[static_cast<size_t>(p)]];
        if (cost < best.cost) best = {cost, p};
      }
    };
    const auto* cheapest = std::min_element(top, top + kQuarterChoices);
    scan_group(kGroups[static_cast<size_t>(cheapest - top)], scan);
    for (int g = 0; g < kQuarterChoices; ++g) {
      if (top[g] + least_middle + least_low < best.cost) scan_group(kGroups[static_cast<size_t>(g)], scan);
    }
    return best;
  }

 private:
  static constexpr int kHalf = Grid::kWidth / 2, kQuarter = Grid::kWidth / 4;
  static constexpr int kChoices = power(Grid::kLevels, kHalf),
                       kQuarterChoices = power(Grid::kLevels, kQuarter);
  static constexpr int kPoints = static_cast<int>(Grid::kEntries.size());

  /// n levels of a point as digits of a number, the first the lowest.
  static constexpr int levels(int point, int first, int n) {
    int number = 0;
    for (int i = first + n; i-- > first;) {
      const int level =
          Grid::kEntries[static_cast<size_t>(point)] >> Grid::kBits * i & ((1 << Grid::kBits) - 1);
      number = number * Grid::kLevels + level;
    }
    return number;
  }
  static constexpr auto kLow = [] {
    std::array<uint8_t, kPoints> low = {};
    for (int p = 0; p < kPoints; ++p) low[static_cast<size_t>(p)] = static_cast<uint8_t>(levels(p, 0, kHalf));
    return low;
  }();

  /// Neighbouring points that share their upper half.
  struct Bucket {
    int top = 0, middle = 0, begin = 0, end = 0;
  };
  static constexpr bool begins_bucket(int point) {
    return point == 0 || levels(point, kHalf, kHalf) != levels(point - 1, kHalf, kHalf);
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
      if (begins_bucket(p))
        buckets[n++] = {levels(p, kHalf + kQuarter, kQuarter), levels(p, kHalf, kQuarter), p, p};
      buckets[n - 1].end = p + 1;
    }
    return buckets;
  }();

  /// The buckets with the same top levels, by those; neighbours too.
  struct Group {
    size_t begin = 0, end = 0;
  };
  static constexpr auto kGroups = [] {
    std::array<Group, kQuarterChoices> groups = {};
    for (size_t b = 0; b < kBuckets.size(); ++b) {
      Group& group = groups[static_cast<size_t>(kBuckets[b].top)];
      if (group.end == 0) group.begin = b;
      group.end = b + 1;
    }
    return groups;
  }();
  template <class Scan>
  static void scan_group(const Group& group, const Scan& scan) {
    for (size_t b = group.begin; b < group.end; ++b) scan(kBuckets[b]);
  }

  /// Sums of the costs of kQuarter weights from `first` on, for every choice of levels; gives the least.
  static float sum_quarter(const Costs& costs, int first, float (&sums)[kQuarterChoices]) {
    if constexpr (kQuarter == 1) {
      for (int level = 0; level < Grid::kLevels; ++level) sums[level] = costs[level][first];
    } else {
      static_assert(kQuarter == 2);
      for (int b = 0; b < Grid::kLevels; ++b) {
        for (int a = 0; a < Grid::kLevels; ++a)
          sums[Grid::kLevels * b + a] = costs[b][first + 1] + costs[a][first];
      }
    }
    return *std::min_element(sums, sums + kQuarterChoices);
  }
  /// The same of the lower half.
  static float sum_half(const Costs& costs, float (&sums)[kChoices]) {
    float first[kQuarterChoices], second[kQuarterChoices];
    const float least = sum_quarter(costs, 0, first) + sum_quarter(costs, kQuarter, second);
    for (int b = 0; b < kQuarterChoices; ++b) {
      for (int a = 0; a < kQuarterChoices; ++a) sums[kQuarterChoices * b + a] = second[b] + first[a];
    }
    return least;
  }
};

/// What a grid format is to ScaleSearch.
template <class Format>
class GridCodec {
 public:
  using Grid = typename Format::Grid;
  static constexpr int kSub = Format::kSub, kSubs = 256 / kSub;
  static constexpr int kMinScale = 0, kMaxScale = Format::kMaxScale, kWindow = 1, kRounds = 2;
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

  float error(int j, float step, float limit) const { return solve(j, step, limit).error; }
  void add_products(int j, float step, float factor, FactorSums& sums) const {
    const Solution solution = solve(j, step, kNoLimit);
    for (int i = 0; i < kSub; ++i) {
      const int p = i / Grid::kWidth;
      const int8_t* values = GridPoints<Grid>::kTable.values[solution.points[p]];
      const auto value = int{values[i % Grid::kWidth]};
      const int q = kSigned ? value : Grid::flagged(value, solution.flags[p]);
      sums.add(target_.w[kSub * j + i], factor * static_cast<float>(q), target_.x[kSub * j + i]);
    }
  }
  /// Steps at which the largest magnitude is near the top of the grid, and the one that puts it to the lowest
  /// level: for weights that are all alike.
  float guess(int j) const {
    const float largest = std::abs(extreme_of(target_.x + kSub * j, kSub));
    const float top = largest / static_cast<float>(Grid::flagged(Grid::value(Grid::kLevels - 1), false));
    return best_step(*this, j, kGuesses + kSigned, [&](int k) {
      if (k == kGuesses) return largest / static_cast<float>(Grid::value(0));
      return top * (kFirstGuess + kGuessStep * static_cast<float>(k));
    });
  }
  void store(int j, float step, GridFit<Format>& fit) const {
    const Solution solution = solve(j, step, kNoLimit);
    std::copy_n(solution.points, kSubPoints, fit.point + kSubPoints * j);
    for (int o = kSub / 8 * j; o < kSub / 8 * (j + 1); ++o) {
      fit.flags[o] = kSigned ? signs_[o] : static_cast<uint8_t>(solution.flags[o - kSub / 8 * j] ? 255 : 0);
    }
  }

 private:
  static constexpr float kNoLimit = std::numeric_limits<float>::infinity();
  static constexpr int kGuesses = 6;  // more of them gain below 0.1 % of the error
  static constexpr float kFirstGuess = 0.6f, kGuessStep = 0.14f;

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

  Solution solve(int j, float step, float limit) const {
    if constexpr (Format::kFlags == GridFlags::PerSubBlock) {
      const Solution up = solve(j, step, limit, false, false);
      const Solution down = solve(j, step, std::min(limit, up.error), true, true);
      return down.error < up.error ? down : up;
    }
    return solve(j, step, limit, false, Format::kFlags == GridFlags::PerEight);
  }
  /// Each point with the better of two flags; given up once the error is no less than `limit`.
  Solution solve(int j, float step, float limit, bool flag, bool other_flag) const {
    Solution solution;
    for (int p = 0; p < kSubPoints && solution.error < limit; ++p) {
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
        costs[level][i] = target_.w[first + i] * diff * diff;
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
