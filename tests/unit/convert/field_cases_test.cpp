// SPDX-License-Identifier: MIT
// Checkpoints as people have them: fused experts, tensors too many or too few.
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <regex>

#include "convert/convert_hf.h"
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
  static const std::regex one_expert(R"((.*\.experts)\.(\d+)\.(\w+)\.weight)");
  std::map<std::string, std::map<int, std::map<std::string, Tensor>>> experts;
  Tensors rest;
  for (const auto& [name, tensor] : tensors) {
    std::smatch m;
    const std::string plain = std::regex_replace(name, std::regex("block_sparse_moe"), "mlp");
    if (std::regex_match(plain, m, one_expert)) {
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

/// Buffers that follow from the config, as transformers ignores them.
TEST(CheckpointBuffers, ThatNobodyReadsAreLeftOutInSilence) {
  const std::vector<std::string> of_years[] = {
      {"model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"},
      {"model.rotary_emb.inv_freq"},
      {"model.layers.0.self_attn.rotary_emb.cos_cached", "model.layers.0.self_attn.rotary_emb.sin_cached"},
      {"model.layers.0.self_attn.masked_bias", "model.layers.0.attn.bias"}};
  for (const char* model : {"golden/llama", "golden/deepseek_v3"}) {
    SW_DATA_OR_SKIP(golden, model);
    const HfFolder folder(golden);
    const auto plain = folder.path() / "plain.gguf";
    convert_hf(folder.path(), plain, {});
    for (const auto& names : of_years) {
      const HfFolder more(golden);
      more.edit_tensors([&](Tensors& t) {
        for (const std::string& name : names) t[name] = {{8}, std::vector<float>(8, 0.5f)};
      });
      EXPECT_TRUE(convert_hf(more.path(), more.out(), {}).notes.empty()) << names[0];
      expect_equal_tensors(plain, more.out());
    }
  }
}

/// What scales keys and values in a cache of 8 bits is no such buffer.
TEST(CheckpointBuffers, ThatChangeAResultAreRefused) {
  SW_DATA_OR_SKIP(golden, "golden/llama");
  const HfFolder folder(golden);
  folder.edit_tensors([](Tensors& t) { t["model.layers.0.self_attn.k_scale"] = {{1}, {0.5f}}; });
  testing::expect_refused([&] { convert_hf(folder.path(), folder.out(), {}); }, "self_attn.k_scale");
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

/// The same of other families, counted by the class alone, and with a count that the family's file has no key
/// for.
TEST(NextTokenLayers, AreNotCountedInAnyFamily) {
  struct Counted {
    const char *model, *gguf;
    json keys;
  };
  const Counted all[] = {
      {"golden/glm4_moe", "glm4moe", json::object()},
      {"golden/bailing_moe_v2_mtp", "bailingmoe2", {{"num_nextn_predict_layers", 1}}},
      {"golden/bailing_moe_v2", "bailingmoe2", {{"num_nextn_predict_layers", 2}}},
      {"golden/deepseek_v3", "deepseek2", {{"num_nextn_predict_layers", 1}}},
  };
  for (const Counted& counted : all) {
    SCOPED_TRACE(counted.model);
    SW_DATA_OR_SKIP(golden, counted.model);
    const HfFolder folder(golden);
    folder.edit_tensors([](Tensors& t) {
      std::erase_if(t, [](const auto& item) { return item.first.starts_with("model.layers.3."); });
    });
    folder.edit_config([&](json& config) {
      config.erase("num_nextn_predict_layers");
      config.update(counted.keys);
    });
    convert_hf(folder.path(), folder.out(), {});
    const GgufFile file(folder.out());
    const std::string prefix = counted.gguf;
    EXPECT_EQ(file.metadata().get_int(prefix + ".block_count"), 3);
    EXPECT_EQ(file.metadata().get_int(prefix + ".nextn_predict_layers").value_or(0), 0);
  }
}

TEST(NextTokenLayers, MoreThanAreThereAreAnError) {
  SW_DATA_OR_SKIP(golden, "golden/glm4_moe");
  const HfFolder folder(golden);
  folder.edit_config([](json& config) { config["num_nextn_predict_layers"] = 2; });
  testing::expect_refused([&] { convert_hf(folder.path(), folder.out(), {}); }, "model.layers.4.");
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

/// All of their matrices, and of one expert more than there are: ids say who is an identity expert.
TEST(IdentityExperts, AreKnownByTheirIds) {
  SW_DATA_OR_SKIP(golden, "golden/longcat_flash");
  const HfFolder folder(golden);
  const auto plain = folder.path() / "plain.gguf";
  convert_hf(folder.path(), plain, {});
  folder.edit_tensors([](Tensors& t) {
    for (int e = 8; e < 13; ++e)
      for (const char* name : {".gate_proj.weight", ".up_proj.weight", ".down_proj.weight"})
        t["model.layers.1.mlp.experts." + std::to_string(e) + name] = {{2, 2}, {1, 2, 3, 4}};
  });
  const ConvertReport report = convert_hf(folder.path(), folder.out(), {});
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("15 tensors are left out: of identity experts"), std::string::npos);
  expect_equal_tensors(plain, folder.out());
}

/// transformers 5 keeps rows for all ids in one stack, those of identity experts behind the others.
TEST(IdentityExperts, MayHaveRowsInAStack) {
  SW_DATA_OR_SKIP(golden, "golden/longcat_flash");
  const HfFolder folder(golden);
  const auto plain = folder.path() / "plain.gguf";
  convert_hf(folder.path(), plain, {});
  folder.edit_tensors([](Tensors& t) {
    fuse(t);
    for (auto& [name, tensor] : t) {
      if (tensor.shape.n_dims() != 3) continue;
      const Shape s = tensor.shape;
      tensor.shape = {s[0] + 4, s[1], s[2]};
      tensor.values.resize(static_cast<size_t>(tensor.shape.n_elements()), 7.0f);
    }
  });
  convert_hf(folder.path(), folder.out(), {});
  expect_equal_tensors(plain, folder.out());
}

/// A family without identity experts has no use for an expert beyond the last.
TEST(IdentityExperts, AreOfOneFamilyAlone) {
  SW_DATA_OR_SKIP(golden, "golden/glm4_moe");
  const HfFolder folder(golden);
  folder.edit_tensors([](Tensors& t) { t["model.layers.1.mlp.experts.12.up_proj.weight"] = {{1}, {1.0f}}; });
  testing::expect_refused([&] { convert_hf(folder.path(), folder.out(), {}); }, "experts.12.up_proj");
}

/// LongCat's Python makes the classifier's bias where router_bias says so, and does not add it to the logits.
TEST(RouterBias, OfLongcatIsNotInTheFile) {
  SW_DATA_OR_SKIP(golden, "golden/longcat_flash");
  const HfFolder folder(golden);
  const auto plain = folder.path() / "plain.gguf";
  convert_hf(folder.path(), plain, {});
  folder.edit_config([](json& config) { config["router_bias"] = true; });
  folder.edit_tensors([](Tensors& t) {
    for (const char* layer : {"0", "1"}) {
      std::vector<float> bias(12);
      for (size_t e = 0; e < bias.size(); ++e) bias[e] = static_cast<float>(e);
      t[std::string("model.layers.") + layer + ".mlp.router.classifier.bias"] = {{12}, bias};
    }
  });
  EXPECT_EQ(convert_hf(folder.path(), folder.out(), {}).notes.size(), 1u);
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
    for (int l = 0; t.contains(fmt::format("model.layers.{}.self_attn.q_proj.weight", l)); ++l) {
      const auto name = [&](char what) {
        return fmt::format("model.layers.{}.self_attn.{}_proj.bias", l, what);
      };
      for (const char what : {'q', 'o'}) t[name(what)] = {{64}, bias};
      for (const char what : {'k', 'v'}) t[name(what)] = {{32}, {bias.begin(), bias.begin() + 32}};
    }
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

  // One of them alone is what a broken download looks like.
  folder.edit_tensors([](Tensors& t) { t.erase("model.layers.1.self_attn.k_proj.bias"); });
  testing::expect_refused([&] { convert_hf(folder.path(), folder.out(), {}); },
                          "model.layers.1.self_attn.k_proj.bias [32]");
}

}  // namespace
}  // namespace sw
