// SPDX-License-Identifier: MIT
// Folders as Kimi-K2's: a tiktoken.model and no tokenizer.json.
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "support/refusal.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/mixed_strings.h"
#include "unit/tokenizer/through_gguf.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Ids = std::vector<int32_t>;

fs::path made(const char* name) { return testing::source_dir() / "tests/data/tiktoken" / name; }

class Tiktoken : public ::testing::TestWithParam<const char*> {};

TEST_P(Tiktoken, MixedStringsGiveItsIds) {
  const testing::MixedStrings mixed = testing::read_mixed_strings();
  const TokenizerSpec spec = read_hf_tokenizer(made(GetParam()));
  const Tokenizer direct(spec), again(testing::through_gguf(spec));
  testing::expect_column(mixed, std::string("tiktoken:") + GetParam(), [&](const std::string& text) {
    const Ids ids = direct.encode(text);
    EXPECT_EQ(again.encode(text), ids) << "through GGUF: " << text;
    EXPECT_EQ(direct.decode(ids), text);
    return testing::fixture_hash(std::span<const int32_t>(ids));
  });
}

INSTANTIATE_TEST_SUITE_P(All, Tiktoken, ::testing::Values("trained", "shuffled"));

TEST(Tiktoken, OneMergeStandsForEachToken) {
  const TokenizerSpec trained = read_hf_tokenizer(made("trained"));
  EXPECT_EQ(trained.merges.size(), 320u);
  EXPECT_FALSE(trained.ignore_merges) << "so that other readers know its pre-tokenizer by name";
  const TokenizerSpec shuffled = read_hf_tokenizer(made("shuffled"));
  EXPECT_EQ(shuffled.merges.size(), 320u) << "of 323 tokens of several bytes";
  EXPECT_TRUE(shuffled.ignore_merges) << "merging does not make all of its tokens";
  EXPECT_EQ(match_pre_tokenizer(trained.patterns, false)->name, "kimi-k2");
}

TEST(Tiktoken, SpecialTokensComeFromTheConfig) {
  const TokenizerSpec spec = read_hf_tokenizer(made("trained"));
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(spec.tokens.size(), 576u + 256u);
  EXPECT_EQ(spec.bos, 576);
  EXPECT_EQ(spec.eos, 577);
  EXPECT_EQ(spec.pad, 831);
  EXPECT_EQ(tokenizer.encode("[BOS]<|im_end|><think><|reserved_token_580|>"), (Ids{576, 578, 581, 580}));
  EXPECT_EQ(tokenizer.encode("", {.add_special = true}), Ids{}) << "the class puts nothing around a text";
  EXPECT_TRUE(tokenizer.is_special(578));
  EXPECT_FALSE(tokenizer.is_special(581));
  EXPECT_FALSE(tokenizer.is_special(580)) << "which transformers does not know";
}

/// A folder that is a copy of "trained" with one of its files changed.
class Changed {
 public:
  Changed() {
    for (const char* name : {"tiktoken.model", "tokenizer_config.json"})
      fs::copy_file(made("trained") / name, folder_.path() / name);
  }
  void set_model(const std::string& text) const { std::ofstream(folder_.path() / "tiktoken.model") << text; }
  std::string model() const { return read_file(folder_.path() / "tiktoken.model"); }
  void merge_config(const json& patch) const {
    json config = json::parse(read_file(folder_.path() / "tokenizer_config.json"));
    config.merge_patch(patch);
    std::ofstream(folder_.path() / "tokenizer_config.json") << config.dump();
  }
  void expect_refused(const char* part) const {
    testing::expect_refused([&] { read_hf_tokenizer(folder_.path()); }, part);
  }
  fs::path path() const { return folder_.path(); }

 private:
  testing::TempDir folder_;
};

TEST(Tiktoken, ClassesThatAreNotKnownAreRefusedByName) {
  const Changed folder;
  const auto set_class = [&](const json& name) {
    folder.merge_config({{"auto_map", {{"AutoTokenizer", name}}}});
  };
  set_class("moonshotai/Kimi-K2-Base--tokenization_kimi.TikTokenTokenizer");
  EXPECT_NO_THROW(read_hf_tokenizer(folder.path()));
  set_class({"tokenization_moonshot.TikTokenTokenizer", nullptr});
  EXPECT_NO_THROW(read_hf_tokenizer(folder.path())) << "Moonlight's, which is the same";
  set_class({"tokenization_other.TikTokenTokenizer", nullptr});
  folder.expect_refused("'tokenization_other.TikTokenTokenizer'");
  folder.merge_config({{"auto_map", nullptr}});
  folder.expect_refused("'TikTokenTokenizer'");
  folder.merge_config({{"tokenizer_class", nullptr}});
  folder.expect_refused("no class");
}

TEST(Tiktoken, AFolderWithAnotherVocabularyIsRefusedWithItsName) {
  const testing::TempDir folder;
  testing::expect_refused([&] { read_hf_tokenizer(folder.path()); }, "no tokenizer.json");
  testing::expect_refused([&] { read_hf_tokenizer(folder.path() / "none"); }, "no tokenizer.json");
  std::ofstream(folder.path() / "qwen.tiktoken") << "IQ== 0\n";
  testing::expect_refused([&] { read_hf_tokenizer(folder.path()); }, "qwen.tiktoken");
}

TEST(Tiktoken, BrokenFilesAreRefused) {
  const Changed folder;
  const std::string model = folder.model();
  const std::string head = model.substr(0, model.find('\n') + 1);
  for (const auto& [text, part] : {std::pair<std::string, const char*>{"", "a byte has no token"},
                                   {"AA== 0\n", "a byte has no token"},
                                   {"AA==\n", "line 1"},
                                   {"AA== 0 0\n", "line 1"},
                                   {"AA= 0\n", "line 1"},
                                   {"A*== 0\n", "line 1"},
                                   {"==== 0\n", "line 1"},
                                   {" 0\n", "line 1"},
                                   {"AA== x\n", "line 1"},
                                   {"AA== -1\n", "line 1"},
                                   {"AA== 99999999999999999999\n", "line 1"},
                                   {"AA== 1\n", "count up from 0"},
                                   {model + "AA== 576\n", "the same token"},
                                   {model + std::string(1400, 'A') + " 576\n", "too long"},
                                   {head + head, "line 2"}}) {
    folder.set_model(text);
    folder.expect_refused(part);
  }
  folder.set_model(model);
  folder.merge_config({{"added_tokens_decoder", {{"590", {{"content", "e"}, {"special", true}}}}}});
  folder.expect_refused("a plain token has the text");
}

}  // namespace
}  // namespace sw
