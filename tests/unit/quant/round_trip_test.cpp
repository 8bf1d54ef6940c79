// SPDX-License-Identifier: MIT
// What every format of types.inc must do: one matrix of tests, made from the list.
#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include "quant/with_type.h"
#include "unit/quant/test_rows.h"

namespace sw {
namespace {

using testing::decode;
using testing::encode;
using testing::normals;
using testing::round_trip;

constexpr int64_t kRow = 1024;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class EveryType : public ::testing::TestWithParam<Type> {
 protected:
  Type type() const { return GetParam(); }
  bool quantized() const { return traits(type()).quantized; }
  float error_bound() const {
    return with_type(type(), []<class T>() { return T::kErrorBound; });
  }
  float max_magnitude() const {
    return with_type(type(), []<class T>() { return T::kMaxMagnitude; });
  }

  /// Codes for several weights at a time, pseudo-random and slow to look for.
  bool has_group_codes() const {
    return with_type(type(), []<class T>() {
      return requires { T::Codes::kGroupElems; };
    });
  }

  /// Scales with a mantissa hold one value as it is; powers of two alone do not, nor do codes of groups.
  bool has_fine_scale() const {
    return !has_group_codes() && with_type(type(), []<class T>() {
      return requires(typename T::Block b) { b.d; }
      || requires(typename T::RowHeader h) { h.d; };
    });
  }

  /// A scale that is an f16 subnormal may be off by 2^-25, times an integer of up to 127; NVFP4's scales have
  /// four bits of exponent only.
  double subnormal_floor() const {
    if (type() == Type::NVFP4) return 0x1p-11;
    return quantized() || type() == Type::F16 ? 127 * 0x1p-25 : 0.0;
  }

  bool has_row_header() const { return traits(type()).row_header_bytes > 0; }

  /// For each element the largest magnitude of its block, or of its row where scales are the row's: what the
  /// error bound is a fraction of.
  std::vector<float> block_largest(std::span<const float> x) const {
    const auto block = has_row_header() ? x.size() : static_cast<size_t>(traits(type()).block_elems);
    std::vector<float> largest(x.size());
    for (size_t begin = 0; begin < x.size(); begin += block) {
      float most = 0.0f;
      for (size_t i = begin; i < begin + block; ++i) most = std::max(most, std::abs(x[i]));
      std::fill_n(largest.begin() + static_cast<int64_t>(begin), block, most);
    }
    return largest;
  }

  /// Formats that every writer rounds alike leave nothing to search, nor do eight bits and more.
  bool uses_importance() const {
    constexpr Type kRounded[] = {Type::Q4_0,  Type::Q4_1,  Type::Q5_0, Type::Q5_1,
                                 Type::MXFP4, Type::TQ1_0, Type::TQ2_0};
    const TypeTraits& t = traits(type());
    const bool has_few_bits = t.block_bytes < static_cast<size_t>(t.block_elems);
    return quantized() && has_few_bits && std::ranges::find(kRounded, type()) == std::end(kRounded);
  }

  void expect_within(std::span<const float> x, double bound, const char* what) {
    expect_within(x, bound, subnormal_floor(), what);
  }
  void expect_within(std::span<const float> x, double bound, double floor, const char* what) {
    const std::vector<float> y = round_trip(type(), x), largest = block_largest(x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = std::abs(static_cast<double>(y[i]) - static_cast<double>(x[i]));
      ASSERT_LE(error, bound * static_cast<double>(largest[i]) + floor)
          << what << ", element " << i << ": " << x[i] << " became " << y[i];
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Quant, EveryType, ::testing::ValuesIn(testing::all_types()),
                         [](const auto& info) { return std::string(type_name(info.param)); });

TEST_P(EveryType, KeepsTheErrorBound) {
  Rng rng(7);
  std::vector<float> x = normals((has_group_codes() ? 8 : 64) * kRow, 1);
  expect_within(x, error_bound(), "normal");
  for (float& v : x) v *= 0.02f;
  expect_within(x, error_bound(), "normal, small");
  std::vector<float> tails = normals(16 * kRow, 2);
  for (float& v : tails) v = v * v * v;
  expect_within(tails, error_bound(), "heavy tails");
  for (float& v : x) v = static_cast<float>(rng.uniform() * 2 - 1);
  expect_within(x, error_bound(), "uniform");
  for (float& v : x) v = static_cast<float>(rng.uniform() + 1);
  expect_within(x, error_bound(), "positive");
  for (float& v : x) v = -v;
  expect_within(x, error_bound(), "negative");
  for (float& v : x) v = static_cast<float>(rng.uniform() * 1e-3) + (rng.below(32) == 0 ? 10.0f : 0.0f);
  expect_within(x, error_bound(), "outliers");
  for (float& v : x) v = rng.below(2) ? 3.0f : -3.0f;
  expect_within(x, error_bound(), "signs");
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 256) - 100.0f;
  expect_within(x, error_bound(), "ramp");
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::ldexp(1.0f, static_cast<int>(i % 64) / 4 - 8);
  expect_within(x, error_bound(), "powers of two");
  for (float& v : x) v = static_cast<float>((rng.uniform() * 2 - 1) * static_cast<double>(max_magnitude()));
  expect_within(x, error_bound(), "huge");
}

TEST_P(EveryType, KeepsConstantRows) {
  for (const float c : {1.0f, -1.0f, 0.03f, -0.03f, 700.0f, -700.0f}) {
    expect_within(std::vector<float>(kRow, c), has_fine_scale() ? 1e-3 : error_bound(), "constant");
  }
}

TEST_P(EveryType, KeepsZeros) {
  const std::vector<float> zeros(kRow, 0.0f);
  EXPECT_EQ(round_trip(type(), zeros), zeros);
}

TEST_P(EveryType, TinyValuesAreNoWorseThanZeros) {
  for (const float scale : {1e-5f, 1e-6f, 1e-7f, 1e-8f, 1e-20f, 1e-37f, 1e-40f, 1e-45f}) {
    std::vector<float> x = normals(kRow, 3);
    for (float& v : x) v *= scale;
    const double bound = std::max(1.001, static_cast<double>(error_bound()));
    expect_within(x, bound, 0.0, "tiny");
    std::fill(x.begin(), x.end(), scale);
    expect_within(x, bound, 0.0, "tiny constant");
  }
}

TEST_P(EveryType, LooksAtEachBlockAlone) {
  if (has_row_header()) return;
  const std::vector<float> x = normals(kRow, 4);
  const std::vector<std::byte> bytes = encode(type(), x);
  const int64_t n = traits(type()).block_elems;
  for (int64_t i = 0; i < kRow; i += n) {
    const auto block = encode(type(), std::span(x).subspan(static_cast<size_t>(i), static_cast<size_t>(n)));
    ASSERT_TRUE(
        std::equal(block.begin(), block.end(), bytes.begin() + static_cast<int64_t>(row_bytes(type(), i))));
  }
}

TEST_P(EveryType, ReadsAndWritesAtAnyAddress) {
  const std::vector<float> x = normals(kRow, 5);
  const std::vector<std::byte> bytes = encode(type(), x);
  std::vector<std::byte> shifted(bytes.size() + 1);
  traits(type()).encode(x.data(), shifted.data() + 1, kRow, nullptr);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), shifted.begin() + 1));
  EXPECT_EQ(decode(type(), std::span(shifted).subspan(1), kRow), decode(type(), bytes, kRow));
}

