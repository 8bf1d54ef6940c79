// SPDX-License-Identifier: MIT
#include "formats/foreign_types.h"

#include <algorithm>
#include <iterator>

#include "quant/type.h"

namespace sw {
namespace {

/// The numbers of llama.cpp, and from 133 on those of ik_llama.cpp, whose sizes depend on more than a block.
constexpr ForeignType kForeign[] = {{9, "Q8_1", 32, 36},
                                    {10, "Q2_K", 256, 84},
                                    {11, "Q3_K", 256, 110},
                                    {15, "Q8_K", 256, 292},
                                    {16, "IQ2_XXS", 256, 66},
                                    {17, "IQ2_XS", 256, 74},
                                    {18, "IQ3_XXS", 256, 98},
                                    {19, "IQ1_S", 256, 50},
                                    {20, "IQ4_NL", 32, 18},
                                    {21, "IQ3_S", 256, 110},
                                    {22, "IQ2_S", 256, 82},
                                    {23, "IQ4_XS", 256, 136},
                                    {24, "I8", 1, 1},
                                    {25, "I16", 1, 2},
                                    {26, "I32", 1, 4},
                                    {27, "I64", 1, 8},
                                    {28, "F64", 1, 8},
                                    {29, "IQ1_M", 256, 56},
                                    {34, "TQ1_0", 256, 54},
                                    {35, "TQ2_0", 256, 66},
                                    {40, "NVFP4", 64, 36},
                                    {41, "Q1_0", 128, 18},
                                    {133, "Q6_0"},
                                    {134, "IQ1_BN"},
                                    {135, "IQ2_BN"},
                                    {137, "IQ2_K"},
                                    {138, "IQ3_K"},
                                    {139, "IQ4_K"},
                                    {140, "IQ5_K"},
                                    {141, "IQ6_K"},
                                    {144, "IQ4_KS"},
                                    {145, "IQ2_KS"},
                                    {146, "IQ4_KSS"}};

}  // namespace

const ForeignType* find_foreign_type(uint32_t gguf_id) {
  if (type_from_id(gguf_id)) return nullptr;
  const auto* at = std::ranges::find(kForeign, gguf_id, &ForeignType::id);
  return at == std::end(kForeign) ? nullptr : at;
}

}  // namespace sw
