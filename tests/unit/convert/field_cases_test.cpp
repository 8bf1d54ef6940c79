// SPDX-License-Identifier: MIT
// Checkpoints as people have them: fused experts, tensors too many or too few, weights that are no numbers.
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <regex>

#include "convert/convert_hf.h"
#include "convert/quantize.h"
#include "formats/gguf.h"
#include "support/converted_file.h"
#include "support/refusal.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;
using Tensor = HfFolder::Tensor;
using Tensors = HfFolder::Tensors;

Shape stacked(int64_t n, const Shape& one) { return {n, one[0], one[1]}; }

void append(Tensor& all, const Tensor& more) {
  all.values.insert(all.values.end(), more.values.begin(), more.values.end());
}

/// Experts as transformers 5 keeps them: [E, 2 ff, in], the gate's rows first, and [E, in, ff].
void fuse(Tensors& tensors) {
  static const std::regex kExpert(R"((.*\.experts)\.(\d+)\.(\w+)\.weight)");
  std::map<std::string, std::map<int, std::map<std::string, Tensor>>> experts;
  Tensors rest;
  for (const auto& [name, tensor] : tensors) {
    std::smatch m;
    const std::string plain = std::regex_replace(name, std::regex("block_sparse_moe"), "mlp");
    if (std::regex_match(plain, m, kExpert)) {
      experts[m[1]][std::stoi(m[2])][m[3]] = tensor;
    } else {
      rest[plain] = tensor;
    }
  }
  for (auto& [prefix, all] : experts) {
    Tensor both, down;
    for (auto& [id, e] : all) {
      const bool w = e.contains("w1");
      append(both, e[w ? "w1" : "gate_proj"]);
      append(both, e[w ? "w3" : "up_proj"]);
      append(down, e[w ? "w2" : "down_proj"]);
      const Shape gate = e[w ? "w1" : "gate_proj"].shape;
      both.shape = {std::ssize(all), 2 * gate[0], gate[1]};
      down.shape = stacked(std::ssize(all), e[w ? "w2" : "down_proj"].shape);
    }
    rest[prefix + ".gate_up_proj"] = both;
    rest[prefix + ".down_proj"] = down;
  }
  tensors = std::move(rest);
}

void expect_equal_tensors(const std::filesystem::path& a, const std::filesystem::path& b) {
  const GgufFile one(a), other(b);
  ASSERT_EQ(one.tensors().size(), other.tensors().size());
  for (const GgufTensor& t : one.tensors()) {
    const GgufTensor* same = other.find_tensor(t.name);
    ASSERT_TRUE(same) << t.name;
    ASSERT_EQ(t.size_bytes, same->size_bytes) << t.name;
    EXPECT_EQ(std::memcmp(t.data, same->data, t.size_bytes), 0) << t.name;
  }
}

class FusedExperts : public ::testing::TestWithParam<const char*> {};

TEST_P(FusedExperts, GiveTheFileOfTheUnfusedOnes) {
  SW_DATA_OR_SKIP(golden, GetParam());
  const HfFolder folder(golden);
  const auto plain = folder.path() / "plain.gguf";
  convert_hf(folder.path(), plain, {.out_type = Type::F16});
  folder.edit_tensors(fuse);
  convert_hf(folder.path(), folder.out(), {.out_type = Type::F16});
  expect_equal_tensors(plain, folder.out());
}

INSTANTIATE_TEST_SUITE_P(Families, FusedExperts,
                         ::testing::Values("golden/qwen3_moe", "golden/mixtral", "golden/olmoe",
                                           "golden/deepseek_v2", "golden/deepseek_v3", "golden/glm4_moe",
                                           "golden/longcat_flash", "golden/bailing_moe_v2",
                                           "golden_next/lfm2_moe"),
                         [](const auto& info) {
                           const std::string model = info.param;
                           return model.substr(model.find('/') + 1);
                         });

/// Qwen3-VL's checkpoints have them transposed; transformers 5 has them as in other families.
TEST(FusedExpertsTransposed, ComeEitherWay) {
  SW_DATA_OR_SKIP(golden, "golden/qwen3_vl_moe");
  const HfFolder folder(golden);
  const auto plain = folder.path() / "plain.gguf";
  convert_hf(folder.path(), plain, {.out_type = Type::F32});
  folder.edit_tensors([](Tensors& tensors) {
    for (auto& [name, t] : tensors) {
      if (!name.ends_with("gate_up_proj") && !name.ends_with("experts.down_proj")) continue;
      const Shape s = t.shape;
      std::vector<float> turned;
      for (int64_t e = 0; e < s[0]; ++e)
        for (int64_t c = 0; c < s[2]; ++c)
          for (int64_t r = 0; r < s[1]; ++r)
            turned.push_back(t.values[static_cast<size_t>((e * s[1] + r) * s[2] + c)]);
      t = {{s[0], s[2], s[1]}, turned};
    }
  });
  convert_hf(folder.path(), folder.out(), {.out_type = Type::F32});
  expect_equal_tensors(plain, folder.out());
}

