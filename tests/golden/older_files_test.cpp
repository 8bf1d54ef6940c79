// SPDX-License-Identifier: MIT
// Files as older converters wrote them give what today's give.
#include <gtest/gtest.h>

#include "golden/ling_golden.h"

namespace sw {
namespace {

std::span<const std::byte> bytes_of(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

/// Today's file of a model with latent attention, brought into the form of files from before the keys
/// *_mla: keys and values of all heads in one matrix, and lengths of heads.
void write_older(const GgufFile& file, const Golden& golden, const std::filesystem::path& checkpoint,
                 const std::filesystem::path& out) {
  const HParams& h = golden.model->hparams();
  GgufWriter writer(out);
  for (const auto& [key, value] : file.metadata().entries()) {
    if (!key.ends_with("_mla")) writer.set(key, value);
  }
  const std::string prefix = std::string(golden.model->arch().name) + ".attention.";
  const auto length = [](int n) { return GgufValue::u32(static_cast<uint32_t>(n)); };
  writer.set(prefix + "head_count_kv", length(h.attention.n_head));
  writer.set(prefix + "key_length", length(h.mla.key_dim));
  writer.set(prefix + "value_length", length(h.mla.value_dim));
  std::vector<std::pair<std::string, std::vector<float>>> kv_b;
  const Safetensors source(checkpoint);
  for (int l = 0; l < h.n_layer; ++l) {
    const std::string layer = "model.layers." + std::to_string(l);
    kv_b.emplace_back("blk." + std::to_string(l) + ".attn_kv_b.weight",
                      Safetensors::to_f32(source.require(layer + ".self_attn.kv_b_proj.weight")));
    writer.add_tensor(kv_b.back().first, Type::F32,
                      {int64_t{h.attention.n_head} * (h.mla.nope_dim + h.mla.value_dim), h.mla.kv_rank});
  }
  const auto stays = [](const GgufTensor& t) {
    return !t.name.ends_with("attn_k_b.weight") && !t.name.ends_with("attn_v_b.weight");
  };
  for (const GgufTensor& t : file.tensors()) {
    if (stays(t)) writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
  }
  for (const auto& [name, values] : kv_b) writer.write_tensor(bytes_of(values));
  for (const GgufTensor& t : file.tensors()) {
    if (stays(t)) writer.write_tensor({t.data, t.size_bytes});
  }
  writer.finish();
}

TEST(OlderFiles, KeysAndValuesInOneMatrix) {
  for (const char* name : {"deepseek_v2", "deepseek_v3_yarn"}) {
    SW_DATA_OR_SKIP(folder, std::string("golden/") + name);
    Golden golden(folder);
    const std::vector<float> expected = Safetensors::to_f32(trace(golden, "seq0", {}).require("logits"));
    const std::filesystem::path older = golden.file.folder() / "older.gguf";
    write_older(golden.model->file(), golden, folder, older);
    golden.model = std::make_unique<Model>(older);
    ASSERT_EQ(golden.model->notes().size(), 1u);
    EXPECT_NE(golden.model->notes()[0].find("tensors were brought into today's form"), std::string::npos);
    EXPECT_EQ(Safetensors::to_f32(trace(golden, "seq0", {}).require("logits")), expected) << name;
  }
}

}  // namespace
}  // namespace sw
