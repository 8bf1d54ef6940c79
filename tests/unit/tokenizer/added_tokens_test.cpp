// SPDX-License-Identifier: MIT
// Added tokens, their flags and the ends of an answer, as a folder's files say them. Ids are those that
// AutoTokenizer (transformers 5.24.0) gives for the same files.
#include <algorithm>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/mixed_strings.h"
#include "unit/tokenizer/through_gguf.h"
#include "unit/tokenizer/tokenizer_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;
using Ids = std::vector<int32_t>;

Ids encode(const HfFolder& folder, const std::string& text) {
  const TokenizerSpec spec = folder.read();
  Ids ids = Tokenizer(spec).encode(text);
  EXPECT_EQ(Tokenizer(testing::through_gguf(spec)).encode(text), ids) << text << ", from a GGUF file";
  return ids;
}

TEST(AddedTokens, TheDecoderOfTheConfigAddsWhatIsMissing) {
  HfFolder folder;
  folder.tokenizer_config["added_tokens_decoder"] = {{"257", {{"content", "<s>"}, {"special", true}}},
                                                     {"258", {{"content", "<tool>"}}}};
  EXPECT_EQ(encode(folder, "a<tool>b"), (Ids{97, 258, 98}));
  folder.tokenizer_config["added_tokens_decoder"]["98"] = {{"content", "b"}, {"special", true}};
  EXPECT_EQ(encode(folder, "ab"), (Ids{97, 98})) << "a token of the vocabulary is no longer merged";
}

TEST(AddedTokens, OfTheDecoderMayHaveAnyOrderAndForm) {
  const auto ids = [](const json& tokens, const std::string& text) {
    HfFolder folder;
    json& decoder = folder.tokenizer_config["added_tokens_decoder"];
    decoder = tokens;
    decoder["257"] = {{"content", "<s>"}, {"special", true}};
    return encode(folder, text);
  };
  EXPECT_EQ(ids({{"259", {{"content", "<z>"}}}, {"258", {{"content", "<y>"}}}}, "a<z><y>b"),
            (Ids{97, 259, 258, 98}));
  EXPECT_EQ(ids({{"258", {{"content", "<t"}}}, {"259", {{"content", "<to>"}}}}, "a<to>b<t>c"),
            (Ids{97, 259, 98, 258, 62, 99}));
  EXPECT_EQ(ids({{"258", {{"content", "\n\n\n"}}}}, "a\n\n\nb\n\n"), (Ids{97, 258, 98, 10, 10}));
  EXPECT_EQ(ids({{"258", {{"content", "<t>"}, {"lstrip", true}, {"rstrip", true}}}}, "a <t> b"),
            (Ids{97, 258, 98}));
  EXPECT_EQ(ids({{"258", {{"content", "abab"}}}}, "xababab"), (Ids{120, 258, 256}));
}

TEST(AddedTokens, TheFlagsOfTheConfigWin) {
  HfFolder folder;
  json& in_config = folder.tokenizer_config["added_tokens_decoder"]["257"];
  in_config = {{"content", "<s>"}, {"special", true}, {"rstrip", true}};
  EXPECT_EQ(encode(folder, "a <s> b"), (Ids{97, 32, 257, 98}));
  folder.tokenizer["added_tokens"][0]["lstrip"] = true;
  in_config["rstrip"] = false;
  EXPECT_EQ(encode(folder, "a <s>"), (Ids{97, 32, 257})) << "which says no lstrip";
}

TEST(AddedTokens, ATokenNamedAsSpecialIsFoundInText) {
  HfFolder folder;
  folder.tokenizer_config["eos_token"] = "ab";
  const TokenizerSpec spec = folder.read();
  EXPECT_EQ(spec.eos, 256);
  EXPECT_EQ(Tokenizer(spec).decode(Ids{120, 256}, true), "x");
  EXPECT_EQ(encode(folder, "xabab"), (Ids{120, 256, 256}));
  folder.tokenizer_config = {{"additional_special_tokens", {"ab"}}};
  EXPECT_EQ(Tokenizer(folder.read()).decode(Ids{120, 256}, true), "x");
}

TEST(AddedTokens, NamedOnesThatAreMissingGetTheNextIds) {
  HfFolder folder;
  folder.tokenizer_config = {{"additional_special_tokens", {"<x>", "<s>"}},
                             {"image_token", "<img>"},
                             {"pad_token", {{"content", "<pad>"}, {"lstrip", true}, {"normalized", false}}},
                             {"bos_token", "<b>"},
                             {"mask_token", nullptr},
                             {"add_bos_token", false},
                             {"cls_token", "<c>"}};
  const TokenizerSpec spec = folder.read();
  EXPECT_EQ(spec.bos, 258);
  EXPECT_EQ(spec.pad, 259);
  EXPECT_EQ(encode(folder, "<b> <pad><c><img><x><s>"), (Ids{258, 259, 260, 261, 262, 257}));
  EXPECT_EQ(Tokenizer(spec).decode(Ids{120, 258, 261}, true), "x") << "all are special";
}

