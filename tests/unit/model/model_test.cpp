// SPDX-License-Identifier: MIT
#include "model/model.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/forward.h"
#include "model/memory_plan.h"
#include "support/cache_rig.h"
#include "support/converted_file.h"
#include "support/refusal.h"

namespace sw {
namespace {

constexpr const char* kGolden = "golden/bailing_moe_v2";

/// The golden model as GGUF, with changes on the way: metadata, and tensors left out or reshaped.
struct Edited {
  std::function<void(std::string&, GgufValue&)> key = [](std::string&, GgufValue&) {};
  std::function<bool(GgufTensor&)> keep = [](GgufTensor&) { return true; };
};

std::filesystem::path write_edited(const testing::TempDir& temp, const Edited& edit) {
  const testing::ConvertedFile plain(*testing::find_data(kGolden));
  std::filesystem::path out = temp.path() / "edited.gguf";
  const GgufFile file(plain.path());
  GgufWriter writer(out);
  for (auto [key, value] : file.metadata()) {
    edit.key(key, value);
    writer.set(key, value);
  }
  std::vector<GgufTensor> kept;
  for (GgufTensor t : file.tensors()) {
    if (edit.keep(t)) kept.push_back(t);
  }
  for (const GgufTensor& t : kept) writer.add_tensor(t.name, Type::F32, t.shape);
  for (const GgufTensor& t : kept)
    writer.write_tensor({t.data, static_cast<size_t>(t.shape.n_elements()) * 4});
  writer.finish();
  return out;
}

std::string refusal(const Edited& edit) {
  const testing::TempDir temp;
  try {
    const Model model(write_edited(temp, edit));
  } catch (const Error& e) {
    return e.what();
  }
  return "loaded";
}

TEST(Model, LoadsAndCounts) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const testing::TempDir temp;
  const Model model(write_edited(temp, {}));
  EXPECT_EQ(model.hparams().n_layer, 3);
  ASSERT_EQ(model.moe_layers().size(), 2u);
  EXPECT_EQ(model.moe_layers()[0].layer, 1);
  EXPECT_FALSE(model.weight(Role::ExpertUp, 1).empty());
  EXPECT_TRUE(model.weight(Role::ExpertUp, 0).empty());
  EXPECT_EQ(model.vector(Role::AttnQkvBias, 0), nullptr);
  // Of 16 experts 4 are active: 12 of 3 matrices 64 x 32 in 2 layers rest, and all embedding rows but one.
  EXPECT_EQ(model.n_parameters() - model.n_active_parameters(4), 12 * 3 * 64 * 32 * 2 + 511 * 64);
}

TEST(Model, SaysWhatIsMissingOrWrong) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const std::string missing =
      refusal({.keep = [](GgufTensor& t) { return t.name != "blk.1.ffn_up_exps.weight"; }});
  EXPECT_NE(missing.find("a tensor is missing"), std::string::npos) << missing;
  EXPECT_NE(missing.find("blk.1.ffn_up_exps.weight"), std::string::npos) << missing;
  const std::string shape = refusal({.keep = [](GgufTensor& t) {
    if (t.name == "blk.0.attn_qkv.weight") t.shape = {64, 128};
    return true;
  }});
  EXPECT_NE(shape.find("expected [128, 64], got [64, 128]"), std::string::npos) << shape;
  const std::string arch = refusal({.key = [](std::string& key, GgufValue& v) {
    if (key == "general.architecture") v = GgufValue::string("marsupial");
  }});
  EXPECT_NE(arch.find("unknown architecture"), std::string::npos) << arch;
  EXPECT_NE(arch.find("bailingmoe2"), std::string::npos) << arch;
}

TEST(Model, SharedExpertsComeWhole) {  // found by fuzz_gguf
  SW_DATA_OR_SKIP(folder, kGolden);
  for (const char* part : {"gate", "up", "down"}) {
    const std::string name = std::string("blk.1.ffn_") + part + "_shexp.weight";
    const std::string said = refusal({.keep = [&](GgufTensor& t) { return t.name != name; }});
    EXPECT_NE(said.find("a tensor is missing"), std::string::npos) << said;
    EXPECT_NE(said.find(name), std::string::npos) << said;
  }
  EXPECT_EQ(refusal({.keep = [](GgufTensor& t) { return t.name.find("_shexp") == std::string::npos; }}),
            "loaded");
}

TEST(Model, EveryRefusalNamesTheFile) {  // found by fuzz_gguf
  SW_DATA_OR_SKIP(folder, kGolden);
  const std::pair<const char*, GgufValue> cases[] = {{"general.architecture", GgufValue::string("marsupial")},
                                                     {"bailingmoe2.vocab_size", GgufValue::u32(1u << 31)},
                                                     {"bailingmoe2.attention.head_count", GgufValue::u32(0)},
                                                     {"bailingmoe2.expert_gating_func", GgufValue::u32(9)}};
  for (const auto& [name, value] : cases) {
    const std::string said = refusal({.key = [n = name, v = value](std::string& key, GgufValue& old) {
      if (key == n) old = v;
    }});
    EXPECT_NE(said.find("edited.gguf"), std::string::npos) << said;
  }
}

