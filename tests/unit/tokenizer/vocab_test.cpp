// SPDX-License-Identifier: MIT
// Whole vocabularies as mainline's test suite has them: texts and the ids that each must give.
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "support/test_data.h"
#include "support/zstd.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/mixed_strings.h"

namespace sw {
namespace {

using Ids = std::vector<int32_t>;

std::vector<std::string> read_texts(const std::filesystem::path& path) {
  const std::string separator = "\n__ggml_vocab_test__\n", file = read_file(path);
  std::vector<std::string> texts;
  for (size_t from = 0; from < file.size();) {
    const size_t end = std::min(file.find(separator, from), file.size());
    texts.push_back(file.substr(from, end - from));
    from = end + separator.size();
  }
  return texts;
}

std::vector<Ids> read_ids(const std::filesystem::path& path) {
  std::vector<Ids> lists;
  std::istringstream file(read_file(path));
  for (std::string line; std::getline(file, line);) {
    std::istringstream numbers(line);
    lists.emplace_back(std::istream_iterator<int32_t>(numbers), std::istream_iterator<int32_t>());
  }
  return lists;
}

class Vocab : public ::testing::TestWithParam<const char*> {};

TEST_P(Vocab, TextsGiveTheirIds) {
  const std::string name = std::string("vocab/ggml-vocab-") + GetParam() + ".gguf";
  SW_DATA_OR_SKIP(packed, name + ".zst");
  const auto texts = read_texts(testing::find_data(name + ".inp").value());
  const auto lists = read_ids(testing::find_data(name + ".out").value());
  ASSERT_GT(texts.size(), 40u);
  ASSERT_EQ(texts.size(), lists.size());

  const testing::TempDir folder;
  std::ofstream(folder.path() / "vocab.gguf", std::ios::binary) << testing::read_zst(packed);
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile(folder.path() / "vocab.gguf"));
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(texts[i], {.parse_special = false}), lists[i]) << '"' << texts[i] << '"';
    EXPECT_EQ(tokenizer.decode(lists[i]), texts[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Vocab, ::testing::Values("gpt-2", "llama-bpe", "qwen2", "llama-spm"));

class BigTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(BigTokenizer, MixedStringsGiveTheIdsOfTheLibrary) {
  SW_DATA_OR_SKIP(packed, std::string("tokenizers/") + GetParam() + "-tokenizer.json.zst");
  const testing::TempDir folder;
  std::ofstream(folder.path() / "tokenizer.json", std::ios::binary) << testing::read_zst(packed);
  const Tokenizer tokenizer = Tokenizer::from_json(folder.path() / "tokenizer.json");
  const testing::MixedStrings mixed = testing::read_mixed_strings();
  size_t n_special = 0;
  testing::expect_column(mixed, std::string("ids:") + GetParam(), [&](const std::string& text) {
    const Ids ids = tokenizer.encode(text);
    n_special += std::any_of(ids.begin(), ids.end(), [&](int32_t id) { return tokenizer.is_special(id); });
    return testing::fixture_hash(std::span<const int32_t>(ids));
  });
  EXPECT_GT(n_special, 200u);
}

INSTANTIATE_TEST_SUITE_P(All, BigTokenizer, ::testing::Values("qwen3", "deepseek_v3"));

}  // namespace
}  // namespace sw