TEST(AddedTokens, OneWithoutARowOfTheEmbeddingIsLeftOut) {
  HfFolder folder;
  folder.tokenizer_config = {{"pad_token", "<p>"}, {"unk_token", "<u>"}};
  folder.config = {{"vocab_size", 259}};
  const TokenizerSpec spec = folder.read();
  EXPECT_EQ(spec.unk, 258);
  EXPECT_EQ(spec.pad, std::nullopt);
  EXPECT_EQ(encode(folder, "<u><p>"), (Ids{258, 60, 112, 62}));
  folder.tokenizer["added_tokens"].push_back({{"id", 258}, {"content", "<in json>"}});
  EXPECT_EQ(folder.read().unk, std::nullopt) << "tokenizer.json's own come first";
  folder.config = {{"vocab_size", 258}};
  EXPECT_EQ(folder.read().tokens.size(), 258u);
  folder.config = {{"vocab_size", 200}};
  EXPECT_EQ(folder.read().tokens.size(), 257u)
      << "a token of the vocabulary itself is kept, for the converter to refuse";
}

TEST(AddedTokens, IdsThatDependOnALostOrderAreRefused) {
  HfFolder folder;
  folder.tokenizer_config["extra_special_tokens"] = {{"image_token", "<img>"}};
  EXPECT_EQ(encode(folder, "<img>"), (Ids{258}));
  folder.tokenizer_config["audio_token"] = "<audio>";
  EXPECT_THROW(folder.read(), Error);
}

TEST(AddedTokens, FilesOfOldAreReadWhereTheConfigHasNoDecoder) {
  HfFolder folder;
  folder.write("special_tokens_map.json", R"({"pad_token": "<p>", "additional_special_tokens": ["<x>"]})");
  folder.write("added_tokens.json", R"({"<old>": 258, "<s>": 257})");
  EXPECT_EQ(encode(folder, "<old><p><x><s>"), (Ids{258, 259, 260, 257}));
  EXPECT_EQ(Tokenizer(folder.read()).decode(Ids{257, 258}, true), "<old>") << "the one that is not special";
  folder.tokenizer_config["added_tokens_decoder"] = {{"257", {{"content", "<s>"}, {"special", true}}}};
  EXPECT_EQ(encode(folder, "<p>"), (Ids{60, 112, 62}));
}

TEST(AddedTokens, MixedStringsGiveTheIdsOfTheLibrary) {
  const testing::MixedStrings mixed = testing::read_mixed_strings();
  const TokenizerSpec spec =
      read_tokenizer_json(testing::source_dir() / "tests/data/added_tokens/flags.json");
  const Tokenizer direct(spec), again(testing::through_gguf(spec));
  std::vector<size_t> n_found(spec.tokens.size());
  testing::expect_column(mixed, "ids:added_tokens", [&](const std::string& text) {
    const Ids ids = direct.encode(text);
    EXPECT_EQ(again.encode(text), ids) << "through GGUF: " << text;
    for (const int32_t id : ids) ++n_found[static_cast<size_t>(id)];
    return testing::fixture_hash(std::span<const int32_t>(ids));
  });
  // "foo" only ever stands within a word.
  EXPECT_EQ(std::count(n_found.begin() + 256, n_found.end(), 0u), 3);
}

// The ids of `tokenizers` 0.23.3.
TEST(AddedTokens, SomeAreNotFoundWithinWords) {
  HfFolder folder;
  json& token = folder.tokenizer["added_tokens"][0];
  token = {{"id", 257}, {"content", "aa"}, {"single_word", true}};
  EXPECT_EQ(encode(folder, "aa aa."), (Ids{257, 32, 257, 46}));
  EXPECT_EQ(encode(folder, "xaa aa_ aa1"), (Ids{120, 97, 97, 32, 97, 97, 95, 32, 97, 97, 49}));
  EXPECT_EQ(encode(folder, "aaa"), (Ids{97, 97, 97})) << "what is passed over is passed over whole";
  EXPECT_EQ(encode(folder, "aa\xFF"), (Ids{257, 255})) << "no part of a word, and of no text of the library";
  token["lstrip"] = true;
  EXPECT_EQ(encode(folder, "x aa"), (Ids{120, 257}));
}

