// SPDX-License-Identifier: MIT
// Every key of tokenizer_config.json and every member of tokenizer.json is read, known to change nothing, or
// told.
#include "tokenizer/config_keys.h"

#include <gtest/gtest.h>

#include "support/refusal.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/tokenizer_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;

/// Keys that published models have, with values that they have.
const json kCommon = {{"add_bos_token", false},
                      {"add_eos_token", false},
                      {"add_prefix_space", false},
                      {"added_tokens_decoder", json::object()},
                      {"additional_special_tokens", {"<s>"}},
                      {"auto_map", {{"AutoTokenizer", {"tokenization_x.X", nullptr}}}},
                      {"backend", "tokenizers"},
                      {"bos_token", "<s>"},
                      {"chat_template", "T"},
                      {"clean_up_tokenization_spaces", true},
                      {"do_lower_case", false},
                      {"eos_token", "<s>"},
                      {"errors", "replace"},
                      {"extra_special_tokens", json::object()},
                      {"fast_tokenizer", true},
                      {"fix_mistral_regex", false},
                      {"is_local", true},
                      {"legacy", false},
                      {"max_length", 2048},
                      {"merges_file", nullptr},
                      {"model_input_names", {"input_ids", "attention_mask"}},
                      {"model_max_length", 131072},
                      {"pad_to_multiple_of", 8},
                      {"pad_token", "<s>"},
                      {"padding_side", "left"},
                      {"processor_class", "X"},
                      {"sp_model_kwargs", json::object()},
                      {"spaces_between_special_tokens", false},
                      {"split_special_tokens", false},
                      {"stride", 0},
                      {"tokenizer_class", "X"},
                      {"tokenizer_file", "tokenizer.json"},
                      {"trust_remote_code", false},
                      {"truncation_side", "left"},
                      {"truncation_strategy", "longest_first"},
                      {"unk_token", nullptr},
                      {"use_default_system_prompt", false},
                      {"use_fast", true},
                      {"_commit_hash", "0"}};

TEST(TokenizerConfigKeys, CommonOnesAreReadOrChangeNothing) {
  HfFolder folder;
  folder.tokenizer_config = kCommon;
  EXPECT_EQ(folder.read().notes, std::vector<std::string>{});
  const std::vector<int32_t> plain = Tokenizer(HfFolder().read()).encode("ab <s> c");
  for (const auto& [name, value] : kCommon.items()) {
    if (why_idle_in_tokenizer_config(name).empty()) continue;
    HfFolder one;
    one.tokenizer_config = {{name, value}};
    EXPECT_EQ(Tokenizer(one.read()).encode("ab <s> c"), plain) << name;
  }
}

TEST(TokenizerConfigKeys, UnknownOnesAreToldByName) {
  HfFolder folder;
  folder.tokenizer_config = {
      {"vendors_own", {{"a", 1}}}, {"another", 1}, {"nothing", nullptr}, {"padding_side", "left"}};
  EXPECT_EQ(folder.read().notes,
            (std::vector<std::string>{"tokenizer_config.json: another is not known, and left out",
                                      "tokenizer_config.json: vendors_own is not known, and left out"}));
}

TEST(TokenizerConfigKeys, WhatWouldChangeIdsIsRefusedByName) {
  const std::pair<const char*, json> refused[] = {
      {"split_special_tokens", true},
      {"do_lower_case", true},
      {"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", true},
      {"add_prefix_space", true},
      {"add_prefix_space", "yes"},
      {"sp_model_kwargs", {{"enable_sampling", true}, {"alpha", 0.1}}},
      {"sp_model_kwargs", 3},
      {"fix_mistral_regex", true},
      {"add_bos_token", 1}};
  for (const auto& [name, value] : refused) {
    HfFolder folder;
    folder.tokenizer_config = {{name, value}};
    testing::expect_refused([&] { folder.read(); }, name);
  }
  HfFolder mended;
  const NamedPreTokenizer* tekken = find_pre_tokenizer("tekken");
  mended.tokenizer["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", tekken->patterns[0]}}},
         {"behavior", "Isolated"},
         {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  mended.tokenizer_config = {{"fix_mistral_regex", true}};
  EXPECT_NO_THROW(mended.read());
}