TEST(NextTokenLayers, ThatACheckpointLacksAreNotCounted) {
  SW_DATA_OR_SKIP(golden, "golden/glm4_moe");
  const HfFolder folder(golden);
  folder.edit_tensors([](Tensors& t) {
    std::erase_if(t, [](const auto& item) { return item.first.starts_with("model.layers.3."); });
  });
  const ConvertReport report = convert_hf(folder.path(), folder.out(), {});
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("lacks the next-token layers"), std::string::npos);
  const GgufFile file(folder.out());
  EXPECT_EQ(file.metadata().get_int("glm4moe.block_count"), 3);
  EXPECT_EQ(file.metadata().get_int("glm4moe.nextn_predict_layers").value_or(0), 0);
}

/// One of them alone is a download that is not complete.
TEST(NextTokenLayers, ThatAreThereInPartAreAnError) {
  SW_DATA_OR_SKIP(golden, "golden/glm4_moe");
  const HfFolder folder(golden);
  folder.edit_tensors([](Tensors& t) { t.erase("model.layers.3.eh_proj.weight"); });
  testing::expect_refused([&] { convert_hf(folder.path(), folder.out(), {}); },
                          "model.layers.3.eh_proj.weight");
}

TEST(IdentityExperts, MayHaveWeightsThatNobodyReads) {
  SW_DATA_OR_SKIP(golden, "golden/longcat_flash");
  const HfFolder folder(golden);
  const auto plain = folder.path() / "plain.gguf";
  convert_hf(folder.path(), plain, {});
  folder.edit_tensors([](Tensors& t) {
    for (int e = 8; e < 12; ++e)
      t["model.layers.0.mlp.experts." + std::to_string(e) + ".up_proj.weight"] = {{1}, {1.0f}};
    t["model.layers.1.mlp.router.classifier.bias"] = {{12}, std::vector<float>(12, 3.0f)};
  });
  EXPECT_EQ(convert_hf(folder.path(), folder.out(), {}).notes.size(), 2u);
  expect_equal_tensors(plain, folder.out());
}

TEST(TiedOutput, IsKeptWhereItDiffersFromTheEmbedding) {
  SW_DATA_OR_SKIP(golden, "golden/qwen3");
  const HfFolder folder(golden);
  folder.edit_config([](json& c) { c["tie_word_embeddings"] = true; });
  const ConvertReport kept = convert_hf(folder.path(), folder.out(), {});
  ASSERT_EQ(kept.notes.size(), 1u);
  EXPECT_NE(kept.notes[0].find("lm_head.weight is kept"), std::string::npos);
  EXPECT_TRUE(GgufFile(folder.out()).find_tensor("output.weight"));
  folder.edit_tensors([](Tensors& t) { t["lm_head.weight"] = t["model.embed_tokens.weight"]; });
  convert_hf(folder.path(), folder.out(), {});
  EXPECT_FALSE(GgufFile(folder.out()).find_tensor("output.weight"));
}

/// A bias of queries turns with the rows of its matrix: rotary pairs (i, i + 8) become (2i, 2i + 1).
TEST(AttentionBias, OfLlamaFollowsItsRows) {
  SW_DATA_OR_SKIP(golden, "golden/llama");
  const HfFolder folder(golden);
  folder.edit_tensors([](Tensors& t) {
    std::vector<float> bias(64);
    for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i);
    t["model.layers.0.self_attn.q_proj.bias"] = {{64}, bias};
    t["model.layers.0.self_attn.o_proj.bias"] = {{64}, bias};
  });
  convert_hf(folder.path(), folder.out(), {});
  const GgufFile file(folder.out());
  const auto* q = reinterpret_cast<const float*>(file.find_tensor("blk.0.attn_q.bias")->data);
  const auto* out = reinterpret_cast<const float*>(file.find_tensor("blk.0.attn_output.bias")->data);
  for (int i = 0; i < 64; ++i) {
    const int in_head = i % 16;
    EXPECT_EQ(q[i], static_cast<float>(i - in_head + in_head / 2 + (in_head % 2) * 8));
    EXPECT_EQ(out[i], static_cast<float>(i));
  }
}

class BadWeights : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_DATA_OR_SKIP(golden, "golden/qwen3_moe");
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
