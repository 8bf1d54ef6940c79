// SPDX-License-Identifier: MIT
// A tensor more than a family's file needs is read, known to change nothing, or refused by its name.
#include <gtest/gtest.h>

#include "arch/tensors.h"
#include "golden/golden_models.h"

namespace sw {
namespace {

/// Names with a meaning in some family's GGUF files, or in none.
constexpr const char* kNames[] = {"blk.0.attn_q.bias",
                                  "blk.0.attn_k.bias",
                                  "blk.0.attn_output.bias",
                                  "blk.0.attn_qkv.weight",
                                  "blk.0.attn_sinks.weight",
                                  "blk.0.attn_q_norm.weight",
                                  "blk.0.attn_norm.bias",
                                  "blk.0.attn_gate.weight",
                                  "blk.0.attn_q.scale",
                                  "blk.0.attn_rot_embd",
                                  "blk.0.ffn_norm.bias",
                                  "blk.0.ffn_down.bias",
                                  "blk.0.ffn_up.weight",
                                  "blk.0.post_attention_norm.weight",
                                  "blk.0.post_ffw_norm.weight",
                                  "blk.0.layer_output_scale.weight",
                                  "blk.0.ssm_conv1d.weight",
                                  "blk.2.ffn_gate_inp.bias",
                                  "blk.2.exp_probs_b.bias",
                                  "blk.2.ffn_gate_inp_shexp.weight",
                                  "blk.2.ffn_gate_shexp.weight",
                                  "blk.2.ffn_down_exps.bias",
                                  "blk.2.ffn_down_exps.scale",
                                  "blk.99.attn_norm.weight",
                                  "rope_freqs.weight",
                                  "rope_factors_long.weight",
                                  "token_embd_norm.weight",
                                  "output.bias",
                                  "output.weight",
                                  "output_norm.bias",
                                  "v.blk.0.attn_q.weight",
                                  "somebodys_own.tensor"};

std::optional<TensorItem> find_item(const Model& model, const std::string& name) {
  for (int block = kOfModel; block < model.hparams().n_block; ++block) {
    for (const TensorItem& item : tensors_of(model.arch(), model.hparams(), block)) {
      if (item.gguf == name) return item;
    }
  }
  return std::nullopt;
}

/// The file and one tensor more, whose values are multiples of one: an equal bias for all experts would
/// change nothing.
void write_with(const GgufFile& file, const std::string& name, const Shape& shape, float value,
                const std::filesystem::path& out) {
  GgufWriter writer(out);
  for (const auto& [key, value] : file.metadata().entries()) writer.set(key, value);
  for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
  writer.add_tensor(name, Type::F32, shape);
  std::vector<float> values(static_cast<size_t>(shape.n_elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = value * static_cast<float>(1 + i % 7);
  for (const GgufTensor& t : file.tensors()) writer.write_tensor({t.data, t.size_bytes});
  writer.write_tensor(std::as_bytes(std::span(values)));
  writer.finish();
}

void write_without(const GgufFile& file, const std::string& name, const std::filesystem::path& out) {
  GgufWriter writer(out);
  for (const auto& [key, value] : file.metadata().entries()) writer.set(key, value);
  const auto each = [&](auto&& f) {
    for (const GgufTensor& t : file.tensors()) {
      if (t.name != name) f(t);
    }
  };
  each([&](const GgufTensor& t) { writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape); });
  each([&](const GgufTensor& t) { writer.write_tensor({t.data, t.size_bytes}); });
  writer.finish();
}

class UnreadTensors : public ::testing::TestWithParam<const char*> {
 protected:
  /// Logits of the file with one tensor more; empty where it is refused, which has to name the tensor.
  static std::vector<float> logits_with(Golden& golden, const Model& original, const std::string& name,
                                        float value) {
    const std::optional<TensorItem> item = find_item(original, name);
    const std::filesystem::path more = golden.file.folder() / "more.gguf";
    write_with(original.file(), name, item ? item->shape : Shape{8}, value, more);
    try {
      golden.model = std::make_unique<Model>(more);
      return Safetensors::to_f32(trace(golden, "seq1", {}).require("logits"));
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
      return {};
    }
  }
};

TEST_P(UnreadTensors, AreReadOrKnownOrRefused) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  Golden golden(folder);
  const Model original(golden.file.path());
  const std::vector<float> expected = Safetensors::to_f32(trace(golden, "seq1", {}).require("logits"));
  int n_refused = 0;
  for (const std::string name : kNames) {
    SCOPED_TRACE(name);
    if (original.file().find_tensor(name)) continue;
    const std::vector<float> got = logits_with(golden, original, name, 0.5f);
    if (got.empty()) {
      ++n_refused;
    } else if (find_item(original, name)) {
      EXPECT_NE(got, logits_with(golden, original, name, -0.5f)) << "declared, and not read";
    } else {
      EXPECT_TRUE(find_idle(name)) << "neither declared nor known";
      EXPECT_EQ(got, expected);
    }
  }
  EXPECT_GE(n_refused, 10);
}

/// A file that lacks an optional tensor in one block, or one of those that come together.
TEST_P(UnreadTensors, OptionalOnesAreInAllBlocksOrInNone) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  Golden golden(folder);
  const Model original(golden.file.path());
  const std::filesystem::path fewer = golden.file.folder() / "fewer.gguf";
  int n_alone = 0;  // that no other tensor comes with: a model may do without
  for (int block = 0; block < original.hparams().n_run_block(); ++block) {
    for (const TensorItem& item : original.tensors(block)) {
      if (!item.optional || !original.file().find_tensor(item.gguf)) continue;
      write_without(original.file(), item.gguf, fewer);
      try {
        const Model model(fewer);
        ++n_alone;
      } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("a tensor is missing"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find(item.gguf), std::string::npos) << e.what();
      }
    }
  }
  EXPECT_LE(n_alone, 1);
}

INSTANTIATE_TEST_SUITE_P(Families, UnreadTensors, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace sw
