// SPDX-License-Identifier: MIT
#include "fuzz/tiny_model.h"

#include <fmt/core.h>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "arch/tensors.h"
#include "base/file.h"
#include "convert/hf_config.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace sw::fuzz {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kMerges = 24, kExperts = 4, kLayers = 2;

void write_text(const fs::path& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

/// The first tokens, the merges that make them, and the added tokens right behind.
int write_tokenizer(const fs::path& golden, const fs::path& folder) {
  Json file = Json::parse(read_file(golden / "tokenizer.json"));
  Json& model = file["model"];
  Json vocab = Json::object(), merges = Json::array();
  for (const auto& [text, id] : model["vocab"].items()) {
    if (id.get<int>() < 256) vocab[text] = id;
  }
  for (const Json& merge : model["merges"]) {
    const auto left = merge.is_string()
                          ? merge.get<std::string>().substr(0, merge.get<std::string>().find(' '))
                          : merge[0].get<std::string>();
    const auto right =
        merge.is_string() ? merge.get<std::string>().substr(left.size() + 1) : merge[1].get<std::string>();
    if (merges.size() == kMerges || !vocab.contains(left) || !vocab.contains(right)) continue;
    if (vocab.contains(left + right)) continue;
    vocab[left + right] = vocab.size();
    merges.push_back(merge);
  }
  int n_token = static_cast<int>(vocab.size());
  for (Json& token : file["added_tokens"]) token["id"] = n_token++;
  model["vocab"] = vocab;
  model["merges"] = merges;
  write_text(folder / "tokenizer.json", file.dump());
  fs::copy_file(golden / "tokenizer_config.json", folder / "tokenizer_config.json");
  fs::copy_file(golden / "generation_config.json", folder / "generation_config.json");
  return n_token;
}

void write_config(const fs::path& golden, const fs::path& folder, int n_embd, int n_ff, int n_vocab) {
  Json config = Json::parse(read_file(golden / "config.json"));
  for (const auto& [key, value] : std::map<std::string, int>{{"hidden_size", n_embd},
                                                             {"intermediate_size", n_ff},
                                                             {"moe_intermediate_size", n_ff},
                                                             {"moe_shared_expert_intermediate_size", n_ff},
                                                             {"num_hidden_layers", kLayers},
                                                             {"num_attention_heads", 2},
                                                             {"num_key_value_heads", 1},
                                                             {"num_experts", kExperts},
                                                             {"n_group", 2},
                                                             {"topk_group", 1},
                                                             {"num_experts_per_tok", 2},
                                                             {"vocab_size", n_vocab}}) {
    config[key] = value;
  }
  config["tie_word_embeddings"] = true;
  write_text(folder / "config.json", config.dump());
}

/// `tensor` in another shape of as many dimensions: its rows and columns from the start, again and again.
std::vector<float> repeated(const StTensor& tensor, const Shape& shape) {
  const std::vector<float> old = Safetensors::to_f32(tensor);
  const int64_t n_row = tensor.shape.n_rows(), n_col = tensor.shape.n_cols();
  std::vector<float> values;
  for (int64_t row = 0; row < shape.n_rows(); ++row) {
    for (int64_t col = 0; col < shape.n_cols(); ++col)
      values.push_back(old[static_cast<size_t>(row % n_row * n_col + col % n_col)]);
  }
  return values;
}

void write_weights(const fs::path& golden, const fs::path& folder) {
  const HfConfig config(folder / "config.json");
  const ArchSpec& arch = config.arch();
  const HParams h = config.hparams(arch);
  const Safetensors source(golden);
  SafetensorsWriter writer;
  const auto add = [&](const TensorItem& item, int expert) {
    const std::string name = expert_name(item.hf, expert);
    const StTensor* tensor = item.role == Role::Output ? nullptr : source.find(name);
    if (!tensor) return;
    Shape shape;
    for (int i = item.transform == Transform::Stack ? 1 : 0; i < item.shape.n_dims(); ++i)
      shape.push_back(item.shape[i]);
    writer.add(name, shape, repeated(*tensor, shape));
  };
  for (int block = kOfModel; block < kLayers; ++block) {
    for (const TensorItem& item : tensors_of(arch, h, block)) {
      const int n_part = item.transform == Transform::Stack ? kExperts : 1;
      for (int expert = 0; expert < n_part; ++expert) add(item, expert);
    }
  }
  writer.write(folder / "model.safetensors");
}

}  // namespace

void write_tiny_checkpoint(const fs::path& folder, int n_embd, int n_ff) {
  const auto golden = testing::find_data("golden/bailing_moe_v2");
  if (!golden) throw std::runtime_error("no golden/bailing_moe_v2");
  fs::create_directories(folder);
  const int n_vocab = write_tokenizer(*golden, folder);
  write_config(*golden, folder, n_embd, n_ff, n_vocab);
  write_weights(*golden, folder);
}

void write_sentence_piece(const fs::path& path, const std::string& model) {
  std::vector<std::string> texts = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    texts.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(6);
  }
  for (const char* text : {"\u2581", "a", "b", "e", "m", "n", "o", "p", "t", "i", "\u2581a", "on", "me",
                           "\u2581on", "ti", "time"}) {
    texts.emplace_back(text);
    types.push_back(1);
  }
  std::vector<float> scores;
  for (size_t id = 0; id < texts.size(); ++id) scores.push_back(-static_cast<float>(id));
  GgufWriter writer(path);
  writer.set("tokenizer.ggml.model", GgufValue::string(model));
  writer.set("tokenizer.ggml.tokens", GgufValue::strings(texts));
  writer.set("tokenizer.ggml.scores", GgufValue::f32s(scores));
  writer.set("tokenizer.ggml.token_type", GgufValue::i32s(types));
  writer.set("tokenizer.ggml.bos_token_id", GgufValue::u32(1));
  writer.set("tokenizer.ggml.eos_token_id", GgufValue::u32(2));
  writer.set("tokenizer.ggml.unknown_token_id", GgufValue::u32(0));
  writer.set("tokenizer.ggml.add_space_prefix", GgufValue::boolean(true));
  writer.finish();
}

}  // namespace sw::fuzz
