// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <cstdint>

/// The few transcendental functions whose exact bits decide which expert is chosen. Only single
/// additions, multiplications and divisions in a fixed order: with -ffp-contract=off (and __fmul_rn,
/// __fadd_rn on a GPU) every device gives the same bits.
namespace sw {

/// e^x in f32, within 2 ulp on [-87.3, 88.7]; 0 below, +inf above, NaN for NaN.
inline float exp_exact(float x) {
  if (!(x >= -87.33654f)) return x != x ? x : 0.0f;
  if (x > 88.72283f) return std::bit_cast<float>(0x7f800000u);
  // x = n ln2 + r with |r| <= ln2 / 2; the constant 1.5 * 2^23 rounds to the nearest integer.
  const float shifted = x * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  float r = x - n * 0.693359375f;  // ln2 in two parts: the first has few bits, so n * it is exact
  r = r + n * 2.12194440e-4f;
  // Taylor coefficients; the rest after r^7 is below 2^-27 of the result.
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // Two factors of 2^(n/2) keep the exponent in range for n = 128 and for results near the denormals.
  const int32_t exponent = static_cast<int32_t>(n);
  const int32_t half = exponent >> 1;
  const float scale_a = std::bit_cast<float>(static_cast<uint32_t>(half + 127) << 23);
  const float scale_b = std::bit_cast<float>(static_cast<uint32_t>(exponent - half + 127) << 23);
  return p * scale_a * scale_b;
}

/// 1 / (1 + e^-x).
inline float sigmoid_exact(float x) { return 1.0f / (1.0f + exp_exact(-x)); }

/// x * sigmoid(x), the activation of SwiGLU experts.
inline float silu_exact(float x) { return x * sigmoid_exact(x); }

}  // namespace sw
