// SPDX-License-Identifier: MIT
// What `info` says of a file: figures with their source, and Ling-1T's header.
#include <array>
#include <fstream>
#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "support/byte_builder.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw::testing {
namespace {

void expect_says(const ProcessResult& result, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const std::string& part : parts) {
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  }
}

TEST(Info, EveryFigureSaysWhoSaidIt) {
  expect_says(
      run_switchyard({"info", "--override-kv", "bailingmoe2.expert_used_count=int:2", "--override-kv",
                      "bailingmoe2.expert_weights_scale=float:1.25", "--override-kv",
                      "bailingmoe2.expert_weights_norm=bool:false", "--override-kv", "general.name=str:Fox"}),
      {"  bailingmoe2.expert_count = 32  (file)", "  bailingmoe2.expert_used_count = 2  (overridden)",
       "  bailingmoe2.expert_weights_scale = 1.25  (overridden)",
       "  bailingmoe2.expert_weights_norm = false  (overridden)", "  general.name = \"Fox\"  (overridden)"});
  expect_says(run_switchyard({"info", "--override-kv", "llama.expert_used_count=int:2"}),
              {"  llama.expert_used_count = 2  (overridden)",
               "cannot be run: nothing reads the key that --override-kv names"});
}

TEST(Info, AnOverrideOfTheWrongTypeIsOneLine) {
  const std::array<std::array<const char*, 2>, 3> cases = {
      {{"bailingmoe2.expert_used_count=str:2", "expected an integer, got string"},
       {"bailingmoe2.expert_weights_norm=int:1", "expected bool, got i64"},
       {"bailingmoe2.expert_weights_scale=bool:true", "expected a number, got bool"}}};
  for (const auto& [text, says] : cases) {
    const ProcessResult result = run_switchyard({"run", "-p", "x", "-n", "1", "--override-kv", text});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_NE(result.err.find("overridden, key bailingmoe2."), std::string::npos) << result.err;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
  }
}

/// A GGUF header put together key by key and tensor by tensor.
class Header {
 public:
  ByteBuilder& key(const std::string& name, GgufType type) {
    ++n_key_;
    return keys_.str(name).u32(static_cast<uint32_t>(type));
  }
  void u32(const std::string& name, uint32_t value) { key(name, GgufType::U32).u32(value); }
  void f32(const std::string& name, float value) { key(name, GgufType::F32).num(value); }
  void boolean(const std::string& name, bool value) { key(name, GgufType::Bool).u8(value); }
  void text(const std::string& name, const std::string& value) { key(name, GgufType::String).str(value); }
  ByteBuilder& array(const std::string& name, GgufType element, uint64_t n) {
    return key(name, GgufType::Array).u32(static_cast<uint32_t>(element)).u64(n);
  }
  /// `shape` outermost first.
  void tensor(const std::string& name, Type type, const Shape& shape) {
    tensor(name, static_cast<uint32_t>(type), shape,
           row_bytes(type, shape.n_cols()) * static_cast<uint64_t>(shape.n_rows()));
  }
  /// Of a format that is only a number here.
  void tensor(const std::string& name, uint32_t type, const Shape& shape, uint64_t n_byte) {
    ++n_tensor_;
    tensors_.str(name).u32(static_cast<uint32_t>(shape.n_dims()));
    for (int i = shape.n_dims(); i-- > 0;) tensors_.u64(static_cast<uint64_t>(shape[i]));
    tensors_.u32(type).u64(data_bytes_);
    data_bytes_ += (n_byte + 31) / 32 * 32;
  }
  /// The header as a file; the tensors' data are a hole.
  void write(const std::filesystem::path& path) const {
    ByteBuilder file;
    file.raw("GGUF").u32(3).u64(n_tensor_).u64(n_key_).raw(keys_.bytes()).raw(tensors_.bytes()).pad(32);
    std::ofstream(path, std::ios::binary) << file.bytes();
    std::filesystem::resize_file(path, file.bytes().size() + data_bytes_);
  }
  uint64_t n_key() const { return n_key_; }
  uint64_t n_tensor() const { return n_tensor_; }

 private:
  ByteBuilder keys_, tensors_;
  uint64_t n_key_ = 0, n_tensor_ = 0, data_bytes_ = 0;
};

constexpr uint64_t kVocab = 157184, kMerges = 156635;

