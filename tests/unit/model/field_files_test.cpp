// SPDX-License-Identifier: MIT
// GGUF files as other converters write them.
#include <cstring>
#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "model/model.h"
#include "support/converted_file.h"
#include "support/refusal.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

struct Change {
  std::vector<std::pair<std::string, GgufValue>> keys = {};
  std::string without = {};
  bool fuse = false;  ///< gate and up matrices of experts
};

/// A copy of a file with other keys.
fs::path rewrite(const fs::path& plain, const Change& change, const fs::path& out) {
  const GgufFile file(plain);
  GgufWriter writer(out);
  for (const auto& [key, value] : file.metadata().entries()) {
    if (key != change.without) writer.set(key, value);
  }
  for (const auto& [key, value] : change.keys) writer.set(key, value);
  std::vector<std::vector<std::byte>> data;
  for (const GgufTensor& t : file.tensors()) {
    std::string name = t.name;
    const size_t gate = name.find("ffn_gate_exps");
    if (change.fuse && name.find("ffn_up_exps") != name.npos) continue;
    if (!change.fuse || gate == name.npos) {
      writer.add_tensor(name, *type_from_id(t.type_id), t.shape);
      data.emplace_back(t.data, t.data + t.size_bytes);
      continue;
    }
    const GgufTensor* up = file.find_tensor(std::string(name).replace(gate, 13, "ffn_up_exps"));
    const size_t part = t.size_bytes / static_cast<size_t>(t.shape[0]);
    std::vector<std::byte> both;
    for (int64_t e = 0; e < t.shape[0]; ++e) {
      for (const std::byte* from : {t.data, up->data}) {
        from += static_cast<size_t>(e) * part;
        both.insert(both.end(), from, from + part);
      }
    }
    writer.add_tensor(name.replace(gate, 13, "ffn_gate_up_exps"), *type_from_id(t.type_id),
                      {t.shape[0], 2 * t.shape[1], t.shape[2]});
    data.push_back(both);
  }
  for (const auto& bytes : data) writer.write_tensor(bytes);
  writer.finish();
  return out;
}

template <class T = uint64_t>
GgufValue array(GgufType type, std::vector<T> items) {
  return {.type = GgufType::Array, .data = GgufArray{type, std::move(items)}};
}

class FieldFiles : public ::testing::Test {
 protected:
  void SetUp() override { open("golden/qwen3_moe"); }
  void open(const char* golden) {
    SW_DATA_OR_SKIP(folder, golden);
    plain_.emplace(folder);
  }
  fs::path changed(const Change& change) const {
    return rewrite(plain_->path(), change, plain_->folder() / "changed.gguf");
  }
  HParams hparams(const Change& change) const { return Model(changed(change), {.read_in = false}).hparams(); }
  std::optional<testing::ConvertedFile> plain_;
};

TEST_F(FieldFiles, FusedGateAndUpAreTheSameExperts) {
  for (const char* golden :
       {"golden/qwen3_moe", "golden/mixtral", "golden/olmoe", "golden/bailing_moe_v2", "golden/deepseek_v3",
        "golden/glm4_moe", "golden/longcat_flash", "golden_next/lfm2_moe"}) {
    open(golden);
    if (IsSkipped()) return;
    const Model plain(plain_->path()), fused(changed({.fuse = true}));
    EXPECT_EQ(plain.weight_bytes(), fused.weight_bytes());
    EXPECT_EQ(plain.n_parameters(), fused.n_parameters());
    const int last = plain.moe_layers().back().layer * plain.hparams().blocks_per_layer;
    for (const Role role : {Role::ExpertGate, Role::ExpertUp, Role::ExpertDown}) {
      for (int e = 0; e < plain.hparams().moe.n_expert; ++e) {
        const WeightView a = plain.expert(role, last, e), b = fused.expert(role, last, e);
        ASSERT_EQ(a.shape, b.shape);
        EXPECT_EQ(std::memcmp(a.data, b.data, a.size_bytes()), 0) << golden << role_name(role) << e;
      }
    }
  }
}

