// SPDX-License-Identifier: MIT
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "quant/type.h"

/// Helpers of the quant room's tests.
namespace sw::testing {

/// All formats of types.inc.
inline std::vector<Type> all_types() {
  return {
#define SW_TYPE(name, id) Type::name,
#include "quant/types.inc"
#undef SW_TYPE
  };
}

/// Close to normal with deviation 1: the sum of 12 uniforms, so the same on every machine.
inline std::vector<float> normals(int64_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += rng.uniform();
    v = static_cast<float>(sum);
  }
  return x;
}

inline std::vector<std::byte> encode(Type type, std::span<const float> x, const float* importance = nullptr) {
  const auto n = static_cast<int64_t>(x.size());
  std::vector<std::byte> bytes(row_bytes(type, n));
  traits(type).encode(x.data(), bytes.data(), n, importance);
  return bytes;
}

inline std::vector<float> decode(Type type, std::span<const std::byte> bytes, int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  traits(type).decode(bytes.data(), x.data(), n);
  return x;
}

inline std::vector<float> round_trip(Type type, std::span<const float> x, const float* importance = nullptr) {
  return decode(type, encode(type, x, importance), static_cast<int64_t>(x.size()));
}

/// sqrt(sum importance (a - b)^2 / n)
inline double rms_difference(std::span<const float> a, std::span<const float> b,
                             const float* importance = nullptr) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += d * d * (importance ? static_cast<double>(importance[i]) : 1.0);
  }
  return std::sqrt(sum / static_cast<double>(a.size()));
}

}  // namespace sw::testing