TEST(Model, SaysWhichRouterFiguresCannotBe) {
  SW_DATA_OR_SKIP(folder, kGolden);
  for (const auto& [name, value] :
       {std::pair{"expert_used_count", 9}, {"expert_group_count", 7}, {"expert_group_used_count", 9}}) {
    const std::string said = refusal({.key = [&, n = name, v = value](std::string& key, GgufValue& old) {
      if (key == std::string("bailingmoe2.") + n) old = GgufValue::u32(static_cast<uint32_t>(v));
    }});
    EXPECT_NE(said.find(name), std::string::npos) << said;
  }
}

TEST(Model, OldFilesWithoutOptionalKeysLoad) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const std::string said = refusal({.key = [](std::string& key, GgufValue&) {
    for (const char* optional : {"expert_group_count", "expert_group_used_count", "nextn_predict_layers",
                                 "expert_gating_func", "expert_shared_feed_forward_length",
                                 "expert_weights_norm", "attention.key_length", "attention.value_length"}) {
      if (key == std::string("bailingmoe2.") + optional) key.insert(0, "old.");
    }
  }});
  EXPECT_EQ(said, "loaded");
}

/// The golden model with a tensor an expert: an expert's three one after the other, or kind by kind.
std::filesystem::path write_separate(const testing::TempDir& temp, bool kind_by_kind,
                                     const std::function<bool(GgufTensor&)>& keep) {
  const std::filesystem::path plain = write_edited(temp, {});
  std::filesystem::path out = temp.path() / "separate.gguf";
  const GgufFile file(plain);
  std::vector<GgufTensor> parts;
  std::vector<std::pair<int64_t, size_t>> order;
  for (const GgufTensor& stack : file.tensors()) {
    const size_t at = stack.name.find("_exps.");
    const int64_t n_part = at == std::string::npos ? 1 : stack.shape[0];
    for (int64_t e = 0; e < n_part; ++e) {
      GgufTensor part = stack;
      if (at != std::string::npos) {
        part.name.replace(at, 6, "." + std::to_string(e) + ".");
        part.shape = {stack.shape[1], stack.shape[2]};
        part.size_bytes /= static_cast<uint64_t>(n_part);
        part.data += part.size_bytes * static_cast<uint64_t>(e);
      }
      if (!keep(part)) continue;
      order.emplace_back(kind_by_kind ? 0 : e, parts.size());
      parts.push_back(part);
    }
  }
  std::sort(order.begin(), order.end());
  GgufWriter writer(out);
  for (const auto& [key, value] : file.metadata()) writer.set(key, value);
  for (const auto& [e, i] : order)
    writer.add_tensor(parts[i].name, *type_from_id(parts[i].type_id), parts[i].shape);
  for (const auto& [e, i] : order) writer.write_tensor({parts[i].data, parts[i].size_bytes});
  writer.finish();
  return out;
}

TEST(Model, ExpertsInSeparateTensorsBecomeStacks) {
  SW_DATA_OR_SKIP(folder, kGolden);
  for (const bool kind_by_kind : {false, true}) {
    const testing::TempDir temp;
    const Model model(write_separate(temp, kind_by_kind, [](GgufTensor&) { return true; }));
    const Model stacked(temp.path() / "edited.gguf");
    for (const Role role : {Role::ExpertGate, Role::ExpertUp, Role::ExpertDown}) {
      for (const int layer : {1, 2}) {
        const WeightView got = model.weight(role, layer), expected = stacked.weight(role, layer);
        ASSERT_EQ(got.shape, expected.shape);
        EXPECT_EQ(std::memcmp(got.data, expected.data, expected.size_bytes()), 0);
        for (int e = 0; e < 16; ++e) {
          const WeightView one = model.expert(role, layer, e), in_stack = stacked.expert(role, layer, e);
          ASSERT_EQ(one.shape, in_stack.shape);
          EXPECT_EQ(std::memcmp(one.data, in_stack.data, in_stack.size_bytes()), 0);
        }
      }
    }
    // One expert is used where the file has it, whatever becomes of the stack.
    EXPECT_EQ(model.expert(Role::ExpertUp, 1, 3).data,
              model.file().find_tensor("blk.1.ffn_up.3.weight")->data);
    EXPECT_EQ(model.weight_bytes(), stacked.weight_bytes());
    EXPECT_EQ(model.n_parameters(), stacked.n_parameters());
    // Stacks that lie in the file as they should are used where they are.
    EXPECT_EQ(model.copied_bytes(), kind_by_kind ? 0u : size_t{2} * 3 * 16 * 64 * 32 * 4);
    EXPECT_EQ(model.notes().size(), kind_by_kind ? 0u : 1u);
    EXPECT_TRUE(stacked.notes().empty());
  }
}

