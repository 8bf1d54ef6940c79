// SPDX-License-Identifier: MIT
#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/tokenizer_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;
using Ids = std::vector<int32_t>;

/// The message of the error that reading gives.
std::string refusal(const HfFolder& folder) {
  try {
    const Tokenizer tokenizer(folder.read());
  } catch (const Error& error) {
    return error.what();
  }
  return "(accepted)";
}

TEST(ReadHf, BothFormsOfMergesAreTheSame) {
  HfFolder folder;
  const Ids expected = {256, 'c'};
  EXPECT_EQ(Tokenizer(folder.read()).encode("abc"), expected);
  folder.tokenizer["model"]["merges"] = json::array({json::array({"a", "b"})});
  ASSERT_TRUE(folder.tokenizer["model"]["merges"][0].is_array());
  EXPECT_EQ(Tokenizer(folder.read()).encode("abc"), expected);
}

TEST(ReadHf, PatternsComeFromTheFile) {
  HfFolder folder;
  const auto patterns = [&](json pre_tokenizer) {
    folder.tokenizer["pre_tokenizer"] = std::move(pre_tokenizer);
    return folder.read().patterns;
  };
  const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto sequence = [&](const json& part) {
    return json{{"type", "Sequence"}, {"pretokenizers", {part, bytes}}};
  };
  const auto split = [](const char* behavior, bool invert) {
    return json{
        {"type", "Split"}, {"pattern", {{"Regex", "x+"}}}, {"behavior", behavior}, {"invert", invert}};
  };
  using Patterns = std::vector<std::string>;
  EXPECT_EQ(patterns(bytes), Patterns{});
  EXPECT_EQ(patterns({{"type", "ByteLevel"}, {"add_prefix_space", false}}).size(), 1u);
  EXPECT_EQ(patterns(sequence(split("Isolated", false))), Patterns{"x+"});
  EXPECT_EQ(patterns(sequence(split("Removed", true))), Patterns{"x+"});
  EXPECT_EQ(patterns(sequence({{"type", "Digits"}, {"individual_digits", true}})), Patterns{"\\p{N}"});
  EXPECT_EQ(patterns(sequence({{"type", "Digits"}, {"individual_digits", false}})), Patterns{"\\p{N}+"});
}

TEST(ReadHf, SpecialIdsComeFromTheFilesBeside) {
  HfFolder folder;
  folder.config = {{"eos_token_id", 7}, {"bos_token_id", 1}, {"pad_token_id", -1}};
  folder.tokenizer_config = {{"bos_token", {{"content", "<s>"}}}, {"add_bos_token", true}};
  const TokenizerSpec spec = folder.read();
  EXPECT_EQ(spec.bos, 257) << "tokenizer_config.json comes before config.json";
  EXPECT_EQ(spec.eos, 7);
  EXPECT_EQ(spec.pad, std::nullopt);
  EXPECT_EQ(spec.prefix, Ids{257});
  EXPECT_EQ(Tokenizer(spec).encode("<s>a", {.add_special = true}), (Ids{257, 257, 'a'}));
  EXPECT_EQ(Tokenizer(spec).encode("<s>", {.parse_special = false}), (Ids{'<', 's', '>'}));
}

TEST(ReadHf, TheTemplateOfThePostProcessorIsKept) {
  HfFolder folder;
  const json special = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
             text = {{"Sequence", {{"id", "A"}}}};
  folder.tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {special, special, text, special}},
      {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {257}}, {"tokens", {"<s>"}}}}}}};
  EXPECT_EQ(Tokenizer(folder.read()).encode("a", {.add_special = true}), (Ids{257, 257, 'a', 257}));
  folder.tokenizer["post_processor"]["special_tokens"]["<s>"]["ids"] = {4000};
  EXPECT_NE(refusal(folder).find("post_processor"), std::string::npos);
}

