// SPDX-License-Identifier: MIT
#include "arch/tensors.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace sw {
namespace {

const TensorItem& item_of(const std::vector<TensorItem>& items, Role role) {
  const auto at = std::ranges::find(items, role, &TensorItem::role);
  EXPECT_NE(at, items.end()) << role_name(role);
  return *at;
}

bool has_role(const std::vector<TensorItem>& items, Role role) {
  return std::ranges::find(items, role, &TensorItem::role) != items.end();
}

HParams tiny() {
  HParams h{.n_layer = 2, .n_layer_nextn = 1, .n_block = 3, .n_embd = 64, .n_vocab = 512, .n_ff = 96};
  h.attention = {.n_head = 4, .n_head_kv = 2, .head_dim = 16, .value_dim = 16};
  h.moe = {.n_expert = 8, .n_ff_expert = 32, .n_ff_shared = 32, .n_layer_dense_lead = 1};
  return h;
}

TEST(Tensors, OfTheModelAndOfEachBlock) {
  const ArchSpec& arch = arch_by_name("bailingmoe2");
  const std::vector<TensorItem> model = tensors_of(arch, tiny(), kOfModel);
  EXPECT_EQ(model.size(), 4u);  // with the factors of llama3's rope scaling, which it may lack
  EXPECT_EQ(item_of(model, Role::TokenEmbd).shape, (Shape{512, 64}));
  EXPECT_TRUE(item_of(model, Role::Output).optional);

  const std::vector<TensorItem> dense = tensors_of(arch, tiny(), 0);
  EXPECT_EQ(item_of(dense, Role::AttnQkv).shape, (Shape{128, 64}));
  EXPECT_TRUE(has_role(dense, Role::FfnUp) && has_role(dense, Role::FfnNorm));
  EXPECT_FALSE(has_role(dense, Role::Router) || has_role(dense, Role::TokenEmbd));

  const std::vector<TensorItem> moe = tensors_of(arch, tiny(), 1);
  const TensorItem& up = item_of(moe, Role::ExpertUp);
  EXPECT_EQ(up.gguf, "blk.1.ffn_up_exps.weight");
  EXPECT_EQ(expert_name(up.per_expert, 7), "blk.1.ffn_up.7.weight");
  EXPECT_EQ(expert_name(up.hf, 7), "model.layers.1.mlp.experts.7.up_proj.weight");
  EXPECT_EQ(up.shape, (Shape{8, 32, 64}));
  EXPECT_EQ(up.stored, up.shape);
  EXPECT_FALSE(up.from.any());
  EXPECT_EQ(item_of(moe, Role::Router).per_expert, "");
  EXPECT_FALSE(has_role(moe, Role::FfnUp) || has_role(moe, Role::NextnProj));

  const std::vector<TensorItem> nextn = tensors_of(arch, tiny(), 2);
  EXPECT_EQ(nextn.size(), moe.size() + 4);
  EXPECT_EQ(item_of(nextn, Role::NextnProj).shape, (Shape{64, 128}));
}

TEST(Tensors, AsTheCheckpointHasThem) {
  HParams h{.n_layer = 1, .n_block = 1, .n_embd = 64, .n_vocab = 8, .n_ff = 96};
  h.attention = {.n_head = 4, .n_head_kv = 1, .head_dim = 40, .value_dim = 32};
  h.mla = {.kv_rank = 32, .key_dim = 24, .nope_dim = 16, .value_dim = 12};
  h.rope.n_rot = 8;
  const std::vector<TensorItem> items = tensors_of(arch_by_name("deepseek2"), h, 0);
  const TensorItem& k_b = item_of(items, Role::AttnKB);
  EXPECT_EQ(k_b.older, "blk.0.attn_kv_b.weight");
  EXPECT_EQ(k_b.shape, (Shape{4, 32, 16}));
  EXPECT_EQ(k_b.stored, (Shape{4 * (16 + 12), 32}));
  EXPECT_EQ(item_of(items, Role::AttnVB).stored, k_b.stored);
  EXPECT_TRUE(has_role(items, Role::AttnQ)) << "from the input, where there is no rank";
  EXPECT_FALSE(has_role(items, Role::AttnQA));
  h.mla.q_rank = 20;
  EXPECT_FALSE(has_role(tensors_of(arch_by_name("deepseek2"), h, 0), Role::AttnQ));
  EXPECT_FALSE(item_of(tensors_of(arch_by_name("deepseek2"), h, 0), Role::AttnQA).optional);
}

TEST(Tensors, NamesOfBlocksAndPartsAreFilledIn) {
  static constexpr Step kSteps[] = {Step::Attention, Step::Ffn, Step::Attention, Step::Ffn};
  static constexpr LayerKind kKinds[] = {{"two", kSteps}};
  static constexpr TensorSpec kTensors[] = {
      {.role = Role::FfnUp, .gguf = "blk.{l}.up", .hf = "model.layers.{l}.ffn.{part}.up"}};
  const ArchSpec arch{.hf_root = "model.text.", .tensors = kTensors, .kinds = kKinds};
  const HParams h{.n_layer = 7, .n_block = 14, .blocks_per_layer = 2};
  const std::vector<TensorItem> items = tensors_of(arch, h, 13);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].gguf, "blk.13.up");
  EXPECT_EQ(items[0].hf, "model.text.layers.6.ffn.1.up");
}

/// Quantizer and loader read files of any architecture by these names.
TEST(TensorNames, MeanOneRoleInAllArchitectures) {
  for (const ArchSpec* arch : all_archs()) {
    for (const TensorSpec& t : arch->tensors) {
      std::string name(t.gguf);
      if (const size_t at = name.find("{l}"); at != std::string::npos) name.replace(at, 3, "17");
      EXPECT_EQ(role_of_name(name), t.role) << arch->name << " " << name;
    }
  }
}

TEST(TensorNames, RolesAndBlocks) {
  EXPECT_EQ(role_of_name("blk.3.ffn_up.7.weight"), Role::ExpertUp);
  EXPECT_EQ(role_of_name("blk.3.ffn_up.weight"), Role::FfnUp);
  EXPECT_EQ(role_of_name("blk.3.attn_kv_b.weight"), Role::AttnKvB);
  EXPECT_EQ(block_of_name("blk.31.attn_v.weight"), 31);
  for (const char* name : {"", ".", "blk.", "blk..attn_v.weight", "blk.x.attn_v.weight",
                           "blk.3.attn_v.weight2", "blk.3.ffn_up.x.weight", "ablk.3.attn_v.weight", "output"})
    EXPECT_EQ(role_of_name(name), std::nullopt) << name;
  for (const char* name : {"", "blk.", "blk.3", "blk.-3.x", "blk.99999999999.x", "output.weight"})
    EXPECT_EQ(block_of_name(name), std::nullopt) << name;
}

TEST(TensorNames, IdleOnesAreFew) {
  for (const char* name : {"model.layers.0.self_attn.rotary_emb.inv_freq", "blk.0.attn_rot_embd.weight",
                           "v.blk.0.attn_q.weight", "mm.0.weight"})
    EXPECT_NE(find_idle(name), nullptr) << name;
  for (const char* name : {"blk.0.attn_q.bias", "blk.0.attn_gate.weight", "rope_factors_long.weight",
                           "blk.0.ffn_up.scale", "vocab.weight", "mmproj.weight"})
    EXPECT_EQ(find_idle(name), nullptr) << name;
}

}  // namespace
}  // namespace sw
