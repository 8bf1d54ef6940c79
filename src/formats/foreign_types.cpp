// SPDX-License-Identifier: MIT
#include "formats/foreign_types.h"

#include <algorithm>
#include <iterator>

#include "quant/type.h"

namespace sw {
namespace {

/// The numbers of llama.cpp; then those of ik_llama.cpp, whose sizes depend on more than a block.
constexpr ForeignType kForeign[] = {{9, "Q8_1", 32, 36},
                                    {15, "Q8_K", 256, 292},
                                    {24, "I8", 1, 1},
                                    {25, "I16", 1, 2},
                                    {26, "I32", 1, 4},
                                    {27, "I64", 1, 8},
                                    {28, "F64", 1, 8},
                                    {31, "Q4_0_4_4", 32, 18},
                                    {32, "Q4_0_4_8", 32, 18},
                                    {33, "Q4_0_8_8", 32, 18},
                                    {41, "Q1_0", 128, 18},
                                    {42, "Q2_0", 64, 18},
                                    {36, "I2_S"},
                                    {97, "Q8_0_X4"},
                                    {98, "Q8_1_X4"},
                                    {99, "Q8_2_X4"},
                                    {133, "Q6_0"},
                                    {134, "IQ1_BN"},
                                    {135, "IQ2_BN"},
                                    {136, "Q8_K64"},
                                    {142, "IQ2_TN"},
                                    {143, "IQ1_TN"},
                                    {147, "Q8_K16"},
                                    {148, "Q8_K32"},
                                    {149, "Q8_KR8"},
                                    {150, "Q8_K128"},
                                    {151, "Q8_KV"},
                                    {202, "Q4_0_R8"},
                                    {206, "Q5_0_R4"},
                                    {208, "Q8_0_R8"},
                                    {210, "Q2_K_R4"},
                                    {211, "Q3_K_R4"},
                                    {212, "Q4_K_R4"},
                                    {213, "Q5_K_R4"},
                                    {214, "Q6_K_R4"},
                                    {216, "IQ2_XXS_R4"},
                                    {217, "IQ2_XS_R4"},
                                    {218, "IQ3_XXS_R4"},
                                    {219, "IQ1_S_R4"},
                                    {220, "IQ4_NL_R4"},
                                    {221, "IQ3_S_R4"},
                                    {222, "IQ2_S_R4"},
                                    {223, "IQ4_XS_R8"},
                                    {229, "IQ1_M_R4"},
                                    {230, "BF16_R16"},
                                    {233, "Q6_0_R4"},
                                    {335, "IQ2_BN_R4"},
                                    {337, "IQ2_K_R4"},
                                    {338, "IQ3_K_R4"},
                                    {339, "IQ4_K_R4"},
                                    {340, "IQ5_K_R4"},
                                    {344, "IQ4_KS_R4"},
                                    {352, "IQ5_KS_R4"},
                                    {353, "MXFP4_R8"},
                                    {397, "Q8_K_R16"},
                                    {398, "Q8_KV_R8"},
                                    {399, "Q8_K_R8"}};

}  // namespace

const ForeignType* find_foreign_type(uint32_t gguf_id) {
  if (type_from_id(gguf_id)) return nullptr;
  const auto* at = std::ranges::find(kForeign, gguf_id, &ForeignType::id);
  return at == std::end(kForeign) ? nullptr : at;
}

}  // namespace sw