TEST(Model, SeparateExpertsAreAllThereAndOfOneShape) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const testing::TempDir temp;
  testing::expect_refused(
      [&] {
        Model{write_separate(temp, false, [](GgufTensor& t) { return t.name != "blk.2.ffn_down.7.weight"; })};
      },
      "a tensor is missing: " + (temp.path() / "separate.gguf").string() +
          ": expected blk.2.ffn_down.7.weight");
  testing::expect_refused(
      [&] {
        Model{write_separate(temp, false, [](GgufTensor& t) {
          if (t.name == "blk.2.ffn_down.7.weight") t.shape = {32, 64};
          return true;
        })};
      },
      "tensor blk.2.ffn_down.7.weight: expected [64, 32], got [32, 64]");
  testing::expect_refused(
      [&] {
        Model{write_separate(temp, false, [](GgufTensor& t) {
          if (t.name == "blk.2.ffn_down.7.weight") {
            t.type_id = static_cast<uint32_t>(Type::F16);
            t.size_bytes /= 2;
          }
          return true;
        })};
      },
      "tensor blk.2.ffn_down.7.weight: expected F32, got F16");
}

TEST(Model, OverridesAreParsed) {
  EXPECT_EQ(std::get<int64_t>(parse_key_override("a.b=int:-4").value.data), -4);
  EXPECT_EQ(std::get<double>(parse_key_override("a=float:2.5").value.data), 2.5);
  EXPECT_EQ(std::get<bool>(parse_key_override("a=bool:true").value.data), true);
  EXPECT_EQ(std::get<std::string>(parse_key_override("a=str:x:y=z").value.data), "x:y=z");
  for (const char* bad : {"", "a", "a=4", "a=int:", "a=int:4x", "a=int:99999999999999999999", "a=bool:1",
                          "a=long:4", "=int:4"}) {
    EXPECT_THROW(parse_key_override(bad), Error) << bad;
  }
}

TEST(Forward, PlanCountsWhatIsTaken) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const testing::TempDir temp;
  const Model model(write_edited(temp, {}));
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, 4, 1);
  const FileWeights weights(model);
  const std::vector<DeviceFacts> cpu = {{.name = "CPU"}};
  const DevicePlan planned = plan_memory(weights.view(), cpu, place(weights.view(), cpu, {}),
                                         {.forward = {.n_ubatch = 33}, .experts_max = 4})
                                 .front();
  const Forward taken(model, policies, {.n_ubatch = 33});
  EXPECT_EQ(planned.buffer_bytes, taken.buffer_bytes());
  EXPECT_EQ(planned.weight_bytes, model.weight_bytes());
  EXPECT_GT(planned.buffer_bytes, size_t{33 * 64 * 4});
}

/// Bytes and operations of experts fall with their number: they are skipped, not multiplied by zero.
TEST(Model, IsCheckedBeforeItsWeightsAreRead) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const testing::TempDir temp;
  const std::filesystem::path file = write_edited(temp, {});
  bool read = false;
  LoadOptions options{.check =
                          [](const Model& model) {
                            EXPECT_EQ(model.moe_layers().size(), 2u);
                            throw Error({.what = "not this one"});
                          },
                      .progress = [&](uint64_t, uint64_t) { read = true; }};
  EXPECT_THROW(Model(file, options), Error);
  EXPECT_FALSE(read);
  options.check = nullptr;
  const Model model(file, options);
  EXPECT_TRUE(read);
}

TEST(Forward, FewerExpertsCostLess) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const testing::TempDir temp;
  const Model model(write_edited(temp, {}));
  uint64_t flops[5] = {}, bytes[5] = {};
  for (int k = 1; k <= 4; ++k) {
    RoutingPolicy policy;
    policy.experts_prefill = {{.k = k}};
    PolicyTable policies(model.moe_layers(), model.hparams().n_layer, 4, 2);
    const uint16_t id = policies.resolve(policy, Phase::Prefill);
    Forward forward(model, policies, {});
    testing::CacheRig cache(forward, Forward::cache_plan(model, 64, Type::F32));
    cache.step({.id = 5, .policy = id});
    flops[k] = forward.counters().expert_flops;
    bytes[k] = forward.counters().expert_bytes;
  }
  const uint64_t one = 2 * 3 * 64 * 32 * 2;  // 2 x multiply-adds, 3 matrices, 2 layers
  for (uint64_t k = 1; k <= 4; ++k) {
    EXPECT_EQ(flops[k], k * one) << k;
    EXPECT_EQ(bytes[k], k * one / 2 * 4) << k;
  }
}

}  // namespace
}  // namespace sw