/// The 50 keys of Ling-1T's published file (requirements S4.40 to S4.55).
void add_ling_keys(Header& h) {
  h.text("general.architecture", "bailingmoe2");
  h.text("general.type", "model");
  h.text("general.name", "Ling 1T");
  h.text("general.basename", "Ling");
  h.text("general.size_label", "1T");
  const std::string a = "bailingmoe2.";
  const std::pair<const char*, uint32_t> counts[] = {
      {"block_count", 80},           {"context_length", 32768},
      {"embedding_length", 8192},    {"feed_forward_length", 18432},
      {"attention.head_count", 64},  {"attention.head_count_kv", 8},
      {"attention.key_length", 128}, {"attention.value_length", 128},
      {"rope.dimension_count", 64},  {"leading_dense_block_count", 4},
      {"vocab_size", kVocab},        {"expert_count", 256},
      {"expert_used_count", 8},      {"expert_feed_forward_length", 2048},
      {"expert_shared_count", 1},    {"expert_shared_feed_forward_length", 2048},
      {"expert_group_count", 8},     {"expert_group_used_count", 4},
      {"expert_gating_func", 2}};
  for (const auto& [key, value] : counts) h.u32(a + key, value);
  h.f32(a + "attention.layer_norm_rms_epsilon", 1e-6f);
  h.f32(a + "rope.freq_base", 600000.0f);
  h.f32(a + "expert_weights_scale", 2.5f);
  h.boolean(a + "expert_weights_norm", true);
  h.text(a + "rope.scaling.type", "none");
  h.u32("general.file_type", 138);
  h.u32("general.quantization_version", 2);
}

void add_ling_tokenizer(Header& h) {
  h.text("tokenizer.ggml.model", "gpt2");
  h.text("tokenizer.ggml.pre", "bailingmoe2");
  ByteBuilder& tokens = h.array("tokenizer.ggml.tokens", GgufType::String, kVocab);
  for (uint64_t i = 0; i < kVocab; ++i) tokens.str("t" + std::to_string(i));
  ByteBuilder& types = h.array("tokenizer.ggml.token_type", GgufType::I32, kVocab);
  for (uint64_t i = 0; i < kVocab; ++i) types.u32(i < kVocab - 262 ? 1 : 3);
  ByteBuilder& merges = h.array("tokenizer.ggml.merges", GgufType::String, kMerges);
  for (uint64_t i = 0; i < kMerges; ++i) merges.str("t1 t" + std::to_string(i));
  const std::pair<const char*, uint32_t> ids[] = {{"bos_token_id", 156891},
                                                  {"eos_token_id", 156895},
                                                  {"padding_token_id", 156892},
                                                  {"cls_token_id", 156893}};
  for (const auto& [key, id] : ids) h.u32(std::string("tokenizer.ggml.") + key, id);
  h.boolean("tokenizer.ggml.add_bos_token", false);
  h.boolean("tokenizer.ggml.add_eos_token", false);
  h.text("tokenizer.chat_template", "{% set thinking_option = 'off' %}{{ messages[0].content }}");
  h.text("quantize.imatrix.file", "imatrix-Ling-1T-Q8_0.dat");
  h.text("quantize.imatrix.dataset", "calibration.txt");
  h.u32("quantize.imatrix.entries_count", 705);
  h.u32("quantize.imatrix.chunks_count", 864);
  h.u32("split.no", 0);
  h.u32("split.count", 0);  // as after a merge
  h.u32("split.tensors.count", 1103);
}

/// Its 1103 tensors; formats of like size stand for those that are not known here.
void add_ling_tensors(Header& h) {
  h.tensor("token_embd.weight", Type::Q4_K, {kVocab, 8192});
  h.tensor("output_norm.weight", Type::F32, {8192});
  h.tensor("output.weight", Type::Q6_K, {kVocab, 8192});
  for (int l = 0; l < 80; ++l) {
    const std::string p = "blk." + std::to_string(l) + ".";
    h.tensor(p + "attn_norm.weight", Type::F32, {8192});
    h.tensor(p + "attn_q_norm.weight", Type::F32, {128});
    h.tensor(p + "attn_k_norm.weight", Type::F32, {128});
    h.tensor(p + "ffn_norm.weight", Type::F32, {8192});
    h.tensor(p + "attn_qkv.weight", Type::Q8_0, {(64 + 2 * 8) * 128, 8192});
    h.tensor(p + "attn_output.weight", Type::Q8_0, {8192, 64 * 128});
    if (l < 4) {
      h.tensor(p + "ffn_gate.weight", Type::Q8_0, {18432, 8192});
      h.tensor(p + "ffn_up.weight", Type::Q8_0, {18432, 8192});
      h.tensor(p + "ffn_down.weight", Type::Q8_0, {8192, 18432});
      continue;
    }
    h.tensor(p + "ffn_gate_inp.weight", Type::F32, {256, 8192});
    h.tensor(p + "exp_probs_b.bias", Type::F32, {256});
    h.tensor(p + "ffn_gate_exps.weight", Type::Q4_K, {256, 2048, 8192});
    h.tensor(p + "ffn_up_exps.weight", Type::Q4_K, {256, 2048, 8192});
    h.tensor(p + "ffn_down_exps.weight", Type::Q5_K, {256, 8192, 2048});
    h.tensor(p + "ffn_gate_shexp.weight", Type::Q8_0, {2048, 8192});
    h.tensor(p + "ffn_up_shexp.weight", Type::Q8_0, {2048, 8192});
    h.tensor(p + "ffn_down_shexp.weight", Type::Q8_0, {8192, 2048});
  }
}