TEST_P(EveryType, NanAndInfinity) {
  std::vector<float> x = normals(kRow, 6);
  for (size_t i = 0; i < x.size(); i += 7) x[i] = i % 2 ? kNan : (i % 4 ? kInf : -kInf);
  const std::vector<float> y = round_trip(type(), x);
  if (!quantized()) {
    for (size_t i = 0; i < x.size(); i += 7) EXPECT_TRUE(std::isnan(x[i]) ? std::isnan(y[i]) : y[i] == x[i]);
    return;
  }
  EXPECT_TRUE(std::all_of(y.begin(), y.end(), [](float v) { return std::isfinite(v); }));
  // NaN counts as zero, an infinity as the largest value that the format takes.
  std::vector<float> cleaned = x;
  for (float& v : cleaned) v = std::isnan(v) ? 0.0f : std::clamp(v, -max_magnitude(), max_magnitude());
  EXPECT_EQ(encode(type(), x), encode(type(), cleaned));
  for (const float v : {kNan, kInf, -kInf, 3e38f, -3e38f}) {
    const std::vector<float> z = round_trip(type(), std::vector<float>(kRow, v));
    EXPECT_TRUE(std::all_of(z.begin(), z.end(), [](float e) { return std::isfinite(e); })) << v;
    const float large = 0.7f * std::min(max_magnitude(), kMaxF16);
    EXPECT_EQ(z[0] > large, v > 0.0f);
    EXPECT_EQ(z[0] < -large, v < 0.0f);
  }
}

TEST_P(EveryType, ImportanceLowersTheErrorThatItWeighs) {
  const std::vector<float> x = normals(16 * kRow, 8);
  std::vector<float> importance = normals(16 * kRow, 9);
  for (float& w : importance) w = w * w * w * w;
  const double with = testing::rms_difference(x, round_trip(type(), x, importance.data()), importance.data());
  const double without = testing::rms_difference(x, round_trip(type(), x), importance.data());
  EXPECT_LE(with, (uses_importance() ? 0.95 : 1.0) * without);
}

TEST_P(EveryType, OddImportanceIsHarmless) {
  const std::vector<float> x = normals(kRow, 10);
  const std::vector<float> zeros(kRow, 0.0f), nans(kRow, kNan), negative(kRow, -1.0f);
  for (const auto* odd : {&zeros, &nans, &negative})
    EXPECT_EQ(encode(type(), x, odd->data()), encode(type(), x));
  std::vector<float> one_used(kRow, 0.0f), extreme(kRow, 1e-38f);
  for (size_t i = 0; i < one_used.size(); i += 256) one_used[i] = 1.0f;
  for (size_t i = 0; i < extreme.size(); i += 3) extreme[i] = i % 2 ? 3e38f : kInf;
  for (const auto* odd : {&one_used, &extreme}) {
    const std::vector<float> y = round_trip(type(), x, odd->data()), largest = block_largest(x);
    const float bound = std::max(1.0f, error_bound());
    for (size_t i = 0; i < x.size(); ++i) ASSERT_LE(std::abs(y[i] - x[i]), bound * largest[i]) << i;
  }
}

}  // namespace
}  // namespace sw
