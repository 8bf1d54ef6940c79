// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "kernels/variants/all.h"

namespace sw {
namespace {

TEST(Choose, ListsAgreeWithTheKernels) {
#define SW_VARIANT(variant, set)        \
  EXPECT_STREQ(variant.name, #variant); \
  EXPECT_EQ(variant.isa, set);
#include "kernels/variants/matmul.inc"
#include "kernels/variants/vector.inc"
#undef SW_VARIANT
}

TEST(Choose, TheReferenceTakesEveryFormat) {
#define SW_TYPE(type, id) EXPECT_EQ(ref_matmul.refuses({Type::type, 256}), nullptr) << #type;
#include "quant/types.inc"
#undef SW_TYPE
  EXPECT_EQ(&choose_vector(Isa::Scalar), &ref_vector);
}

TEST(Choose, SaysWhyInOneLine) {
  std::string why;
  choose_matmul({Type::Q4_K, 256}, Isa::Scalar, &why);
  EXPECT_EQ(why.find("ref_matmul (not avx"), 0u) << why;
  EXPECT_NE(why.find("avx2_k: "), std::string::npos) << why;
  EXPECT_EQ(why.find('\n'), std::string::npos);
}

#if defined(__x86_64__)
TEST(Choose, TakesTheFirstThatAccepts) {
  if (!cpu_has(Isa::Avx2)) GTEST_SKIP() << "this CPU lacks AVX2";
  const std::pair<Type, const MatmulKernel*> expected[] = {
      {Type::F32, &avx2_f},  {Type::F16, &avx2_f},  {Type::BF16, &avx2_f}, {Type::Q8_0, &avx2_q},
      {Type::Q4_0, &avx2_q}, {Type::Q4_K, &avx2_k}, {Type::Q5_K, &avx2_k}, {Type::Q6_K, &avx2_k}};
  for (const auto& [type, kernel] : expected) {
    EXPECT_EQ(&choose_matmul({type, 256}, Isa::Avx2), kernel) << type_name(type);
  }
  EXPECT_EQ(&choose_vector(Isa::Avx2), &avx2_vector);
  std::string why;
  choose_matmul({Type::Q8_0, 256}, Isa::Avx2, &why);
  EXPECT_NE(why.find("avx2_k: only Q4_K, Q5_K and Q6_K weights"), std::string::npos) << why;
}

TEST(Choose, PacksWeightsOnlyWhereItMay) {
  if (!cpu_has(Isa::Avx512Vnni)) GTEST_SKIP() << "this CPU lacks AVX-512 VNNI";
  for (const Type type : {Type::Q4_K, Type::Q6_K, Type::Q8_0}) {
    const MatmulDesc stored{.weight = type, .n_in = 512, .n_out = 64};
    EXPECT_EQ(choose_matmul(stored, Isa::Avx512Vnni).layout, nullptr);
    MatmulDesc packed = stored;
    packed.may_pack = true;
    EXPECT_EQ(&choose_matmul(packed, Isa::Avx512Vnni), &avx512_rows4);
    EXPECT_EQ(&choose_matmul(packed, Isa::AmxInt8), &avx512_rows4);
    EXPECT_EQ(&choose_matmul(packed, Isa::Avx2), &choose_matmul(stored, Isa::Avx2));
    EXPECT_EQ(matrix_bytes(choose_matmul(stored, Isa::Avx512Vnni), stored), 64 * row_bytes(type, 512));
  }
  std::string why;
  choose_matmul({Type::Q4_K, 256}, Isa::Avx512Vnni, &why);
  EXPECT_NE(why.find("avx512_rows4: the weights stay as stored"), std::string::npos) << why;
}

// Layers mix formats: one copy of the activations must serve all integer kernels.
TEST(Choose, IntegerKernelsShareTheirPacking) {
  EXPECT_EQ(avx2_k.pack, avx2_q.pack);
  for (const MatmulKernel* kernel : {&avx512_rows4, &avx512_k, &avx512_q})
    EXPECT_EQ(kernel->pack, avx2_k.pack);
}
#endif

}  // namespace
}  // namespace sw
