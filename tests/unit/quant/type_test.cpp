// SPDX-License-Identifier: MIT
#include "quant/type.h"

#include <gtest/gtest.h>
#include <type_traits>

#include "quant/weight.h"
#include "quant/with_type.h"
#include "unit/quant/test_rows.h"

namespace sw {
namespace {

struct Known {
  Type type;
  const char* name;
  uint32_t id;
  int block_elems;
  size_t block_bytes;
};
// Sizes as GGUF files have them.
constexpr Known kKnown[] = {
    {Type::F32, "F32", 0, 1, 4},
    {Type::F16, "F16", 1, 1, 2},
    {Type::Q4_0, "Q4_0", 2, 32, 18},
    {Type::Q4_1, "Q4_1", 3, 32, 20},
    {Type::Q5_0, "Q5_0", 6, 32, 22},
    {Type::Q5_1, "Q5_1", 7, 32, 24},
    {Type::MXFP4, "MXFP4", 39, 32, 17},
    {Type::Q8_0, "Q8_0", 8, 32, 34},
    {Type::Q4_K, "Q4_K", 12, 256, 144},
    {Type::Q5_K, "Q5_K", 13, 256, 176},
    {Type::Q6_K, "Q6_K", 14, 256, 210},
    {Type::BF16, "BF16", 30, 1, 2},
    {Type::Q2_K, "Q2_K", 10, 256, 84},
    {Type::Q3_K, "Q3_K", 11, 256, 110},
    {Type::IQ2_XXS, "IQ2_XXS", 16, 256, 66},
    {Type::IQ2_XS, "IQ2_XS", 17, 256, 74},
    {Type::IQ3_XXS, "IQ3_XXS", 18, 256, 98},
    {Type::IQ1_S, "IQ1_S", 19, 256, 50},
    {Type::IQ4_NL, "IQ4_NL", 20, 32, 18},
    {Type::IQ3_S, "IQ3_S", 21, 256, 110},
    {Type::IQ2_S, "IQ2_S", 22, 256, 82},
    {Type::IQ4_XS, "IQ4_XS", 23, 256, 136},
    {Type::IQ1_M, "IQ1_M", 29, 256, 56},
    {Type::TQ1_0, "TQ1_0", 34, 256, 54},
    {Type::TQ2_0, "TQ2_0", 35, 256, 66},
    {Type::NVFP4, "NVFP4", 40, 64, 36},
};

TEST(Type, TraitsAreThoseOfTheFiles) {
  for (const Known& known : kKnown) {
    const TypeTraits& t = traits(known.type);
    EXPECT_EQ(t.type, known.type);
    EXPECT_STREQ(t.name, known.name);
    EXPECT_STREQ(type_name(known.type), known.name);
    EXPECT_EQ(static_cast<uint32_t>(known.type), known.id);
    EXPECT_EQ(t.block_elems, known.block_elems);
    EXPECT_EQ(t.block_bytes, known.block_bytes);
    EXPECT_EQ(t.quantized, known.block_elems > 1);
    EXPECT_EQ(t.row_header_bytes, 0u);
    EXPECT_EQ(row_bytes(known.type, 512), 512 / static_cast<size_t>(known.block_elems) * known.block_bytes);
  }
}

/// Numbers and bytes of 512 weights as ik_llama.cpp has them (ik.json of the reference vectors).
TEST(Type, RowsOfIkLlamaCppHaveItsSizes) {
  struct {
    Type type;
    uint32_t id;
    size_t header_bytes, row_bytes;
  } constexpr kRows[] = {
      {Type::IQ2_K, 137, 0, 152},  {Type::IQ3_K, 138, 0, 220},   {Type::IQ4_K, 139, 0, 288},
      {Type::IQ5_K, 140, 0, 352},  {Type::IQ6_K, 141, 0, 424},   {Type::IQ4_KS, 144, 4, 276},
      {Type::IQ2_KS, 145, 2, 142}, {Type::IQ4_KSS, 146, 4, 260}, {Type::IQ5_KS, 152, 4, 340},
      {Type::IQ2_KT, 153, 4, 140}, {Type::IQ3_KT, 154, 4, 204},  {Type::IQ4_KT, 155, 4, 260},
      {Type::IQ3_KS, 156, 2, 206}, {Type::IQ2_KL, 157, 2, 174},  {Type::IQ1_KT, 158, 4, 116}};
  for (const auto& row : kRows) {
    EXPECT_EQ(static_cast<uint32_t>(row.type), row.id);
    EXPECT_EQ(traits(row.type).row_header_bytes, row.header_bytes) << row.id;
    EXPECT_EQ(row_bytes(row.type, 512), row.row_bytes) << row.id;
  }
}

TEST(Type, IsFoundByNumber) {
  for (const Type type : testing::all_types()) EXPECT_EQ(type_from_id(static_cast<uint32_t>(type)), type);
  for (const uint32_t id : {4u, 5u, 31u, 38u, 42u, 43u, 0x80000000u, 0xffffffffu})
    EXPECT_FALSE(type_from_id(id)) << id;
}

TEST(Type, IsFoundByNameInAnyCase) {
  for (const Type type : testing::all_types()) EXPECT_EQ(type_from_name(type_name(type)), type);
  EXPECT_EQ(type_from_name("q4_k"), Type::Q4_K);
  EXPECT_EQ(type_from_name("bF16"), Type::BF16);
  for (const char* name : {"", "Q4", "Q4_K_M", "Q4_K ", "Q4-K", "q9_0"})
    EXPECT_FALSE(type_from_name(name)) << name;
}

TEST(Type, WithTypeCallsTheFormatsStruct) {
  for (const Type type : testing::all_types()) {
    const size_t bytes = with_type(type, []<class T>() { return sizeof(typename T::Block); });
    EXPECT_EQ(bytes, traits(type).block_bytes) << type_name(type);
  }
  EXPECT_TRUE(with_type(Type::Q6_K, []<class T>() { return std::is_same_v<T, Q6_K>; }));
}

TEST(WeightView, FindsRowsAndExperts) {
  const auto x = testing::normals(int64_t{3} * 4 * 256, 1);
  const auto bytes = testing::encode(Type::Q4_K, x);
  const WeightView experts = {Type::Q4_K, {3, 4, 256}, bytes.data()};
  EXPECT_EQ(experts.row_size_bytes(), 144u);
  EXPECT_EQ(experts.size_bytes(), bytes.size());
  const WeightView last = experts.expert(2);
  EXPECT_EQ(last.shape, (Shape{4, 256}));
  EXPECT_EQ(last.row(3), bytes.data() + 11 * 144);
  EXPECT_TRUE(WeightView{}.empty());
}

}  // namespace
}  // namespace sw
