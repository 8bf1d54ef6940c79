// SPDX-License-Identifier: MIT
// Files of others: GGUF by mainline's tools and checkpoints of the original Python.
#include <cstring>
#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_below(const fs::path& folder, const std::string& extension) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == extension) files.push_back(entry.path());
  }
  return files;
}

TEST(Interop, EveryGgufOfMainlineLoads) {
  SW_DATA_OR_SKIP(folder, "interop");
  const auto files = files_below(folder, ".gguf");
  EXPECT_FALSE(files.empty());
  for (const fs::path& path : files) {
    SCOPED_TRACE(path.filename());
    const GgufFile file(path);
    EXPECT_EQ(file.version(), 3u);
    EXPECT_EQ(file.metadata().require_string("general.type"), "model");
    EXPECT_GT(
        file.metadata().require_int(file.metadata().require_string("general.architecture") + ".block_count"),
        0);
    ASSERT_TRUE(file.metadata().get_strings("tokenizer.ggml.tokens"));
    ASSERT_TRUE(file.find_tensor("token_embd.weight"));
    // Mainline writes tensors one behind the other, each padded to the alignment.
    uint64_t at = 0;
    for (const GgufTensor& tensor : file.tensors()) {
      EXPECT_EQ(tensor.offset, at) << tensor.name;
      EXPECT_GT(tensor.size_bytes, 0u) << tensor.name;
      at = (tensor.offset + tensor.size_bytes + 31) / 32 * 32;
    }
    EXPECT_EQ(file.data_offset() + at, file.size_bytes());
  }
}

TEST(Interop, GgufAndCheckpointHoldTheSameBytes) {
  SW_DATA_OR_SKIP(gguf_path, "interop/qwen3_moe.gguf");
  SW_DATA_OR_SKIP(folder, "golden/qwen3_moe");
  const GgufFile gguf(gguf_path);
  const Safetensors checkpoint(folder);
  EXPECT_EQ(gguf.metadata().require_string("general.architecture"), "qwen3moe");
  for (const auto& [ours, theirs] : {std::pair{"token_embd.weight", "model.embed_tokens.weight"},
                                     {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
                                     {"blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight"},
                                     {"blk.1.ffn_gate_inp.weight", "model.layers.1.mlp.gate.weight"}}) {
    const GgufTensor* a = gguf.find_tensor(ours);
    ASSERT_TRUE(a) << ours;
    const StTensor& b = checkpoint.require(theirs);
    EXPECT_EQ(a->shape, b.shape) << ours;
    ASSERT_EQ(a->size_bytes, b.data.size()) << ours;
    EXPECT_EQ(std::memcmp(a->data, b.data.data(), b.data.size()), 0) << ours;
  }
}

TEST(Interop, QuantizedFileHasItsTypes) {
  SW_DATA_OR_SKIP(path, "interop/fable-ling-Q4_K_M.gguf");
  const GgufFile file(path);
  EXPECT_EQ(file.metadata().require_string("general.architecture"), "bailingmoe2");
  EXPECT_EQ(file.metadata().require_int("bailingmoe2.expert_count"), 32);
  EXPECT_EQ(file.metadata().get_strings("tokenizer.ggml.tokens")->size(), 4096u);
  size_t n_q4_k = 0;
  for (const GgufTensor& tensor : file.tensors())
    n_q4_k += tensor.type_id == static_cast<uint32_t>(Type::Q4_K);
  EXPECT_GT(n_q4_k, 10u);
}

TEST(Interop, EveryGoldenSafetensorsLoads) {
  SW_DATA_OR_SKIP(folder, "golden");
  const auto files = files_below(folder, ".safetensors");
  EXPECT_GE(files.size(), 5u);  // so many are committed
  for (const fs::path& path : files) {
    SCOPED_TRACE(path);
    EXPECT_FALSE(Safetensors(path).tensors().empty());
  }
}

TEST(Interop, ShardedCheckpoint) {
  SW_DATA_OR_SKIP(folder, "golden/qwen3_moe_bf16_sharded");
  const Safetensors checkpoint(folder);
  size_t n_in_shards = 0;
  for (const fs::path& path : files_below(folder, ".safetensors")) {
    if (path.filename() != "golden.safetensors") n_in_shards += Safetensors(path).tensors().size();
  }
  EXPECT_EQ(checkpoint.tensors().size(), n_in_shards);
  EXPECT_EQ(checkpoint.require("model.norm.weight").dtype, StDtype::BF16);
}

TEST(Interop, GoldenValues) {
  SW_DATA_OR_SKIP(path, "golden/llama/golden.safetensors");
  const Safetensors golden(path);
  EXPECT_EQ(golden.require("seq0.ids").shape, Shape{48});
  EXPECT_EQ(Safetensors::to_i32(golden.require("greedy.ids")).size(), 32u);
  for (const float margin : Safetensors::to_f32(golden.require("greedy.margin"))) EXPECT_GT(margin, 5e-3f);
}

}  // namespace
}  // namespace sw
