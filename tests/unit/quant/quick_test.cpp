// SPDX-License-Identifier: MIT
// encode_quickly(): the formats' own encoders, but for those that search long.
#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include "quant/with_type.h"
#include "unit/quant/test_rows.h"

namespace sw {
namespace {

using testing::encode;
using testing::normals;

constexpr int64_t kRow = 1024;

std::vector<std::byte> quickly(Type type, std::span<const float> x) {
  std::vector<std::byte> bytes(row_bytes(type, std::ssize(x)));
  traits(type).encode_quickly(x.data(), bytes.data(), std::ssize(x));
  return bytes;
}
std::vector<float> there_and_back(Type type, std::span<const float> x) {
  return testing::decode(type, quickly(type, x), std::ssize(x));
}

TEST(EncodeQuickly, IsTheEncoderWhereItDoesNotSearch) {
  const std::vector<float> x = normals(kRow, 1);
  for (const Type type : testing::all_types()) {
    const bool own = with_type(type, []<class T>() {
      return requires { &T::encode_quickly; };
    });
    EXPECT_EQ(own, type == Type::IQ4_NL) << type_name(type);
    if (!own) {
      EXPECT_EQ(quickly(type, x), encode(type, x)) << type_name(type);
    }
  }
}

/// The largest error, in parts of the largest magnitude of its block of 32.
double worst_error(std::span<const float> x) {
  const std::vector<float> y = there_and_back(Type::IQ4_NL, x);
  double worst = 0;
  for (size_t begin = 0; begin < x.size(); begin += 32) {
    float largest = 0, error = 0;
    for (size_t i = begin; i < begin + 32; ++i) {
      largest = std::max(largest, std::abs(x[i]));
      error = std::max(error, std::abs(x[i] - y[i]));
    }
    if (largest > 0) worst = std::max(worst, static_cast<double>(error) / static_cast<double>(largest));
  }
  return worst;
}

TEST(EncodeQuickly, KeepsTheErrorBound) {
  Rng rng(7);
  std::vector<float> x = normals(64 * kRow, 1);
  EXPECT_LE(worst_error(x), IQ4_NL::kErrorBound) << "normal";
  for (float& v : x) v = v * v * v;
  EXPECT_LE(worst_error(x), IQ4_NL::kErrorBound) << "heavy tails";
  for (float& v : x) v = static_cast<float>(rng.uniform() * 2 - 1);
  EXPECT_LE(worst_error(x), IQ4_NL::kErrorBound) << "uniform";
  for (float& v : x) v = static_cast<float>(rng.uniform() + 1);
  EXPECT_LE(worst_error(x), IQ4_NL::kErrorBound) << "positive";
  for (float& v : x) v = rng.below(2) ? 3.0f : -3.0f;
  EXPECT_LE(worst_error(x), IQ4_NL::kErrorBound) << "signs";
  for (float& v : x) v = static_cast<float>(rng.uniform() * 1e-3) + (rng.below(32) == 0 ? 10.0f : 0.0f);
  EXPECT_LE(worst_error(x), IQ4_NL::kErrorBound) << "outliers";
  for (float& v : x)
    v = static_cast<float>((rng.uniform() * 2 - 1) * static_cast<double>(IQ4_NL::kMaxMagnitude));
  EXPECT_LE(worst_error(x), IQ4_NL::kErrorBound) << "huge";
  EXPECT_LE(worst_error(std::vector<float>(kRow, -0.03f)), 1e-3) << "constant";
  for (const float scale : {1e-6f, 1e-7f, 1e-20f, 1e-45f}) {
    x = normals(kRow, 3);
    for (float& v : x) v *= scale;
    EXPECT_LE(worst_error(x), 1.001) << "no worse than zeros";
  }
}

TEST(EncodeQuickly, LosesLittleToTheSearch) {
  const std::vector<float> x = normals(64 * kRow, 2);
  const double searched = testing::rms_difference(x, testing::round_trip(Type::IQ4_NL, x));
  const double quick = testing::rms_difference(x, there_and_back(Type::IQ4_NL, x));
  EXPECT_GE(quick, searched);
  EXPECT_LE(quick, 1.2 * searched);
}

TEST(EncodeQuickly, NeverMakesANan) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> x = normals(kRow, 6);
  for (size_t i = 0; i < x.size(); i += 7) x[i] = i % 2 ? nan : i % 4 ? inf : -inf;
  for (const std::vector<float>& row : {x, std::vector<float>(kRow, nan), std::vector<float>(kRow, -inf)}) {
    for (const float v : there_and_back(Type::IQ4_NL, row)) ASSERT_TRUE(std::isfinite(v));
  }
  const std::vector<float> zeros(kRow, 0.0f);
  EXPECT_EQ(there_and_back(Type::IQ4_NL, zeros), zeros);
}

}  // namespace
}  // namespace sw
