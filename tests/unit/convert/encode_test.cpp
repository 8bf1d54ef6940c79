// SPDX-License-Identifier: MIT
#include "convert/encode.h"

#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "base/half.h"
#include "base/rng.h"

namespace sw {
namespace {

TEST(Reencode, CopiesEvery16BitPattern) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  ThreadPool pool(2);
  for (const Type type : {Type::BF16, Type::F16}) {
    std::vector<uint16_t> out(all.size());
    const auto bad = reencode({type, reinterpret_cast<const std::byte*>(all.data()), 256, 256}, type,
                              reinterpret_cast<std::byte*>(out.data()), pool);
    EXPECT_EQ(out, all);
    ASSERT_TRUE(bad);  // infinity
    EXPECT_EQ(256 * bad->row + bad->col, type == Type::F16 ? 0x7c00 : 0x7f80);
  }
}

TEST(Reencode, Bf16BecomesF32Exactly) {
  const std::vector<uint16_t> in = {0x0000, 0x8000, 0x3f80, 0x0001, 0x7f80, 0xff7f};
  std::vector<float> out(in.size());
  ThreadPool pool(1);
  const auto bad = reencode({Type::BF16, reinterpret_cast<const std::byte*>(in.data()), 2, 3}, Type::F32,
                            reinterpret_cast<std::byte*>(out.data()), pool);
  ASSERT_TRUE(bad);
  EXPECT_EQ(3 * bad->row + bad->col, 4);
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(out[i]), static_cast<uint32_t>(in[i]) << 16);
  }
}

TEST(Reencode, AnyAlignmentAndAnyNumberOfThreadsGiveTheSameBytes) {
  constexpr int64_t kRows = 7, kCols = 256;  // fewer rows than threads in the last round
  std::vector<std::byte> in(kRows * kCols * sizeof(float) + 1);
  Rng rng(3);
  for (int64_t i = 0; i < kRows * kCols; ++i) {
    const auto value = static_cast<float>(rng.uniform() - 0.5);
    std::memcpy(in.data() + 1 + i * static_cast<int64_t>(sizeof value), &value, sizeof value);
  }
  std::vector<std::byte> first(kRows * row_bytes(Type::Q4_K, kCols));
  for (const int n_thread : {1, 2, 5, 9}) {
    ThreadPool pool(n_thread);
    std::vector<std::byte> out(first.size());
    EXPECT_FALSE(reencode({Type::F32, in.data() + 1, kRows, kCols}, Type::Q4_K, out.data(), pool));
    if (n_thread == 1) first = out;
    EXPECT_EQ(out, first) << n_thread;
  }
}

}  // namespace
}  // namespace sw
