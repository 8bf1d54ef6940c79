// SPDX-License-Identifier: MIT
#include "arch/spec.h"

#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"

namespace sw {
namespace {

using Values = std::map<std::string, double, std::less<>>;

/// Of names with | between them the first that is there.
KeyLookup from(const Values& values, KeyName name_of) {
  return [&values, name_of](const Key& key) -> std::optional<double> {
    std::istringstream names{std::string(key.*name_of)};
    for (std::string name; std::getline(names, name, '|');) {
      const auto at = values.find(name);
      if (at != values.end()) return at->second;
    }
    return std::nullopt;
  };
}

/// Ling-1T's figures by their GGUF keys (requirements S4.41 to S4.49).
Values ling_1t() {
  return {{"block_count", 80},
          {"context_length", 32768},
          {"embedding_length", 8192},
          {"feed_forward_length", 18432},
          {"vocab_size", 157184},
          {"attention.head_count", 64},
          {"attention.head_count_kv", 8},
          {"attention.key_length", 128},
          {"attention.value_length", 128},
          {"attention.layer_norm_rms_epsilon", 1e-6},
          {"rope.freq_base", 600000},
          {"rope.dimension_count", 64},
          {"leading_dense_block_count", 4},
          {"expert_count", 256},
          {"expert_used_count", 8},
          {"expert_feed_forward_length", 2048},
          {"expert_shared_count", 1},
          {"expert_shared_feed_forward_length", 2048},
          {"expert_group_count", 8},
          {"expert_group_used_count", 4},
          {"expert_weights_scale", 2.5},
          {"expert_weights_norm", 1},
          {"expert_gating_func", 2}};
}

TEST(ArchSpec, ReadsLing1T) {
  const ArchSpec& arch = arch_by_name("bailingmoe2");
  const Values values = ling_1t();
  std::vector<ReadKey> read;
  const HParams h = read_hparams(arch, &Key::gguf, from(values, &Key::gguf), &read);
  EXPECT_EQ(h.n_layer, 80);
  EXPECT_EQ(h.n_layer_nextn, 0);
  EXPECT_EQ(h.rope.n_rot, 64);
  EXPECT_EQ(h.moe.n_expert_group_used, 4);
  EXPECT_EQ(layer_kind(arch, h, 3).name, "dense");
  EXPECT_EQ(layer_kind(arch, h, 4).name, "moe");
  int n_from_file = 0;
  for (const ReadKey& key : read) n_from_file += key.from_file;
  EXPECT_EQ(n_from_file, static_cast<int>(values.size()));
  const RouterSpec router = make_router_spec(arch, h);
  EXPECT_EQ(router.score, Score::Sigmoid);
  EXPECT_EQ(router.max_k(true), 128);
  EXPECT_EQ(router.scale, 2.5f);
  EXPECT_EQ(router.renorm_min_k, 2);
}

TEST(ArchSpec, DefaultsFromAHuggingFaceConfigWithoutThem) {
  // Ling-1T's config has no width of the shared expert, no MTP layer and no rotary dimension count.
  const Values values{{"num_hidden_layers", 80},    {"max_position_embeddings", 32768},
                      {"hidden_size", 8192},        {"intermediate_size", 18432},
                      {"vocab_size", 157184},       {"rms_norm_eps", 1e-6},
                      {"num_attention_heads", 64},  {"num_key_value_heads", 8},
                      {"rope_theta", 600000},       {"partial_rotary_factor", 0.5},
                      {"first_k_dense_replace", 4}, {"num_experts", 256},
                      {"num_experts_per_tok", 8},   {"moe_intermediate_size", 2048},
                      {"num_shared_experts", 1}};
  const HParams h =
      read_hparams(arch_by_hf_class("BailingMoeV2ForCausalLM"), &Key::hf, from(values, &Key::hf));
  EXPECT_EQ(h.attention.head_dim, 128);
  EXPECT_EQ(h.rope.n_rot, 64);
  EXPECT_EQ(h.moe.n_ff_shared, 2048);
  EXPECT_EQ(h.n_block, 80);
}

TEST(ArchSpec, NextTokenLayersCountAsBlocksOnly) {
  Values values = ling_1t();
  values["block_count"] = 81;
  values["nextn_predict_layers"] = 1;
  const HParams h = read_hparams(arch_by_name("bailingmoe2"), &Key::gguf, from(values, &Key::gguf));
  EXPECT_EQ(h.n_layer, 80);
  EXPECT_EQ(h.n_block, 81);
}

TEST(ArchSpec, RefusesImpossibleFigures) {
  const auto refused = [](const char* key, double value) {
    Values values = ling_1t();
    values[key] = value;
    EXPECT_THROW(read_hparams(arch_by_name("bailingmoe2"), &Key::gguf, from(values, &Key::gguf)), Error)
        << key << " " << value;
  };
  refused("block_count", 0);
  refused("block_count", 1e9);
  refused("block_count", 2.5);
  refused("nextn_predict_layers", 80);
  refused("embedding_length", -1);
  refused("attention.head_count", 63);
  refused("attention.head_count_kv", 0);
  refused("rope.dimension_count", 130);
  refused("rope.dimension_count", 63);
  refused("expert_gating_func", 9e9);
  refused("rope.freq_base", std::numeric_limits<double>::infinity());
  Values values = ling_1t();
  values.erase("expert_count");
  EXPECT_THROW(read_hparams(arch_by_name("bailingmoe2"), &Key::gguf, from(values, &Key::gguf)), Error);
}

TEST(ArchSpec, UnknownNamesListTheKnownOnes) {
  try {
    arch_by_name("nonsense");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("bailingmoe2"), std::string::npos) << e.what();
  }
  EXPECT_THROW(arch_by_hf_class("GPT5ForCausalLM"), Error);
}

/// What every declaration must keep, whoever writes it.
TEST(ArchSpec, EveryDeclarationIsSound) {
  for (const ArchSpec* arch : all_archs()) {
    std::set<std::string_view> keys, tensors;
    for (const Key& key : arch->keys) {
      ASSERT_NE(key.field.get, nullptr);
      EXPECT_TRUE(key.gguf.empty() || keys.insert(key.gguf).second) << arch->name << " " << key.gguf;
      EXPECT_FALSE(key.gguf.empty() && key.hf.empty()) << arch->name;
    }
    for (const TensorSpec& t : arch->tensors) {
      EXPECT_TRUE(tensors.insert(t.gguf).second) << arch->name << " " << t.gguf;
      EXPECT_GT(t.dims.n, 0) << t.gguf;
      EXPECT_EQ(readers_of(t.role).meets(kModelOperations), t.gguf.find("{l}") == std::string_view::npos)
          << t.gguf;
      EXPECT_EQ(t.transform == Transform::Stack, t.hf.find("{e}") != std::string_view::npos) << t.gguf;
    }
    EXPECT_FALSE(arch->kinds.empty()) << arch->name;
  }
}

/// DeepSeek-V3's config, as far as it matters here.
Values deepseek_v3() {
  return {{"num_hidden_layers", 61},
          {"num_nextn_predict_layers", 1},
          {"hidden_size", 7168},
          {"intermediate_size", 18432},
          {"rms_norm_eps", 1e-6},
          {"max_position_embeddings", 163840},
          {"vocab_size", 129280},
          {"num_attention_heads", 128},
          {"num_key_value_heads", 128},
          {"rope_theta", 10000},
          {"q_lora_rank", 1536},
          {"kv_lora_rank", 512},
          {"qk_rope_head_dim", 64},
          {"qk_nope_head_dim", 128},
          {"v_head_dim", 128},
          {"first_k_dense_replace", 3},
          {"n_routed_experts", 256},
          {"num_experts_per_tok", 8},
          {"n_group", 8},
          {"topk_group", 4},
          {"moe_intermediate_size", 2048},
          {"n_shared_experts", 1},
          {"routed_scaling_factor", 2.5},
          {"norm_topk_prob", 1},
          {"rope_scaling.rope_type|rope_scaling.type", 2},
          {"rope_scaling.factor", 40},
          {"rope_scaling.original_max_position_embeddings", 4096},
          {"rope_scaling.mscale", 1},
          {"rope_scaling.mscale_all_dim", 1}};
}

TEST(ArchSpec, LatentAttentionFromAConfigAndFromFiles) {
  const ArchSpec& arch = arch_by_hf_class("DeepseekV3ForCausalLM");
  const Values config = deepseek_v3();
  const HParams h = read_hparams(arch, &Key::hf, from(config, &Key::hf));
  EXPECT_EQ(h.n_block, 61) << "the next-token layer is not taken over";
  EXPECT_EQ(h.attention.head_dim, 576);
  EXPECT_EQ(h.attention.value_dim, 512);
  EXPECT_EQ(h.attention.n_head_kv, 1);
  EXPECT_EQ(h.mla.key_dim, 192);
  EXPECT_FLOAT_EQ(h.rope.log_multiplier, 0.1f);
  EXPECT_FLOAT_EQ(h.rope.attn_factor, 1.0f);
  EXPECT_EQ(make_router_spec(arch, h).score, Score::Sigmoid) << "a config that does not name it";
  EXPECT_EQ(make_router_spec(arch, h).group_score, GroupScore::Top2Sum);
  // DeepSeek-V2's file by a converter from before the keys of single heads.
  const Values older = {{"block_count", 60},
                        {"context_length", 163840},
                        {"embedding_length", 5120},
                        {"feed_forward_length", 12288},
                        {"attention.layer_norm_rms_epsilon", 1e-6},
                        {"vocab_size", 102400},
                        {"attention.head_count", 128},
                        {"attention.head_count_kv", 128},
                        {"rope.dimension_count", 64},
                        {"attention.q_lora_rank", 1536},
                        {"attention.kv_lora_rank", 512},
                        {"attention.key_length", 192},
                        {"attention.value_length", 128},
                        {"leading_dense_block_count", 1},
                        {"expert_count", 160},
                        {"expert_used_count", 6},
                        {"expert_group_count", 8},
                        {"expert_group_used_count", 3},
                        {"expert_feed_forward_length", 1536},
                        {"expert_shared_count", 2},
                        {"expert_weights_scale", 16}};
  const HParams old = read_hparams(arch, &Key::gguf, from(older, &Key::gguf));
  EXPECT_EQ(old.mla.key_dim, 192);
  EXPECT_EQ(old.mla.nope_dim, 128);
  EXPECT_EQ(old.mla.value_dim, 128);
  EXPECT_EQ(make_router_spec(arch, old).score, Score::Softmax);
  EXPECT_EQ(make_router_spec(arch, old).group_score, GroupScore::Max);
}

/// A file says in one list which layers attend, and with how many key/value heads.
TEST(ArchSpec, AListOfLayersGivesItsOneNumber) {
  const ArchSpec& arch = arch_by_name("lfm2moe");
  const auto read = [&](const std::vector<int64_t>& list) {
    return read_lists(arch, &ListKey::gguf, [&](const ListKey&) { return std::optional(list); });
  };
  const HParams h = read({0, 8, 0, 8});
  EXPECT_EQ(h.attention.layers, (std::vector<int>{0, 1, 0, 1}));
  EXPECT_EQ(h.attention.n_head_kv, 8);
  EXPECT_THROW(read({0, 8, 4, 0}), Error);
  EXPECT_THROW(read({0, 8, 1, 0}), Error);
  const Values values = {{"block_count", 4},
                         {"context_length", 128},
                         {"embedding_length", 64},
                         {"feed_forward_length", 96},
                         {"vocab_size", 100},
                         {"attention.layer_norm_rms_epsilon", 1e-5},
                         {"attention.head_count", 16},
                         {"rope.freq_base", 1e6},
                         {"shortconv.l_cache", 3},
                         {"leading_dense_block_count", 1},
                         {"expert_count", 8},
                         {"expert_used_count", 2},
                         {"expert_feed_forward_length", 32}};
  const auto whole = [&](const Values& v, const std::vector<int64_t>& list) {
    return read_hparams(arch, &Key::gguf, from(v, &Key::gguf), nullptr, read(list));
  };
  const HParams all = whole(values, {0, 8, 0, 8});
  EXPECT_EQ(all.attention.n_head_kv, 8);
  EXPECT_EQ(layer_kind(arch, all, 0).name, "conv, dense");
  EXPECT_EQ(layer_kind(arch, all, 1).name, "moe");
  EXPECT_EQ(layer_kind(arch, all, 2).name, "conv, moe");
  EXPECT_EQ(layer_kind(arch, all, 2).state_floats(all), 2 * 64);
  EXPECT_THROW(whole(values, {0, 8, 0}), Error) << "a layer too few";
  EXPECT_THROW(whole(values, {}), Error) << "no key/value heads";
  Values one_tap = values;
  one_tap["shortconv.l_cache"] = 1;
  EXPECT_THROW(whole(one_tap, {0, 8, 0, 8}), Error);
}

TEST(ArchSpec, ImpossibleLatentAttentionIsRefused) {
  const ArchSpec& arch = arch_by_name("deepseek2");
  for (const auto& [key, value] :
       {std::pair{"kv_lora_rank", 0.0}, {"v_head_dim", 0.0}, {"topk_method", 1.0}}) {
    Values config = deepseek_v3();
    config[key] = value;
    EXPECT_THROW(read_hparams(arch, &Key::hf, from(config, &Key::hf)), Error) << key;
  }
}

}  // namespace
}  // namespace sw
