// SPDX-License-Identifier: MIT
// Weights that are no numbers, or too large for their format.
#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include "convert/convert_hf.h"
#include "convert/quantize.h"
#include "formats/gguf.h"
#include "support/refusal.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using testing::HfFolder;
using Tensor = HfFolder::Tensor;
using Tensors = HfFolder::Tensors;

class BadWeights : public ::testing::Test {
 protected:
  void SetUp() override { open("golden/qwen3_moe"); }
  void open(const char* model) {
    SW_DATA_OR_SKIP(golden, model);
    folder_.emplace(golden);
  }
  /// Writes `value` into row 3, column 5 of a tensor.
  void spoil(float value, const char* tensor) const {
    folder_->edit_tensors([&](Tensors& t) {
      Tensor& weights = t.at(tensor);
      weights.values.at(static_cast<size_t>(3 * weights.shape.n_cols() + 5)) = value;
    });
  }
  void convert(Type type) const { convert_hf(folder_->path(), folder_->out(), {.out_type = type}); }
  std::optional<HfFolder> folder_;
};

TEST_F(BadWeights, AreRefusedByNameInConvert) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInf = std::numeric_limits<float>::infinity();
  for (const char* tensor : {"model.layers.0.mlp.experts.0.gate_proj.weight", "model.embed_tokens.weight",
                             "model.layers.1.mlp.gate.weight"}) {
    for (const float value : {kNan, kInf, -kInf}) {
      spoil(value, tensor);
      for (const Type type : {Type::F32, Type::F16, Type::BF16, Type::Q8_0}) {
        const std::string said = testing::refusal([&] { convert(type); });
        EXPECT_NE(said.find("a weight is not a finite number"), said.npos) << said;
        EXPECT_NE(said.find("tensor " + std::string(tensor) + ", row 3, column 5"), said.npos) << said;
        EXPECT_FALSE(std::filesystem::exists(folder_->out()));
      }
    }
    spoil(0, tensor);
  }
}

/// Vectors, biases of experts and routers, sinks, taps, and matrices that come in stacks or are cut apart.
TEST_F(BadWeights, OfEveryKindOfTensorAreRefused) {
  const std::pair<const char*, const char*> all[] = {
      {"golden/qwen3_moe", "model.norm.weight"},
      {"golden/qwen3_moe", "model.layers.0.self_attn.q_norm.weight"},
      {"golden/gpt_oss", "model.layers.0.mlp.experts.gate_up_proj_bias"},
      {"golden/gpt_oss", "model.layers.0.mlp.experts.down_proj"},
      {"golden/gpt_oss", "model.layers.0.self_attn.sinks"},
      {"golden/deepseek_v3", "model.layers.2.mlp.gate.e_score_correction_bias"},
      {"golden/deepseek_v3", "model.layers.1.self_attn.kv_b_proj.weight"},
      {"golden_next/lfm2_moe", "model.layers.0.conv.conv.weight"},
      {"golden/llama", "lm_head.weight"}};
  for (const auto& [model, tensor] : all) {
    open(model);
    if (IsSkipped()) return;
    folder_->edit_tensors([&, name = tensor](Tensors& t) {
      t.at(name).values.at(3) = std::numeric_limits<float>::quiet_NaN();
    });
    const std::string said = testing::refusal([&] { convert(Type::F32); });
    EXPECT_NE(said.find("a weight is not a finite number"), said.npos) << said;
    EXPECT_NE(said.find("tensor " + std::string(tensor) + ", row "), said.npos) << said;
  }
}

/// The file's own, in each of the formats that quantizing starts from.
TEST_F(BadWeights, OfAGgufFileAreRefusedInQuantize) {
  constexpr const char* kTensor = "blk.0.ffn_up_exps.weight";
  for (const Type from : {Type::F32, Type::F16, Type::BF16}) {
    convert(from);
    const auto bad = folder_->path() / "bad.gguf", out = folder_->path() / "q.gguf";
    {
      const GgufFile file(folder_->out());
      GgufWriter writer(bad);
      for (const auto& [key, value] : file.metadata().entries()) writer.set(key, value);
      for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
      for (const GgufTensor& t : file.tensors()) {
        std::vector<std::byte> data(t.data, t.data + t.size_bytes);
        if (t.name == kTensor) {  // all bits of one weight set: not a number in any of the three
          const size_t n_byte = from == Type::F32 ? 4 : 2;
          std::fill_n(data.begin() + static_cast<std::ptrdiff_t>(n_byte), n_byte, std::byte{0xFF});
        }
        writer.write_tensor(data);
      }
      writer.finish();
    }
    for (const char* mix : {"Q8_0", "Q4_K_M", "Q4_0"}) {
      const std::string said = testing::refusal([&] { quantize(bad, out, mix, {}); });
      EXPECT_NE(said.find("a weight is not a finite number"), said.npos) << type_name(from) << said;
      EXPECT_NE(said.find(std::string(kTensor) + ", row 0, column 1"), said.npos) << said;
      EXPECT_FALSE(std::filesystem::exists(out));
    }
  }
}

/// Each format has its own limit, and the hint names formats that hold the weight.
TEST_F(BadWeights, BeyondAFormatAreRefusedWithAHint) {
  constexpr const char* kTensor = "model.layers.0.mlp.experts.0.gate_proj.weight";
  spoil(3e7f, kTensor);  // Q8_0 holds 127 times the largest half
  testing::expect_refused([&] { convert(Type::Q8_0); }, "(BF16 and F32 hold it)");
  EXPECT_NO_THROW(convert(Type::BF16));
  spoil(3.4e38f, kTensor);  // rounds up to infinity
  testing::expect_refused([&] { convert(Type::BF16); }, "(F32 holds it)");
  EXPECT_NO_THROW(convert(Type::F32));
}

TEST_F(BadWeights, BeyondF16AreRefusedThereAlone) {
  spoil(1e5f, "model.layers.0.mlp.experts.0.gate_proj.weight");
  testing::expect_refused([&] { convert(Type::F16); }, "a weight is too large for its format");
  EXPECT_NO_THROW(convert(Type::BF16));
  EXPECT_NO_THROW(convert(Type::F32));
  const auto out = folder_->path() / "q.gguf";
  testing::expect_refused([&] { quantize(folder_->out(), out, "F16", {}); },
                          "blk.0.ffn_gate_exps.weight, row 3");
  EXPECT_NO_THROW(quantize(folder_->out(), out, "Q8_0", {}));
}

}  // namespace
}  // namespace sw
