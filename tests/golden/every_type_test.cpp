// SPDX-License-Identifier: MIT
// A model with weights of every format that quantize writes gives the logits of the same weights in F32.
#include <gtest/gtest.h>

#include "convert/convert_hf.h"
#include "convert/quantize.h"
#include "fuzz/tiny_model.h"
#include "golden/ling_golden.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

std::vector<Type> all_types() {
  return {
#define SW_TYPE(name, id) Type::name,
#include "quant/types.inc"
#undef SW_TYPE
  };
}

class EveryTypeInAModel : public ::testing::TestWithParam<Type> {
 protected:
  std::vector<float> logits_of(const fs::path& path) const {
    const Model model(path);
    PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model.moe_layers(), {}),
                         1);
    Forward forward(model, policies, {});
    const std::vector<int32_t> ids = {5, 7, 11, 13, 17, 19, 23, 29};
    write_trace(forward, model, ids, {}, temp_.path() / "trace");
    return Safetensors::to_f32(Safetensors(temp_.path() / "trace").require("logits"));
  }

  testing::TempDir temp_;
};

INSTANTIATE_TEST_SUITE_P(Golden, EveryTypeInAModel, ::testing::ValuesIn(all_types()),
                         [](const auto& info) { return std::string(type_name(info.param)); });

// Embedding, output matrix, attention and experts: each is read by code of its own.
TEST_P(EveryTypeInAModel, GivesTheLogitsOfItsDecodedWeights) {
  SW_DATA_OR_SKIP(golden, "golden/bailing_moe_v2/config.json");
  constexpr int kWidth = 256;
  const fs::path f32 = temp_.path() / "f32.gguf", typed = temp_.path() / "typed.gguf",
                 decoded = temp_.path() / "decoded.gguf";
  fuzz::write_tiny_checkpoint(temp_.path() / "hf", kWidth, kWidth);
  convert_hf(temp_.path() / "hf", f32, {.out_type = Type::F32, .name = "tiny"});
  QuantizeOptions options{.allow_requantize = true};
  for (const char* tensor : {"token_embd", "attn_qkv", "ffn_down_exps"}) {
    options.tensor_types.push_back({tensor, GetParam()});
  }
  quantize(f32, typed, "F32", options);
  quantize(typed, decoded, "F32", {.allow_requantize = true});
  const auto n_typed =
      std::ranges::count(GgufFile(typed).tensors(), static_cast<uint32_t>(GetParam()), &GgufTensor::type_id);
  ASSERT_GE(n_typed, 4);  // of two layers, one has no experts
  // Formats with integer kernels round activations to eight bits.
  EXPECT_LE(testing::relative_error(logits_of(typed), logits_of(decoded)),
            traits(GetParam()).quantized ? 0.03 : 1e-4);
}

}  // namespace
}  // namespace sw