TEST(ReadHf, ChatTemplates) {
  HfFolder folder;
  folder.write("chat_template.jinja", "from the file");
  EXPECT_EQ(folder.read().chat_template, "from the file");
  folder.tokenizer_config["chat_template"] = "from the config";
  EXPECT_EQ(folder.read().chat_template, "from the file") << "as transformers has it";
  folder.tokenizer_config["chat_template"] = {{{"name", "tool_use"}, {"template", "T"}},
                                              {{"name", "default"}, {"template", "D"}}};
  EXPECT_EQ(folder.read().chat_template, "from the file");
  EXPECT_EQ(folder.read().named_templates.at("tool_use"), "T");
  std::filesystem::remove(folder.path() / "chat_template.jinja");
  EXPECT_EQ(folder.read().chat_template, "D");
  std::filesystem::create_directory(folder.path() / "additional_chat_templates");
  folder.write("additional_chat_templates/tool_use.jinja", "T2");
  folder.write("additional_chat_templates/rag.jinja", "R");
  const Tokenizer tokenizer(folder.read());
  EXPECT_EQ(tokenizer.chat_template(), "D");
  EXPECT_EQ(tokenizer.chat_template("tool_use"), "T2");
  EXPECT_EQ(tokenizer.chat_template("rag"), "R");
  EXPECT_EQ(tokenizer.chat_template("none"), "");
}

TEST(ReadHf, GapsBetweenIdsAreUnusedTokens) {
  HfFolder folder;
  folder.tokenizer["added_tokens"][0]["id"] = 300;
  const Tokenizer tokenizer(folder.read());
  EXPECT_EQ(tokenizer.n_vocab(), 301);
  EXPECT_EQ(tokenizer.piece(280), "");
  EXPECT_EQ(tokenizer.encode("<s>"), Ids{300});
}

TEST(ReadHf, OddFilesAreRefusedByFieldName) {
  struct Case {
    const char* pointer;
    json value;
    const char* named;
  };
  const json split_string =
      json::parse(R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated"})");
  const std::vector<Case> cases = {
      {"/model", nullptr, "model"},
      {"/model", 3, "model"},
      {"/model/type", "WordPiece", "model.type"},
      {"/model/type", "Unigram", "pre_tokenizer"},
      {"/model/byte_fallback", true, "byte_fallback"},
      {"/model/end_of_word_suffix", "</w>", "end_of_word_suffix"},
      {"/model/continuing_subword_prefix", "##", "continuing_subword_prefix"},
      {"/model/unk_token", "<nowhere>", "unk_token"},
      {"/model/ignore_merges", "yes", "ignore_merges"},
      {"/model/vocab", json::array(), "model.vocab"},
      {"/model/vocab/ab", -1, "vocab['ab']"},
      {"/model/vocab/ab", 1.5, "vocab['ab']"},
      {"/model/vocab/ab", "1", "vocab['ab']"},
      {"/model/vocab/ab", 1'000'000, "vocab['ab']"},
      {"/model/vocab/ab", uint64_t{1} << 63, "vocab['ab']"},
      {"/model/vocab/ab", 97, "two tokens have the id 97"},
      {"/model/merges", 5, "model.merges"},
      {"/model/merges", {"a"}, "merge 0"},
      {"/model/merges", {"a b", "ab c"}, "merge 1"},
      {"/model/merges", {"a zz"}, "'zz'"},
      {"/model/merges", {{{"a", 1}}}, "model.merges"},
      {"/model/merges", json::array({json::array({"a", 1})}), "merges[0]"},
      {"/added_tokens", 5, "added_tokens"},
      {"/added_tokens", {5}, "added_tokens[0]"},
      {"/added_tokens/0/id", 97, "two tokens have the id 97"},
      {"/added_tokens/0/content", 7, "content"},
      {"/added_tokens/0/content", "ab", "another id"},
      {"/added_tokens/0/single_word", "yes", "single_word"},
      {"/normalizer", {{"type", "Lowercase"}}, "normalizer.type"},
      {"/normalizer", {{"type", "Prepend"}, {"prepend", "x"}}, "normalizer.prepend"},
      {"/normalizer", {{"type", "Prepend"}, {"prepend", "▁"}}, "spaces and bytes"},
      {"/normalizer", {{"type", "Replace"}, {"pattern", {{"String", "x"}}}}, "normalizer.pattern"},
      {"/normalizer", {{"type", "Sequence"}, {"normalizers", 3}}, "normalizer.normalizers"},
      {"/pre_tokenizer", nullptr, "pre_tokenizer"},
      {"/pre_tokenizer", {{"type", "Whitespace"}}, "pre_tokenizer.type"},
      {"/pre_tokenizer", {{"type", "Metaspace"}}, "pre_tokenizer.replacement"},
      {"/pre_tokenizer", split_string, "pre_tokenizer"},
      {"/pre_tokenizer/add_prefix_space", true, "add_prefix_space"},
      {"/post_processor", {{"type", "Other"}}, "post_processor.type"},
  };
  for (const auto& [pointer, value, named] : cases) {
    HfFolder folder;
    folder.tokenizer[json::json_pointer(pointer)] = value;
    const std::string message = refusal(folder);
    EXPECT_NE(message.find(named), std::string::npos) << pointer << " = " << value << ": " << message;
    EXPECT_NE(message, "(accepted)") << pointer << " = " << value;
  }
}