TEST(AddedTokens, WhiteSpaceThatOneTookMayBeTheNext) {
  HfFolder folder;
  folder.tokenizer["added_tokens"] = {{{"id", 257}, {"content", "<s>"}, {"special", true}, {"rstrip", true}},
                                      {{"id", 258}, {"content", "\n"}, {"normalized", false}}};
  EXPECT_EQ(encode(folder, "<s> \n a"), (Ids{257, 258, 32, 97}));
  EXPECT_EQ(encode(folder, "<s>\n\n"), (Ids{257, 258, 258}));
}

TEST(AddedTokens, SplitSpecialTokensIsRefused) {
  HfFolder folder;
  folder.tokenizer_config = {{"split_special_tokens", false}};
  EXPECT_NO_THROW(folder.read());
  folder.tokenizer_config = {{"split_special_tokens", true}};
  EXPECT_THROW(folder.read(), Error);
}

TEST(AddedTokens, WrongIdsAreRefusedByName) {
  for (const char* id : {"x", "", "-1", "99999", "12345678901234567890", "97"}) {
    HfFolder folder;
    folder.tokenizer_config["added_tokens_decoder"] = {{id, {{"content", "<t>"}}}};
    try {
      folder.read();
      ADD_FAILURE() << "accepted: " << id;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("added_tokens_decoder"), std::string::npos) << error.what();
    }
  }
}

TEST(AddedTokens, NormalizedOnesAreFoundAsTheNormalizerSpellsThem) {
  HfFolder folder;
  folder.tokenizer["normalizer"] = {{"type", "NFC"}};
  json& token = folder.tokenizer["added_tokens"][0];
  token = {{"id", 257}, {"content", "Cafe\u0301"}, {"normalized", true}};
  EXPECT_EQ(encode(folder, "Caf\u00e9"), Ids{257});
  EXPECT_EQ(encode(folder, "xCafe\u0301y"), (Ids{120, 257, 121}));
  token["normalized"] = false;
  EXPECT_EQ(encode(folder, "Caf\u00e9"), (Ids{67, 97, 102, 195, 169}));
  EXPECT_EQ(encode(folder, "Cafe\u0301"), Ids{257});
  // The text's next character may compose with the token's last.
  token["content"] = "<e>";
  EXPECT_EQ(encode(folder, "<e>\u0338"), (Ids{257, 204, 184}));
  token["normalized"] = true;
  EXPECT_EQ(encode(folder, "<e>\u0338"), (Ids{60, 101, 226, 137, 175}));
  EXPECT_EQ(encode(folder, "<e>x"), (Ids{257, 120}));
}

/// A BPE of ten tokens with marked spaces, and added tokens from id 10 on.
HfFolder with_marked_spaces(const std::vector<json>& added) {
  const std::vector<std::string> words = {"<unk>", "▁", "a", "b", "<", ">", "t", "▁a", "▁b", "▁t"};
  json vocab;
  for (size_t i = 0; i < words.size(); ++i) vocab[words[i]] = i;
  HfFolder folder;
  folder.tokenizer["model"] = {{"type", "BPE"},
                               {"vocab", vocab},
                               {"merges", {"▁ a", "▁ b", "▁ t"}},
                               {"unk_token", "<unk>"},
                               {"fuse_unk", true}};
  folder.tokenizer["pre_tokenizer"] = nullptr;
  folder.tokenizer["normalizer"] = json::parse(R"({"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "▁"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})");
  folder.tokenizer["added_tokens"] = json::array();
  for (const json& token : added) {
    folder.tokenizer["added_tokens"].push_back(token);
    folder.tokenizer["added_tokens"].back()["id"] = 9 + folder.tokenizer["added_tokens"].size();
  }
  return folder;
}

json normalized(const char* content) { return {{"content", content}, {"normalized", true}}; }

// The ids of `tokenizers` 0.23.3.
TEST(AddedTokens, NormalizedOnesAmongMarkedSpaces) {
  const HfFolder folder = with_marked_spaces({normalized("<t>")});
  EXPECT_EQ(encode(folder, "<t>"), Ids{10});
  EXPECT_EQ(encode(folder, "a<t>b"), (Ids{7, 4, 6, 5, 3}));
  EXPECT_EQ(encode(folder, "a <t>b"), (Ids{7, 10, 3}));
  EXPECT_EQ(encode(folder, " <t> b"), (Ids{1, 10, 8}));
  EXPECT_EQ(encode(folder, "<t><t>"), (Ids{10, 4, 6, 5}));
}

