// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "support/test_data.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/spec.h"

namespace sw::testing {

/// A folder whose tokenizer.json has all bytes, one merge and one added token; tests change it.
class HfFolder {
 public:
  HfFolder() {
    nlohmann::json vocab;
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      vocab[to_byte_level({&c, 1})] = byte;
    }
    vocab["ab"] = 256;
    tokenizer = {
        {"version", "1.0"},
        {"added_tokens", {{{"id", 257}, {"content", "<s>"}, {"special", true}}}},
        {"normalizer", nullptr},
        {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
        {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b"}}}},
    };
  }

  TokenizerSpec read() const {
    write("tokenizer.json", tokenizer.dump());
    if (!tokenizer_config.is_null()) write("tokenizer_config.json", tokenizer_config.dump());
    if (!config.is_null()) write("config.json", config.dump());
    if (!generation_config.is_null()) write("generation_config.json", generation_config.dump());
    return read_hf_tokenizer(folder_->path());
  }
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_->path() / name) << text;
  }
  const std::filesystem::path& path() const { return folder_->path(); }

  nlohmann::json tokenizer, tokenizer_config, config, generation_config;

 private:
  std::unique_ptr<TempDir> folder_ = std::make_unique<TempDir>();
};

}  // namespace sw::testing
