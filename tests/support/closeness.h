// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

/// How close results are to what is expected. What is missing, or NaN, is not close at all.
namespace sw::testing {

/// The error's share of the power, as a root; but a NaN is right where one is expected.
inline double relative_error(std::span<const float> got, std::span<const float> want) {
  double error = got.size() == want.size() ? 0 : std::numeric_limits<double>::infinity(), power = 0;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    const double difference = static_cast<double>(got[i]) - want[i];
    error += difference * difference;
    power += static_cast<double>(want[i]) * want[i];
  }
  return error == 0 ? 0 : std::sqrt(error / power);
}

/// The largest |got - want|, each less `relative` times its |want|.
inline double largest_error(std::span<const float> got, std::span<const float> want, double relative = 0) {
  double largest = got.size() == want.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    if (got[i] == want[i]) continue;
    const double expected = want[i], error = std::abs(got[i] - expected) - relative * std::abs(expected);
    if (std::isnan(error)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, error);
  }
  return largest;
}

}  // namespace sw::testing