// Likewise.
TEST(AddedTokens, NormalizedOnesWithSpacesAndNeighbours) {
  const HfFolder inside = with_marked_spaces({normalized("a b")});
  EXPECT_EQ(encode(inside, "a b a b"), (Ids{10, 10}));
  EXPECT_EQ(encode(inside, " a b"), (Ids{1, 10}));
  const HfFolder leading = with_marked_spaces({normalized(" b")});
  EXPECT_EQ(encode(leading, "a b"), (Ids{7, 8}));
  EXPECT_EQ(encode(leading, "  b"), (Ids{1, 10}));
  const HfFolder beside =
      with_marked_spaces({normalized("<t>"), {{"content", "<b>"}, {"normalized", false}}});
  EXPECT_EQ(encode(beside, "<b><t>"), (Ids{11, 10}));
  EXPECT_EQ(encode(beside, "a <b> <t>b"), (Ids{7, 1, 11, 1, 10, 3}));
  const HfFolder longer = with_marked_spaces({normalized("<t>"), normalized("<t>a")});
  EXPECT_EQ(encode(longer, "a <t>a"), (Ids{7, 11}));
  EXPECT_EQ(encode(longer, "a <t>b"), (Ids{7, 10, 3}));
}

/// A folder with GLM's names for three control tokens more.
HfFolder with_ends(const json& generation_ends) {
  HfFolder folder;
  int id = 258;
  for (const char* text : {"<|user|>", "<|observation|>", "<|other|>", "<|im_end|>"})
    folder.tokenizer["added_tokens"].push_back({{"id", id++}, {"content", text}, {"special", true}});
  folder.generation_config = {{"eos_token_id", generation_ends}};
  folder.tokenizer_config = {{"eos_token", "<s>"}};
  return folder;
}

Ids ends_of(const HfFolder& folder) {
  const TokenizerSpec spec = folder.read();
  Ids ends = Tokenizer(spec).end_of_generation();
  EXPECT_EQ(Tokenizer(testing::through_gguf(spec)).end_of_generation(), ends) << "from a GGUF file";
  std::erase(ends, 261);  // known by its name
  return ends;
}

TEST(EndTokens, AllOfTheFilesReachTheTokenizer) {
  EXPECT_EQ(ends_of(with_ends(json::array({257, 258, 259}))), (Ids{257, 258, 259}));
  EXPECT_EQ(ends_of(with_ends(260)), (Ids{257, 260})) << "one id, another than the config's";
  EXPECT_EQ(ends_of(with_ends(nullptr)), Ids{257});
  HfFolder in_config = with_ends(json::array({257, 97}));
  in_config.config = {{"eos_token_id", {258, 98, 257}}};
  EXPECT_EQ(ends_of(in_config), (Ids{97, 98, 257, 258})) << "both files, plain tokens too";
  HfFolder nested = with_ends(nullptr);
  nested.config = {{"text_config", {{"eos_token_id", {259, 260}}}}};
  EXPECT_EQ(ends_of(nested), (Ids{257, 259, 260}));
  HfFolder unnamed = with_ends(json::array({260, 258}));
  unnamed.tokenizer_config = nullptr;
  EXPECT_EQ(unnamed.read().eos, 260) << "the first, where nothing names one";
}

TEST(EndTokens, HaveTheNamesThatOtherReadersKnow) {
  const TokenizerSpec glm = with_ends(json::array({257, 258, 259})).read();
  EXPECT_EQ(glm.eos, 257);
  EXPECT_EQ(glm.eot, 258);
  EXPECT_EQ(glm.eom, 259);
  EXPECT_EQ(glm.further_ends, Ids{});
  const TokenizerSpec many = with_ends(json::array({257, 258, 260, 261, 97})).read();
  EXPECT_EQ(many.further_ends, (Ids{260, 97})) << "<|im_end|> needs no key";
}

TEST(ChatTemplatesOfFiles, ReachAGgufFileAndComeBack) {
  HfFolder folder;
  folder.tokenizer_config["chat_template"] = {{{"name", "tool_use"}, {"template", "T"}},
                                              {{"name", "default"}, {"template", "D"}},
                                              {{"name", "rag"}, {"template", "R"}}};
  const TokenizerSpec spec = folder.read(), again = testing::through_gguf(spec);
  EXPECT_EQ(again.chat_template, "D");
  EXPECT_EQ(again.named_templates, spec.named_templates);
  EXPECT_EQ(again.named_templates.size(), 2u);
}

TEST(EndTokens, WhatIsNoIdIsRefused) {
  EXPECT_THROW(with_ends("</s>").read(), Error);
  EXPECT_THROW(with_ends(json::array({257, 1.5})).read(), Error);
  EXPECT_EQ(ends_of(with_ends(json::array({257, 5000, -1}))), Ids{257}) << "rows that pad the embedding";
}

}  // namespace
}  // namespace sw
