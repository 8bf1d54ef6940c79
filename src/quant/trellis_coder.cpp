// SPDX-License-Identifier: MIT
#include "quant/trellis_coder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace sw {
namespace {

constexpr int kLanes = 8;  // codes that are compared at a time

/// All codes of a set, by buckets.
template <class Codes, bool kMagnitudes>
class TrellisIndex {
 public:
  explicit TrellisIndex(uint32_t first_code) {
    std::vector<uint16_t> members[kBuckets];
    for (uint32_t code = 0; code < Codes::kSize; ++code) {
      int bucket = 0;
      for (int k = 0; k < kGroup; ++k) bucket = bucket * kBins + bin_of(value(code + first_code, k));
      members[bucket].push_back(static_cast<uint16_t>(code));
    }
    for (int b = 0; b < kBuckets; ++b) {
      while (members[b].size() % kLanes != 0) members[b].push_back(members[b].back());
      begin_[b] = codes_.size() / kLanes;
      codes_.insert(codes_.end(), members[b].begin(), members[b].end());
      for (size_t i = 0; i < members[b].size(); i += kLanes) {
        for (int k = 0; k < kGroup; ++k) {
          for (int lane = 0; lane < kLanes; ++lane) {
            values_.push_back(value(members[b][i + static_cast<size_t>(lane)] + first_code, k));
          }
        }
      }
    }
    begin_[kBuckets] = codes_.size() / kLanes;
  }

  /// The code whose values are near t.
  uint16_t nearest(const float* t, const float* w) const {
    const Way way(t, w);
    Best best;
    for (int flips = 0; flips < 1 << kFlips; ++flips) {
      float cost = 0.0f;
      int bucket = way.bucket;
      for (int f = 0; f < kFlips; ++f) {
        if (!(flips >> f & 1)) continue;
        cost += way.sides[f].cost;
        bucket += way.sides[f].bucket_step;
      }
      if (flips == 0 || cost < best.least()) search(bucket, t, w, best);
    }
    return codes_[best.place()];
  }

 private:
  static constexpr int kGroup = Codes::kGroupElems;
  static constexpr int kBins = kGroup == 8 ? 2 : 4;  // of a dimension
  static constexpr int kBuckets = 256;
  static constexpr int kFlips = kGroup == 8 ? 2 : 4;  // dimensions in which the next bucket is looked at too
  static constexpr float kQuartile = 25.0f;           // of the values

  static float value(uint32_t code, int k) {
    return kMagnitudes ? Codes::magnitude(code, k) : Codes::value(code, k);
  }
  /// Where bin b ends.
  static constexpr float end_of(int b) {
    if (kBins == 4) return (static_cast<float>(b) - 1.0f) * kQuartile;
    return kMagnitudes ? kQuartile : 0.0f;
  }
  static int bin_of(float v) {
    int b = 0;
    while (b + 1 < kBins && v > end_of(b)) ++b;
    return b;
  }

  /// The next bucket in one dimension, and how far it is at least.
  struct Side {
    float cost;
    int bucket_step;
  };
  struct Way {
    int bucket = 0;
    std::array<Side, kGroup> sides;

    Way(const float* t, const float* w) {
      int step = kBuckets / kBins;
      for (int k = 0; k < kGroup; ++k, step /= kBins) {
        const int b = bin_of(t[k]);
        bucket += b * step;
        const float below = b > 0 ? t[k] - end_of(b - 1) : std::numeric_limits<float>::max();
        const float above = b + 1 < kBins ? end_of(b) - t[k] : std::numeric_limits<float>::max();
        const float gap = std::min(below, above);
        sides[static_cast<size_t>(k)] = {w[k] * gap * gap, below < above ? -step : step};
      }
      std::stable_sort(sides.begin(), sides.end(),
                       [](const Side& a, const Side& b) { return a.cost < b.cost; });
    }
  };

  struct Best {
    float error[kLanes];
    uint32_t chunk[kLanes] = {};
    Best() { std::fill_n(error, kLanes, std::numeric_limits<float>::infinity()); }
    float least() const { return *std::min_element(error, error + kLanes); }
    size_t place() const {
      const auto lane = std::min_element(error, error + kLanes) - error;
      return size_t{chunk[lane]} * kLanes + static_cast<size_t>(lane);
    }
  };

  void search(int bucket, const float* t, const float* w, Best& best) const {
    for (size_t c = begin_[bucket]; c < begin_[bucket + 1]; ++c) {
      const float* v = values_.data() + c * kGroup * kLanes;
      float error[kLanes] = {};
      for (int k = 0; k < kGroup; ++k) {
        for (int lane = 0; lane < kLanes; ++lane) {
          const float diff = t[k] - v[k * kLanes + lane];
          error[lane] += w[k] * diff * diff;
        }
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        const bool better = error[lane] < best.error[lane];
        best.error[lane] = better ? error[lane] : best.error[lane];
        best.chunk[lane] = better ? static_cast<uint32_t>(c) : best.chunk[lane];
      }
    }
  }

  std::vector<uint16_t> codes_;  // of each bucket, a multiple of kLanes
  std::vector<float> values_;    // of each kLanes codes, by dimension
  std::array<size_t, kBuckets + 1> begin_ = {};
};

template <class Codes, bool kMagnitudes>
uint16_t nearest_code(const float* x, const float* w, float inv_step, int second) {
  static const TrellisIndex<Codes, kMagnitudes> first_set(0);
  float t[Codes::kGroupElems];
  for (int k = 0; k < Codes::kGroupElems; ++k) {
    t[k] = x[k] * inv_step;
    if (kMagnitudes) t[k] = std::abs(t[k]);
  }
  if constexpr (TrellisCoder<Codes, kMagnitudes>::kPairsOfSets) {
    static const TrellisIndex<Codes, kMagnitudes> second_set(Codes::kSecondSet);
    if (second) return second_set.nearest(t, w);
  }
  return first_set.nearest(t, w);
}

}  // namespace

template <class Codes, bool kMagnitudes>
void TrellisCoder<Codes, kMagnitudes>::values(const float* x, const float* w, float inv_step, int second,
                                              float* v) {
  constexpr int kGroup = Codes::kGroupElems;
  for (int i = 0; i < kElems; i += kGroup) {
    const uint32_t code =
        nearest_code<Codes, kMagnitudes>(x + i, w + i, inv_step, second) + (second ? Codes::kSecondSet : 0);
    for (int k = 0; k < kGroup; ++k) {
      const float magnitude = Codes::magnitude(code, k);
      v[i + k] = !kMagnitudes ? Codes::value(code, k) : x[i + k] < 0.0f ? -magnitude : magnitude;
    }
  }
}

template <class Codes, bool kMagnitudes>
void TrellisCoder<Codes, kMagnitudes>::codes(const float* x, const float* w, float inv_step, int second,
                                             uint16_t* code) {
  for (int i = 0; i < kElems; i += Codes::kGroupElems) {
    code[i] = nearest_code<Codes, kMagnitudes>(x + i, w + i, inv_step, second);
  }
}

template struct TrellisCoder<Trellis<8, 13>, false>;
template struct TrellisCoder<Trellis<8, 16>, false>;
template struct TrellisCoder<Trellis<8, 16>, true>;
template struct TrellisCoder<Trellis<4, 15>, false>;

}  // namespace sw
