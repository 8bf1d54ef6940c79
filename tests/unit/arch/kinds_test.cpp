// SPDX-License-Identifier: MIT
// Roles, what reads them, and kinds of layers.
#include <gtest/gtest.h>
#include <set>
#include <vector>

#include "arch/common.h"
#include "arch/tensors.h"

namespace sw {
namespace {

constexpr Role kRoles[] = {
#define SW_ROLE(name, readers, form, quant_class) Role::name,
#include "arch/roles.inc"
};

TEST(Roles, FollowFromTheirLine) {
  EXPECT_EQ(role_name(Role::AttnQ), "AttnQ");
  EXPECT_TRUE(readers_of(Role::AttnQ).has(Operation::Mla));
  EXPECT_EQ(operation_of(Role::AttnQ), Operation::Attention);
  EXPECT_EQ(operation_of(Role::FfnNorm), Operation::Route);
  EXPECT_EQ(form_of(Role::ExpertUpBias), RoleForm::Vector);
  EXPECT_EQ(form_of(Role::ExpertUp), RoleForm::Matrix);
  EXPECT_TRUE(is_expert(Role::ExpertDownBias));
  EXPECT_FALSE(is_expert(Role::SharedDown));
  EXPECT_TRUE(readers_of(Role::RopeFreqs).meets(kModelOperations));
  EXPECT_FALSE(readers_of(Role::NextnOutput).meets(kModelOperations));
}

int n_in(Operations set) {
  int n = 0;
  for (int op = 0; op <= static_cast<int>(Operation::Head); ++op) n += set.has(static_cast<Operation>(op));
  return n;
}

/// operation_of() stands for all readers: they must share a device.
TEST(Roles, ReadersThatShareARoleShareADevice) {
  const std::vector<Operations> together = {kMixers, Operation::Route | Operation::Ffn};
  for (const Role role : kRoles) {
    const int n_reader = n_in(readers_of(role));
    const bool shares = std::ranges::any_of(together, [&](Operations set) {
      return readers_of(role).meets(set) && set.has(operation_of(role)) && n_reader <= n_in(set);
    });
    EXPECT_TRUE(n_reader == 1 || shares) << role_name(role);
  }
}

TEST(Roles, VectorsAreKeptInF32) {
  for (const Role role : kRoles) {
    EXPECT_TRUE(form_of(role) == RoleForm::Matrix || quant_class_of(role) == QuantClass::Kept)
        << role_name(role);
  }
}

/// What a model of `arch` can perform anywhere.
Operations all_operations(const ArchSpec& arch) {
  Operations all = operations_of(arch.nextn);
  for (const LayerKind& kind : arch.kinds) all = all | operations_of(kind.steps);
  return all | kModelOperations;
}

TEST(LayerKinds, EveryDeclaredRoleIsReadAndEveryRoleIsDeclared) {
  std::set<Role> declared;
  for (const ArchSpec* arch : all_archs()) {
    const Operations all = all_operations(*arch);
    for (const TensorSpec& t : arch->tensors) {
      declared.insert(t.role);
      if (!t.older.gguf.empty()) declared.insert(t.older.role);
      EXPECT_TRUE(readers_of(t.role).meets(all)) << arch->name << ": nothing reads " << role_name(t.role);
    }
    for (const Operation op :
         {Operation::Attention, Operation::Mla, Operation::Route, Operation::Experts, Operation::Ffn}) {
      const bool has_tensors =
          std::ranges::any_of(arch->tensors, [&](const TensorSpec& t) { return operation_of(t.role) == op; });
      EXPECT_TRUE(!all.has(op) || has_tensors) << arch->name << ", operation " << static_cast<int>(op);
    }
  }
  for (const Role role : kRoles) EXPECT_TRUE(declared.contains(role)) << role_name(role);
}

TEST(LayerKinds, EveryDeclarationsKindsFitTogether) {
  for (const ArchSpec* arch : all_archs()) {
    ASSERT_FALSE(arch->kinds.empty()) << arch->name;
    EXPECT_TRUE(arch->kind_of || arch->kinds.size() == 1) << arch->name;
    std::set<std::string_view> names;
    for (const LayerKind& kind : arch->kinds) {
      EXPECT_TRUE(names.insert(kind.name).second) << arch->name << " " << kind.name;
      ASSERT_FALSE(kind.steps.empty()) << arch->name;
      EXPECT_TRUE(begins_block(kind.steps.front())) << arch->name << " " << kind.name;
      EXPECT_EQ(count_blocks(kind.steps), count_blocks(arch->kinds[0].steps)) << arch->name;
      EXPECT_FALSE(operations_of(kind.steps).has(Operation::Nextn)) << arch->name;
      // A latent is what latent attention keeps, and nothing else does.
      EXPECT_EQ(operations_of(kind.steps).has(Operation::Mla), kind.cache == CacheKind::Latent)
          << arch->name << " " << kind.name;
      EXPECT_EQ(kind.state_floats != nullptr, kind.cache == CacheKind::State)
          << arch->name << " " << kind.name;
    }
    EXPECT_TRUE(arch->nextn.empty() || count_blocks(arch->nextn) == 1) << arch->name;
  }
}

std::vector<std::string_view> kinds_of(const ArchSpec& arch, const HParams& h) {
  std::vector<std::string_view> names;
  for (int l = 0; l < h.n_layer; ++l) names.push_back(layer_kind(arch, h, l).name);
  return names;
}
using Names = std::vector<std::string_view>;

TEST(LayerKinds, DenseOrMoe) {
  const ArchSpec& arch = arch_by_name("qwen3moe");
  HParams h{.n_layer = 6};
  EXPECT_EQ(kinds_of(arch, h), Names(6, "dense")) << "no experts at all";
  h.moe.n_expert = 4;
  EXPECT_EQ(kinds_of(arch, h), Names(6, "moe"));
  h.moe.n_layer_dense_lead = 2;
  h.moe.dense_layers = {4};
  EXPECT_EQ(kinds_of(arch, h), (Names{"dense", "dense", "moe", "moe", "dense", "moe"}));
  h.moe = {.n_expert = 4, .moe_step = 3};
  EXPECT_EQ(kinds_of(arch, h), (Names{"dense", "dense", "moe", "dense", "dense", "moe"}));
}

TEST(LayerKinds, WindowsOnEveryOtherLayer) {
  const ArchSpec& arch = arch_by_name("gpt-oss");
  HParams h{.n_layer = 4, .attention = {.window = 128, .full_step = 2}};
  EXPECT_EQ(kinds_of(arch, h), (Names{"windowed", "full", "windowed", "full"}));
  EXPECT_EQ(layer_kind(arch, h, 0).cache, CacheKind::Window);
  EXPECT_EQ(layer_kind(arch, h, 1).cache, CacheKind::Pages);
  h.attention.window = 0;
  EXPECT_EQ(kinds_of(arch, h), Names(4, "full"));
}

TEST(LayerKinds, WindowsAsAListSaysThem) {
  const ArchSpec& arch = arch_by_name("gpt-oss");
  const HParams h{.n_layer = 3, .attention = {.window = 128, .full_step = 2, .windowed = {0, 1, 1}}};
  EXPECT_EQ(kinds_of(arch, h), (Names{"full", "windowed", "windowed"}));
}

TEST(LayerKinds, WindowsBesideExperts) {
  const ArchSpec& arch = arch_by_name("llama");
  HParams h{.n_layer = 3, .attention = {.window = 128}, .moe = {.n_expert = 4, .dense_layers = {1}}};
  EXPECT_EQ(kinds_of(arch, h), (Names{"moe, windowed", "dense, windowed", "moe, windowed"}));
  h.attention.windowed = {1, 1, 0};
  EXPECT_EQ(kinds_of(arch, h), (Names{"moe, windowed", "dense, windowed", "moe"}));
  EXPECT_EQ(layer_kind(arch, h, 1).cache, CacheKind::Window);
  h.attention.window = 0;
  EXPECT_EQ(kinds_of(arch, h), (Names{"moe", "dense", "moe"}));
}

TEST(LayerKinds, ABlockHasItsStepsOfTheLayer) {
  const ArchSpec& arch = arch_by_name("longcat-flash");
  const HParams h{.n_layer = 2, .n_block = 4, .blocks_per_layer = 2};
  for (const int block : {0, 2}) {
    EXPECT_TRUE(block_operations(arch, h, block).has(Operation::Experts)) << block;
    EXPECT_FALSE(block_operations(arch, h, block + 1).has(Operation::Route)) << block;
  }
  for (int block = 0; block < 4; ++block) {
    EXPECT_TRUE(block_operations(arch, h, block).has(Operation::Mla)) << block;
    EXPECT_TRUE(block_operations(arch, h, block).has(Operation::Ffn)) << block;
  }
}

TEST(LayerKinds, NextTokenLayersHaveStepsOfTheirOwn) {
  const HParams h{.n_layer = 2, .n_layer_nextn = 1, .n_block = 3};
  const Operations ling = block_operations(arch_by_name("bailingmoe2"), h, 2);
  EXPECT_TRUE(ling.has(Operation::Nextn) && ling.has(Operation::Attention) && ling.has(Operation::Experts));
  EXPECT_FALSE(ling.has(Operation::Ffn));
  EXPECT_FALSE(block_operations(arch_by_name("deepseek2"), h, 2).has(Operation::Mla)) << "not declared";
}

/// Latent layers between windowed ones: every layer has the tensors of its own kind.
TEST(LayerKinds, KindsMayMix) {
  static constexpr Step kLatentSteps[] = {Step::Mla, Step::Ffn};
  static constexpr LayerKind kKinds[] = {{"latent", kLatentSteps, CacheKind::Latent},
                                         {"windowed", common::kMoeSteps, CacheKind::Window}};
  static constexpr TensorSpec kTensors[] = {
      {.role = Role::AttnNorm}, {.role = Role::AttnQ},    {.role = Role::AttnKvA}, {.role = Role::AttnK},
      {.role = Role::FfnNorm},  {.role = Role::FfnUp},    {.role = Role::Router},  {.role = Role::SharedUp},
      {.role = Role::Output},   {.role = Role::NextnProj}};
  const ArchSpec arch{
      .tensors = kTensors, .kinds = kKinds, .kind_of = [](const HParams&, int layer) { return layer % 2; }};
  const HParams h{.n_layer = 2, .n_block = 2};
  std::vector<std::vector<Role>> roles(2);
  for (int block = 0; block < 2; ++block) {
    for (const TensorItem& t : tensors_of(arch, h, block))
      roles[static_cast<size_t>(block)].push_back(t.role);
  }
  EXPECT_EQ(roles[0], (std::vector{Role::AttnNorm, Role::AttnQ, Role::AttnKvA, Role::FfnNorm, Role::FfnUp}));
  EXPECT_EQ(roles[1], (std::vector{Role::AttnNorm, Role::AttnQ, Role::AttnK, Role::FfnNorm, Role::Router,
                                   Role::SharedUp}));
}

}  // namespace
}  // namespace sw
