// SPDX-License-Identifier: MIT
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
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
  for (auto [key, value] : file.metadata().entries()) {
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
  EXPECT_EQ(model.n_parameters() - n_active_parameters(model, 4), 12 * 3 * 64 * 32 * 2 + 511 * 64);
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
  for (const auto& [key, value] : file.metadata().entries()) writer.set(key, value);
  for (const auto& [e, i] : order)
    writer.add_tensor(parts[i].name, *type_from_id(parts[i].type_id), parts[i].shape);
  for (const auto& [e, i] : order) writer.write_tensor({parts[i].data, parts[i].size_bytes});
  writer.finish();
  return out;
}

TEST(Model, ExpertsInSeparateTensorsAreUsedWhereTheyLie) {
  SW_DATA_OR_SKIP(folder, kGolden);
  for (const bool kind_by_kind : {false, true}) {
    const testing::TempDir temp;
    const Model model(write_separate(temp, kind_by_kind, [](GgufTensor&) { return true; }));
    const Model stacked(temp.path() / "edited.gguf");
    for (const Role role : {Role::ExpertGate, Role::ExpertUp, Role::ExpertDown}) {
      for (const int layer : {1, 2}) {
        EXPECT_EQ(model.weight(role, layer).shape, stacked.weight(role, layer).shape);
        EXPECT_EQ(model.size_bytes(role, layer), stacked.size_bytes(role, layer));
        for (int e = 0; e < 16; ++e) {
          const WeightView one = model.expert(role, layer, e), in_stack = stacked.expert(role, layer, e);
          ASSERT_EQ(one.shape, in_stack.shape);
          EXPECT_EQ(std::memcmp(one.data, in_stack.data, in_stack.size_bytes()), 0);
        }
      }
    }
    EXPECT_EQ(model.expert(Role::ExpertUp, 1, 3).data,
              model.file().find_tensor("blk.1.ffn_up.3.weight")->data);
    EXPECT_EQ(model.weight_bytes(), stacked.weight_bytes());
    EXPECT_EQ(model.n_parameters(), stacked.n_parameters());
    EXPECT_TRUE(model.notes().empty());
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
}

/// Logits [n_vocab] after a few tokens.
std::vector<float> logits_of(const Model& model) {
  const PolicyTable policies(model.moe_layers(), model.hparams().n_layer, 4, 1);
  Forward forward(model, policies, {});
  Cache cache(Forward::cache_plan(model, 64, Type::F32));
  SequenceCache sequence(cache, 64);
  SW_ASSERT(sequence.prepare(0, 8));
  const SequenceCache* const sequences[] = {&sequence};
  std::vector<BatchToken> tokens;
  for (int32_t i = 0; i < 8; ++i) tokens.push_back({.id = 7 * i + 3, .pos = i});
  const int32_t last = 7;
  const TensorView<const float> logits = forward.step(tokens, sequences, cache, {&last, 1});
  return {logits.data(), logits.data() + logits.n_cols()};
}

/// Experts that are rarely used may be stored in fewer bits than the others.
TEST(Model, EachExpertMayHaveAFormatOfItsOwn) {
  SW_DATA_OR_SKIP(folder, kGolden);
  const testing::TempDir temp;
  std::deque<std::vector<std::byte>> halves;
  const auto halve_some = [&](GgufTensor& t) {
    if (t.name.find("ffn_down.") != t.name.npos && t.name.find(".1.weight") != t.name.npos) {
      const int64_t n = t.shape[0] * t.shape[1];
      std::vector<std::byte>& half = halves.emplace_back(static_cast<size_t>(n) * 2);
      traits(Type::F16).encode(reinterpret_cast<const float*>(t.data), half.data(), n, nullptr);
      t.type_id = static_cast<uint32_t>(Type::F16);
      t.data = half.data();
      t.size_bytes = half.size();
    }
    return true;
  };
  const Model mixed(write_separate(temp, false, halve_some));
  ASSERT_EQ(halves.size(), 2u);  // expert 1 of two layers
  EXPECT_EQ(mixed.expert(Role::ExpertDown, 1, 1).type, Type::F16);
  EXPECT_EQ(mixed.expert(Role::ExpertDown, 1, 2).type, Type::F32);
  const Model uniform(temp.path() / "edited.gguf");
  EXPECT_EQ(mixed.weight_bytes(), uniform.weight_bytes() - halves.size() * halves[0].size());
  const std::vector<float> got = logits_of(mixed), expected = logits_of(uniform);
  float worst = 0;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
  EXPECT_LT(worst, 1e-3f);
  EXPECT_GT(worst, 0.0f);  // an expert of the few was used
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
