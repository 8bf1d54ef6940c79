// SPDX-License-Identifier: MIT
#pragma once
#include <cmath>
#include <span>
#include <vector>

#include "base/math.h"
#include "kernels/ops.h"

/// Plain arithmetic for the references: weights decoded to f32, sums in double, one thread, no scratch.
/// They may allocate: they are for reading and for checking, not for speed.
namespace sw::ref {

using Vector = std::vector<float>;

/// y[r] = sum_i W[r, i] * x[i]
inline Vector multiply(const WeightView& w, const float* x) {
  const int64_t n_in = w.shape.n_cols(), n_out = w.shape.n_rows();
  Vector row(static_cast<size_t>(n_in)), y(static_cast<size_t>(n_out));
  for (int64_t r = 0; r < n_out; ++r) {
    traits(w.type).decode(w.row(r), row.data(), n_in);
    double sum = 0;
    for (int64_t i = 0; i < n_in; ++i) sum += static_cast<double>(row[static_cast<size_t>(i)]) * x[i];
    y[static_cast<size_t>(r)] = static_cast<float>(sum);
  }
  return y;
}

/// x / sqrt(mean(x^2) + eps) * weight
inline Vector rms_norm(const float* x, const float* weight, float eps, int64_t n) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(n) + eps);
  Vector y(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) y[static_cast<size_t>(i)] = static_cast<float>(x[i] * scale) * weight[i];
  return y;
}

/// acc[i] += weight * x[i]
inline void add_scaled(float* acc, float weight, std::span<const float> x) {
  for (size_t i = 0; i < x.size(); ++i) acc[i] += weight * x[i];
}

}  // namespace sw::ref