TEST(ReadHf, PartsAfterByteLevelSeeTheAlphabet) {
  HfFolder folder;
  const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const json digits = {{"type", "Digits"}, {"individual_digits", false}};
  const auto split = [](const char* pattern) {
    return json{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
  };
  const json punctuation = {{"type", "Punctuation"}, {"behavior", "Contiguous"}};
  const auto sequence = [](const json& parts) {
    return json{{"type", "Sequence"}, {"pretokenizers", parts}};
  };
  folder.tokenizer["pre_tokenizer"] = sequence({punctuation, bytes, digits, split("[0-9][0-9][0-9]")});
  const auto& falcon = find_pre_tokenizer("falcon")->patterns;
  EXPECT_TRUE(std::ranges::equal(folder.read().patterns, falcon));
  for (const char* pattern : {"\\d", "[ ]", "é", ""}) {
    folder.tokenizer["pre_tokenizer"] = sequence({bytes, split(pattern)});
    EXPECT_NE(refusal(folder).find("pretokenizers[1].pattern"), std::string::npos) << pattern;
  }
  folder.tokenizer["pre_tokenizer"] = sequence({bytes, bytes});
  EXPECT_NE(refusal(folder).find("pretokenizers[1].type"), std::string::npos);
}

TEST(ReadHf, SomeTokensTakeTheWhiteSpaceBesideThem) {
  HfFolder folder;
  auto& token = folder.tokenizer["added_tokens"][0];
  token["rstrip"] = true;
  EXPECT_EQ(Tokenizer(folder.read()).encode("a <s> \u00A0\n b"), (Ids{'a', ' ', 257, 'b'}));
  token["lstrip"] = true;
  EXPECT_EQ(Tokenizer(folder.read()).encode("a\u2003 <s> b"), (Ids{'a', 257, 'b'}));
  EXPECT_EQ(Tokenizer(folder.read()).encode(" <s> <s>"), (Ids{257, 257}));
  EXPECT_EQ(Tokenizer(folder.read()).encode(" <s>", {.parse_special = false}).size(), 4u);
}

TEST(ReadHf, BrokenJsonIsRefused) {
  HfFolder folder;
  for (const std::string& text :
       {std::string("{"), std::string(100'000, '['), std::string("\xFF"), std::string("[]")}) {
    folder.write("tokenizer.json", text);
    EXPECT_THROW(read_tokenizer_json(folder.path() / "tokenizer.json"), Error) << text.substr(0, 10);
  }
  EXPECT_THROW(read_tokenizer_json(folder.path() / "nothing.json"), Error);
}

}  // namespace
}  // namespace sw
