// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <cstdint>

/// The few transcendental functions whose exact bits decide which expert or token is chosen. Only single
/// additions, multiplications and divisions in a fixed order; constexpr, so that nvcc compiles the very same
/// code for a GPU. As neither compiler may contract a * b + c (-ffp-contract=off; for route.cu -fmad=false),
/// every device gives the same bits.
namespace sw {

/// e^x in f32, within 2 ulp on [-87.3, 88.7]; 0 below, +inf above, NaN for NaN.
constexpr float exp_exact(float x) {
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

/// The natural logarithm in f32, within 2 ulp; -inf for 0, NaN below 0 and for NaN, +inf for +inf.
constexpr float log_exact(float x) {
  if (!(x > 0.0f)) return x == 0.0f ? std::bit_cast<float>(0xff800000u) : std::bit_cast<float>(0x7fc00000u);
  if (x > 3.40282347e38f) return x;
  int32_t n = 0;
  if (x < 1.17549435e-38f) {  // a denormal has no exponent of its own
    x *= 8388608.0f;
    n = -23;
  }
  // x = m 2^n with m in [sqrt(1/2), sqrt(2)): the bits of sqrt(1/2) are the middle that exponents turn at.
  const uint32_t bits = std::bit_cast<uint32_t>(x), middle = 0x3f3504f3u;
  const int32_t exponent = static_cast<int32_t>(bits - middle) >> 23;
  const float m = std::bit_cast<float>(bits - (static_cast<uint32_t>(exponent) << 23));
  n += exponent;
  // ln m = 2 atanh(s), s = f / (2 + f); its 2s is f - s f, which keeps f's exact bits in front.
  const float f = m - 1.0f;
  const float s = f / (2.0f + f);
  const float z = s * s;
  float tail = 2.0f / 9.0f;
  tail = tail * z + 2.0f / 7.0f;
  tail = tail * z + 2.0f / 5.0f;
  tail = tail * z + 2.0f / 3.0f;
  tail = tail * z;
  const float ln_m = f - s * (f - tail);
  const float scale = static_cast<float>(n);
  return scale * 0.693359375f + (ln_m - scale * 2.12194440e-4f);  // ln2 in two parts, as above
}

/// x^y for x >= 0. The relative error grows with |y ln x|: about 1e-7 of it.
constexpr float pow_exact(float x, float y) { return y == 0.0f ? 1.0f : exp_exact(y * log_exact(x)); }

/// 1 / (1 + e^-x).
constexpr float sigmoid_exact(float x) { return 1.0f / (1.0f + exp_exact(-x)); }

/// x * sigmoid(x), the activation of SwiGLU experts.
constexpr float silu_exact(float x) { return x * sigmoid_exact(x); }

}  // namespace sw
