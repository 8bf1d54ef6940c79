// SPDX-License-Identifier: MIT
// Names and sizes of formats that are not decoded here, as gguf-py 0.19 has them (GGML_QUANT_SIZES); Q2_0 is
// younger.
#include "formats/foreign_types.h"

#include <gtest/gtest.h>

#include "quant/type.h"

namespace sw {
namespace {

TEST(ForeignTypes, HaveTheSizesOfGgufPy) {
  const ForeignType all[] = {{9, "Q8_1", 32, 36}, {15, "Q8_K", 256, 292}, {24, "I8", 1, 1},
                             {25, "I16", 1, 2},   {26, "I32", 1, 4},      {27, "I64", 1, 8},
                             {28, "F64", 1, 8},   {41, "Q1_0", 128, 18},  {42, "Q2_0", 64, 18}};
  for (const ForeignType& expected : all) {
    const ForeignType* type = find_foreign_type(expected.id);
    ASSERT_TRUE(type) << expected.name;
    EXPECT_STREQ(type->name, expected.name);
    EXPECT_EQ(type->block_elems, expected.block_elems) << expected.name;
    EXPECT_EQ(type->block_bytes, expected.block_bytes) << expected.name;
  }
}

// ik_llama.cpp's numbers, as its ggml.h has them.
TEST(ForeignTypes, KnowTheNamesOfOtherPrograms) {
  const ForeignType all[] = {{31, "Q4_0_4_4"},  {36, "I2_S"},      {133, "Q6_0"},      {142, "IQ2_TN"},
                             {151, "Q8_KV"},    {202, "Q4_0_R8"},  {223, "IQ4_XS_R8"}, {335, "IQ2_BN_R4"},
                             {340, "IQ5_K_R4"}, {353, "MXFP4_R8"}, {399, "Q8_K_R8"}};
  for (const ForeignType& expected : all) {
    const ForeignType* type = find_foreign_type(expected.id);
    ASSERT_TRUE(type) << expected.name;
    EXPECT_STREQ(type->name, expected.name);
  }
}

TEST(ForeignTypes, AreNoneOfOurs) {
  for (uint32_t id = 0; id < 500; ++id) {
    EXPECT_FALSE(type_from_id(id) && find_foreign_type(id)) << id;
  }
  for (const uint32_t id : {4u, 5u, 37u, 250u, 400u, 0xFFFFFFFFu}) EXPECT_FALSE(find_foreign_type(id)) << id;
}

}  // namespace
}  // namespace sw
