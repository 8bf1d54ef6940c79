// SPDX-License-Identifier: MIT
// Our encoders against mainline's on a trained model: the error of every quantised tensor of its
// Q4_K_M file must not be above mainline's. Of stacked experts every sixteenth is taken.
#include <gtest/gtest.h>
#include <map>
#include <string>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/test_data.h"
#include "unit/quant/test_rows.h"

namespace sw {
namespace {

/// "blk.3.ffn_up.weight" -> the checkpoint's name; for stacked experts that of expert `e`.
std::string checkpoint_name(const std::string& name, int64_t e) {
  static const std::map<std::string, std::string> kLayer = {
      {"attn_output", "attention.dense"},
      {"attn_qkv", "attention.query_key_value"},
      {"ffn_gate", "mlp.gate_proj"},
      {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"},
      {"ffn_gate_shexp", "mlp.shared_experts.gate_proj"},
      {"ffn_up_shexp", "mlp.shared_experts.up_proj"},
      {"ffn_down_shexp", "mlp.shared_experts.down_proj"},
      {"ffn_gate_exps", "mlp.experts.{e}.gate_proj"},
      {"ffn_up_exps", "mlp.experts.{e}.up_proj"},
      {"ffn_down_exps", "mlp.experts.{e}.down_proj"},
  };
  if (name == "output.weight") return "lm_head.weight";
  if (name == "token_embd.weight") return "model.word_embeddings.weight";
  const size_t layer_end = name.find('.', 4), base_end = name.find('.', layer_end + 1);
  std::string base = kLayer.at(name.substr(layer_end + 1, base_end - layer_end - 1));
  if (const size_t at = base.find("{e}"); at != std::string::npos) base.replace(at, 3, std::to_string(e));
  return "model.layers." + name.substr(4, layer_end - 4) + "." + base + ".weight";
}

/// One matrix of the source and what mainline made of it.
struct Matrix {
  std::string name;
  Type type;
  std::vector<float> source, mainline;
};

std::vector<Matrix> matrices_of(const GgufTensor& tensor, const Safetensors& checkpoint) {
  const Type type = *type_from_id(tensor.type_id);
  const bool stacked = tensor.shape.n_dims() == 3;
  const int64_t n_expert = stacked ? tensor.shape[0] : 1;
  const int64_t n = tensor.shape.n_elements() / n_expert;
  std::vector<Matrix> matrices;
  for (int64_t e = 0; e < n_expert; e += 16) {
    const std::string name = checkpoint_name(tensor.name, e);
    const std::span raw(tensor.data + row_bytes(type, n * e), row_bytes(type, n));
    matrices.push_back(
        {name, type, Safetensors::to_f32(checkpoint.require(name)), testing::decode(type, raw, n)});
  }
  return matrices;
}

TEST(FableLing, ErrorsAreBelowMainlines) {
  SW_DATA_OR_SKIP(gguf_path, "interop/fable-ling-Q4_K_M.gguf");
  SW_DATA_OR_SKIP(model_path, "models/fable-ling");
  const GgufFile file(gguf_path);
  const Safetensors checkpoint(model_path);
  int n_checked = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.type_id == static_cast<uint32_t>(Type::F32)) continue;
    for (const Matrix& m : matrices_of(tensor, checkpoint)) {
      ASSERT_EQ(m.source.size(), m.mainline.size()) << m.name;
      const auto error = [&](Type type) {
        return testing::rms_difference(m.source, testing::round_trip(type, m.source));
      };
      const double mainline = testing::rms_difference(m.source, m.mainline), ours = error(m.type);
      EXPECT_LE(ours, (m.type == Type::Q6_K ? 0.96 : 0.99) * mainline) << m.name << " " << type_name(m.type);
      ++n_checked;
      if (m.type != Type::Q4_K || !m.name.starts_with("model.layers.1.")) continue;
      // Mainline has no Q5_K here: one more bit halves the error.
      const double q5 = error(Type::Q5_K), q6 = error(Type::Q6_K);
      EXPECT_GT(q5, 0.4 * ours) << m.name;
      EXPECT_LT(q5, 0.55 * ours) << m.name;
      EXPECT_LT(q6, q5) << m.name;
    }
  }
  EXPECT_EQ(n_checked, 2 + 6 * 2 + 3 + 5 * 3 + 5 * 3 * 2);
}

}  // namespace
}  // namespace sw
