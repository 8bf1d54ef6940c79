// SPDX-License-Identifier: MIT
#pragma once
#include <cmath>
#include <span>

namespace sw::testing {

/// The error's share of the power, as a root; NaN must meet NaN.
inline double relative_error(std::span<const float> got, std::span<const float> want) {
  double error = got.size() == want.size() ? 0 : INFINITY, power = 0;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    const double difference = static_cast<double>(got[i]) - want[i];
    error += difference * difference;
    power += static_cast<double>(want[i]) * want[i];
  }
  return error == 0 ? 0 : std::sqrt(error / power);
}

}  // namespace sw::testing
