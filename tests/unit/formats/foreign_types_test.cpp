// SPDX-License-Identifier: MIT
// Names and sizes of formats that are not decoded here, as gguf-py 0.19 has them (GGML_QUANT_SIZES).
#include "formats/foreign_types.h"

#include <gtest/gtest.h>

#include "quant/type.h"

namespace sw {
namespace {

TEST(ForeignTypes, HaveTheSizesOfGgufPy) {
  const ForeignType all[] = {{10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {15, "Q8_K", 256, 292},
                             {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98},
                             {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
                             {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},
                             {25, "I16", 1, 2},        {26, "I32", 1, 4},        {27, "I64", 1, 8},
                             {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},   {34, "TQ1_0", 256, 54},
                             {35, "TQ2_0", 256, 66},   {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18}};
  for (const ForeignType& expected : all) {
    const ForeignType* type = find_foreign_type(expected.id);
    ASSERT_TRUE(type) << expected.name;
    EXPECT_STREQ(type->name, expected.name);
    EXPECT_EQ(type->block_elems, expected.block_elems) << expected.name;
    EXPECT_EQ(type->block_bytes, expected.block_bytes) << expected.name;
  }
}

TEST(ForeignTypes, AreNoneOfOurs) {
  for (uint32_t id = 0; id < 300; ++id) {
    EXPECT_FALSE(type_from_id(id) && find_foreign_type(id)) << id;
  }
  for (const uint32_t id : {4u, 5u, 31u, 36u, 250u, 0xFFFFFFFFu}) EXPECT_FALSE(find_foreign_type(id)) << id;
}

}  // namespace
}  // namespace sw
