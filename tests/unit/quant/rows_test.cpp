// SPDX-License-Identifier: MIT
// Weights one by one, by quads and by parts of a row are those of the whole row, bit for bit; rows with a
// header of their own.
#include "quant/rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

#include "quant/with_type.h"
#include "unit/quant/test_rows.h"

namespace sw {
namespace {

/// A row's largest weight as f32, then signed bytes in blocks of 8: x = largest / 127 * q.
struct RowScaled {
  static constexpr int kBlockElems = 8;
  struct RowHeader {
    float largest;
  };
  struct Block {
    int8_t q[8];
  };
  static RowHeader header_of(const float* x, int64_t n, const float* /*importance*/) {
    RowHeader header = {0.0f};
    for (int64_t i = 0; i < n; ++i) header.largest = std::max(header.largest, std::abs(x[i]));
    return header;
  }
  static constexpr float at(const RowHeader& header, const Block& block, int i) {
    return header.largest / 127 * static_cast<float>(block.q[i]);
  }
  static void encode(const RowHeader& header, const float* x, const float* /*importance*/, Block& block) {
    for (int i = 0; i < 8; ++i) block.q[i] = static_cast<int8_t>(std::lround(x[i] / header.largest * 127));
  }
};

/// But for NaN: which of two a sum keeps is the compiler's choice.
bool same_bits(const float* a, const float* b, int64_t n) {
  return std::equal(a, a + n, b, [](float x, float y) {
    return std::memcmp(&x, &y, sizeof x) == 0 || (std::isnan(x) && std::isnan(y));
  });
}

/// All ways to read a row of `n` weights must agree with decode_row.
template <class T>
void expect_one_meaning(const std::byte* row, int n) {
  std::vector<float> whole(static_cast<size_t>(n)), part(static_cast<size_t>(n));
  decode_row<T>(row, whole.data(), n);
  const int step = 2 * T::kBlockElems;
  for (int begin = 0; begin < n; begin += step)
    decode_range<T>(row, begin, step, &part[static_cast<size_t>(begin)]);
  EXPECT_TRUE(same_bits(part.data(), whole.data(), n));
  const auto* blocks = reinterpret_cast<const typename T::Block*>(row + kRowHeaderBytes<T>);
  const auto& header = *reinterpret_cast<const typename RowHeaderOf<T>::Type*>(row);
  for (int i = 0; i < n; ++i)
    part[static_cast<size_t>(i)] = weight_at<T>(header, blocks[i / T::kBlockElems], i % T::kBlockElems);
  EXPECT_TRUE(same_bits(part.data(), whole.data(), n));
  for (int k = 0; k < n; k += 4) {
    float quad[4];
    decode_quad<T>(row, k, n, quad);
    ASSERT_TRUE(same_bits(quad, &whole[static_cast<size_t>(k)], 4)) << k;
    decode_quad<T>(row, k, k + 3, quad);  // the row ends within the quad
    ASSERT_TRUE(same_bits(quad, &whole[static_cast<size_t>(k)], 3)) << k;
    ASSERT_EQ(quad[3], 0.0f) << k;
  }
}

class RowsOfType : public ::testing::TestWithParam<Type> {};

INSTANTIATE_TEST_SUITE_P(Quant, RowsOfType, ::testing::ValuesIn(testing::all_types()),
                         [](const auto& info) { return std::string(type_name(info.param)); });

/// Random bytes: every pattern of scales and quants, infinities and NaN among them.
TEST_P(RowsOfType, HaveOneMeaningHoweverTheyAreRead) {
  constexpr int kRow = 4096;
  Rng rng(11);
  std::vector<std::byte> bytes(row_bytes(GetParam(), kRow));
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng.below(256));
  with_type(GetParam(), [&]<class T>() { expect_one_meaning<T>(bytes.data(), kRow); });
}

TEST_P(RowsOfType, TraitsAreThoseOfTheStruct) {
  const std::vector<float> x = testing::normals(1024, 12);
  const std::vector<std::byte> bytes = testing::encode(GetParam(), x);
  std::vector<float> whole(1024), part(1024);
  traits(GetParam()).decode(bytes.data(), whole.data(), 1024);
  for (int64_t begin = 0; begin < 1024; begin += 256)
    traits(GetParam()).decode_range(bytes.data(), begin, 256, &part[static_cast<size_t>(begin)]);
  EXPECT_TRUE(same_bits(part.data(), whole.data(), 1024));
  with_type(GetParam(), [&]<class T>() {
    EXPECT_EQ(row_bytes<T>(1024), bytes.size());
    EXPECT_EQ(traits(GetParam()).row_header_bytes, kRowHeaderBytes<T>);
  });
}

TEST(RowHeaders, AreReadByEveryWayToReadARow) {
  constexpr int kRow = 64;
  EXPECT_EQ(row_bytes<RowScaled>(kRow), 4u + 64u);
  std::vector<float> x = testing::normals(kRow, 13), back(kRow);
  x[40] = -12.7f;  // in the sixth block: the header has seen the whole row
  std::vector<std::byte> bytes(row_bytes<RowScaled>(kRow));
  encode_row<RowScaled>(x.data(), bytes.data(), kRow, nullptr);
  decode_row<RowScaled>(bytes.data(), back.data(), kRow);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(back[i], x[i], 0.0501f) << i;
  expect_one_meaning<RowScaled>(bytes.data(), kRow);
}

TEST(MatricesByRows, AreRowsOneAfterTheOther) {
  const std::vector<float> x = testing::normals(3 * 256, 14);
  std::vector<std::byte> bytes(3 * row_bytes(Type::Q4_K, 256));
  encode_rows(Type::Q4_K, x.data(), 3, 256, bytes.data());
  EXPECT_EQ(bytes, testing::encode(Type::Q4_K, x));
  std::vector<float> back(x.size());
  decode_rows(Type::Q4_K, bytes.data(), 3, 256, back.data());
  EXPECT_EQ(back, testing::decode(Type::Q4_K, bytes, 3 * 256));
}

}  // namespace
}  // namespace sw