/// By name and size: Q8_K has 292 bytes per 256 weights, Q8_1 36 per 32, Q1_0 18 per 128 (gguf-py 0.19).
TEST(Info, ShowsFormatsThatItCannotDecode) {
  Header header;
  header.text("general.architecture", "llama");
  header.tensor("a", 15, {1024, 1024}, 4096 * 292);
  header.tensor("b", 9, {1024, 1024}, 32768 * 36);
  header.tensor("c", 41, {1024, 1024}, 8192 * 18);
  const TempDir temp;
  const std::string path = temp.path() / "foreign.gguf";
  header.write(path);
  // 8 x 2,523,136 bytes / 3,145,728 weights
  expect_says(run_switchyard({"info", path}),
              {"Q8_K         1 tensors        1048576 elements       1.14 MiB",
               "Q8_1         1 tensors        1048576 elements       1.12 MiB",
               "Q1_0         1 tensors        1048576 elements       0.14 MiB",
               "all          3 tensors        3145728 elements       2.41 MiB, 6.417 bits per weight\n"});
}

/// Where only the name or the number is known, no size is made up, and the mean leaves the tensor out.
TEST(Info, SaysWhichSizesAreUnknown) {
  Header header;
  header.text("general.architecture", "llama");
  header.tensor("a", Type::Q8_0, {1024, 1024});
  header.tensor("b", 133, {1024, 1024}, 32768 * 26);
  header.tensor("c", 250, {1024, 1024}, 1 << 20);
  const TempDir temp;
  const std::string path = temp.path() / "foreign.gguf";
  header.write(path);
  expect_says(run_switchyard({"info", path}),
              {"Q6_0         1 tensors        1048576 elements   size unknown",
               "type 250     1 tensors        1048576 elements   size unknown",
               "1.06 MiB, 8.500 bits per weight without 2 tensors of unknown size"});
}

TEST(Info, ReadsLing1TsHeader) {
  Header header;
  add_ling_keys(header);
  add_ling_tokenizer(header);
  add_ling_tensors(header);
  EXPECT_EQ(header.n_key(), 50u);
  EXPECT_EQ(header.n_tensor(), 1103u);
  const TempDir temp;
  const std::string path = temp.path() / "ling-1t.gguf";
  header.write(path);
  expect_says(
      run_switchyard({"info", path, "-c", "4096"}),
      {"50 metadata values, 1103 tensors", "general.size_label = \"1T\"", "general.file_type = 138",
       "tokenizer.ggml.tokens = [157184] of string", "tokenizer.ggml.merges = [156635] of string",
       "tokenizer.ggml.eos_token_id = 156895", "quantize.imatrix.entries_count = 705",
       "split.tensors.count = 1103", "{% set thinking_option = 'off' %}",
       "bailingmoe2.rope.scaling.type = \"none\"", "F32        473 tensors", "Q8_0       400 tensors",
       // 999.705 B parameters (S4.58); 8 experts a layer and one row of the embedding.
       "parameters        999705.329 M, ", "bailingmoe2.attention.key_length = 128  (file)",
       "bailingmoe2.expert_group_used_count = 4  (file)", "bailingmoe2.nextn_predict_layers = 0  (default)",
       "bailingmoe2.expert_weights_scale = 2.5  (file)",
       // 80 layers x 4096 tokens x 2 x 8 heads x 128 x 2 bytes
       "KV cache             1280.00 MiB (4096 tokens: f16 keys 640.00 MiB, f16 values 640.00 MiB)"});
  // 34 bytes for each 32 (S4.62), and 18.
  expect_says(
      run_switchyard({"info", path, "-c", "4096", "-ctk", "q8_0", "-ctv", "q8_0"}),
      {"KV cache              680.00 MiB (4096 tokens: q8_0 keys 340.00 MiB, q8_0 values 340.00 MiB)"});
  expect_says(
      run_switchyard({"info", path, "-c", "65536", "-ctk", "q8_0", "-ctv", "q8_0"}),
      {"KV cache            10880.00 MiB (65536 tokens: q8_0 keys 5440.00 MiB, q8_0 values 5440.00 MiB)"});
  expect_says(
      run_switchyard({"info", path, "-c", "4096", "-ctk", "q8_0", "-ctv", "q4_0"}),
      {"KV cache              520.00 MiB (4096 tokens: q8_0 keys 340.00 MiB, q4_0 values 180.00 MiB)"});
}

}  // namespace
}  // namespace sw::testing