/// Experts of a block-quantized file are fused block by block.
TEST_F(FieldFiles, FusedOnesMayBeQuantized) {
  SW_DATA_OR_SKIP(folder, "golden/qwen3_moe");
  plain_.emplace(folder, Type::Q8_0);
  const Model plain(plain_->path()), fused(changed({.fuse = true}));
  for (const Role role : {Role::ExpertGate, Role::ExpertUp}) {
    const WeightView a = plain.expert(role, 1, 3), b = fused.expert(role, 1, 3);
    ASSERT_EQ(b.type, Type::Q8_0);
    EXPECT_EQ(std::memcmp(a.data, b.data, a.size_bytes()), 0) << role_name(role);
  }
}

TEST_F(FieldFiles, AnArrayOfEqualValuesIsThatValue) {
  const HParams h = hparams({.keys = {{"qwen3moe.attention.head_count_kv", array(GgufType::U32, {2, 2, 2})},
                                      {"qwen3moe.expert_used_count", array(GgufType::U32, {4, 4, 4})},
                                      {"qwen3moe.feed_forward_length", array(GgufType::U64, {96, 96, 96})}}});
  EXPECT_EQ(h.attention.n_head_kv, 2);
  EXPECT_EQ(h.moe.n_expert_used, 4);
  EXPECT_EQ(h.n_ff, 96);
  const Change different{.keys = {{"qwen3moe.expert_used_count", array(GgufType::U32, {4, 2, 4})}}};
  testing::expect_refused([&] { hparams(different); }, "key qwen3moe.expert_used_count");
}

/// Of other types and keys: counts of 32 and 64 bits with a sign, and floats.
TEST_F(FieldFiles, ArraysOfEqualValuesMayBeOfAnyNumber) {
  const HParams h =
      hparams({.keys = {{"qwen3moe.attention.head_count", array<int64_t>(GgufType::I32, {4, 4, 4})},
                        {"qwen3moe.expert_feed_forward_length", array<int64_t>(GgufType::I64, {32, 32, 32})},
                        {"qwen3moe.rope.freq_base", array<double>(GgufType::F32, {9000, 9000, 9000})}}});
  EXPECT_EQ(h.attention.n_head, 4);
  EXPECT_EQ(h.moe.n_ff_expert, 32);
  EXPECT_EQ(h.rope.freq_base, 9000);
  for (const GgufValue& none : {array(GgufType::U32, {}), array(GgufType::U32, {2, 2, 4})}) {
    const Change change{.keys = {{"qwen3moe.attention.head_count_kv", none}}};
    testing::expect_refused([&] { hparams(change); }, "key qwen3moe.attention.head_count_kv");
  }
}

TEST_F(FieldFiles, WholeNumbersServeFloatKeys) {
  for (const GgufValue& base : {GgufValue::u32(50000), GgufValue::i32(50000), GgufValue::u64(50000)})
    EXPECT_EQ(hparams({.keys = {{"qwen3moe.rope.freq_base", base}}}).rope.freq_base, 50000.0f);
  const Change text{.keys = {{"qwen3moe.rope.freq_base", GgufValue::string("50000")}}};
  testing::expect_refused([&] { hparams(text); }, "expected a number, got string");
}

/// Before there was rope.scaling.type, a factor meant linear scaling.
TEST_F(FieldFiles, AFactorWithoutATypeIsLinear) {
  for (const char* key : {"qwen3moe.rope.scaling.factor", "qwen3moe.rope.scale_linear"}) {
    const HParams h = hparams({.keys = {{key, GgufValue::f32(4)}}});
    EXPECT_EQ(h.rope.kind(), RopeScaling::Linear) << key;
    EXPECT_EQ(h.rope.factor, 4) << key;
  }
  EXPECT_EQ(hparams({.keys = {{"qwen3moe.rope.scaling.factor", GgufValue::f32(1)}}}).rope.kind(),
            RopeScaling::None);
}

}  // namespace
}  // namespace sw