TEST(TokenizerConfigKeys, TheSpaceInFrontIsWhatTokenizerJsonSays) {
  HfFolder folder;
  folder.tokenizer["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}};
  folder.tokenizer["model"]["fuse_unk"] = true;
  folder.tokenizer_config = {{"add_prefix_space", true}};
  EXPECT_NO_THROW(folder.read());
  folder.tokenizer_config = {{"add_prefix_space", nullptr}};
  EXPECT_NO_THROW(folder.read());
  folder.tokenizer_config = {{"add_prefix_space", false}};
  testing::expect_refused([&] { folder.read(); }, "add_prefix_space");
}

TEST(TokenizerConfigKeys, SpecialTokensOfTheModelsOwnAreRead) {
  HfFolder folder;
  folder.tokenizer_config = {{"model_specific_special_tokens", {{"image_token", "<image>"}}}};
  EXPECT_EQ(Tokenizer(folder.read()).encode("<image>"), std::vector<int32_t>{258});
}

TEST(TokenizerJsonMembers, AllThatTheLibraryWritesAreKnown) {
  HfFolder folder;
  folder.tokenizer.merge_patch(
      {{"truncation",
        {{"max_length", 512}, {"strategy", "LongestFirst"}, {"stride", 0}, {"direction", "Right"}}},
       {"padding", {{"strategy", "BatchLongest"}, {"pad_id", 0}}},
       {"decoder",
        {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
       {"post_processor",
        {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}}}});
  folder.tokenizer["model"]["dropout"] = 0.0;
  EXPECT_NO_THROW(folder.read());
}

TEST(TokenizerJsonMembers, OthersAreRefusedByName) {
  const std::pair<const char*, json> refused[] = {
      {"/later", 1},
      {"/model/later", 1},
      {"/model/dropout", 0.1},
      {"/model/dropout", "some"},
      {"/pre_tokenizer/later", true},
      {"/added_tokens/0/later", true},
      {"/normalizer", {{"type", "NFC"}, {"later", 1}}},
      {"/normalizer", {{"type", "Sequence"}, {"normalizers", json::array()}, {"later", 1}}},
      {"/post_processor", {{"type", "ByteLevel"}, {"later", 1}}},
  };
  for (const auto& [pointer, value] : refused) {
    HfFolder folder;
    folder.tokenizer[json::json_pointer(pointer)] = value;
    testing::expect_refused(
        [&] { folder.read(); },
        value.is_object() ? "later" : std::string(pointer).substr(std::string(pointer).rfind('/') + 1));
  }
}

TEST(TokenizerJsonMembers, DecodersThatMakeAnotherTextAreRefused) {
  HfFolder folder;
  for (const json& decoder :
       {json{{"type", "WordPiece"}}, json{{"type", "Metaspace"}},
        json{{"type", "Sequence"}, {"decoders", {{{"type", "ByteLevel"}}, {{"type", "CTC"}}}}}}) {
    folder.tokenizer["decoder"] = decoder;
    testing::expect_refused([&] { folder.read(); }, "decoder");
  }
  folder.tokenizer["decoder"] = nullptr;
  folder.tokenizer["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}};
  folder.tokenizer["model"]["fuse_unk"] = true;
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}};
  const json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  folder.tokenizer["decoder"] = {
      {"type", "Sequence"}, {"decoders", {replace, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}, strip}}};
  EXPECT_NO_THROW(folder.read());
  folder.tokenizer["decoder"]["decoders"][0]["content"] = "_";
  testing::expect_refused([&] { folder.read(); }, "decoders[0].pattern");
  folder.tokenizer["decoder"]["decoders"][0] = strip;
  folder.tokenizer["decoder"]["decoders"][0]["content"] = "x";
  testing::expect_refused([&] { folder.read(); }, "decoders[0].content");
}

}  // namespace
}  // namespace sw
