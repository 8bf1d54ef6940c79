// SPDX-License-Identifier: MIT
#include "tokenizer/stream_decoder.h"

#include <gtest/gtest.h>

#include "support/test_data.h"

namespace sw {
namespace {

using Ids = std::vector<int32_t>;
const std::string kReplacement = "\uFFFD";

class Streaming : public ::testing::Test {
 protected:
  /// Tokenizer A; skips where its data is not there.
  void SetUp() override {
    SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
    tokenizer_.emplace(Tokenizer::from_hf(folder));
  }
  /// One id a byte.
  Ids bytes(std::string_view text) const {
    Ids ids;
    for (const char c : text) {
      const Ids one = tokenizer_->encode(std::string_view(&c, 1));
      ids.insert(ids.end(), one.begin(), one.end());
    }
    EXPECT_EQ(ids.size(), text.size());
    return ids;
  }
  std::vector<std::string> stream(const Ids& ids) const {
    StreamDecoder decoder(*tokenizer_);
    std::vector<std::string> parts;
    for (const int32_t id : ids) parts.push_back(decoder.push(id));
    parts.push_back(decoder.finish());
    return parts;
  }
  std::optional<Tokenizer> tokenizer_;
};

using Parts = std::vector<std::string>;

TEST_F(Streaming, HoldsBackACharacterUntilItIsWhole) {
  EXPECT_EQ(stream(bytes("a😀é")), (Parts{"a", "", "", "", "😀", "", "é", ""}));
}

TEST_F(Streaming, JoinsToTheWholeText) {
  const std::string text = "Größe 👩‍👩‍👧 中文 <think>\n\n";
  std::string joined;
  for (const std::string& part : stream(tokenizer_->encode(text))) joined += part;
  EXPECT_EQ(joined, text);
}

TEST_F(Streaming, BrokenBytesBecomeReplacementCharacters) {
  EXPECT_EQ(stream(bytes("\xE2\x82")), (Parts{"", "", kReplacement}));
  EXPECT_EQ(stream(bytes("\xFF"
                         "a")),
            (Parts{kReplacement, "a", ""}));
  EXPECT_EQ(stream(bytes("\xE2\x82"
                         "a")),
            (Parts{"", "", kReplacement + "a", ""}));
  EXPECT_EQ(stream(bytes("\xF0\x9F\xE2\x82\xAC")), (Parts{"", "", kReplacement, "", "€", ""}));
  EXPECT_EQ(stream(bytes("\xED\xA0\x80")), (Parts{"", kReplacement + kReplacement, kReplacement, ""}));
}

TEST_F(Streaming, ASpecialTokenEndsAnOpenCharacter) {
  Ids ids = bytes("\xE2\x82");
  ids.push_back(494);
  EXPECT_EQ(stream(ids), (Parts{"", "", kReplacement + "<|role_end|>", ""}));
}

TEST_F(Streaming, UnknownIdsGiveNothing) { EXPECT_EQ(stream({-1, 500, 1 << 30}), (Parts{"", "", "", ""})); }

TEST_F(Streaming, AfterFinishItIsAsNew) {
  StreamDecoder decoder(*tokenizer_);
  const Ids euro = bytes("€");
  EXPECT_EQ(decoder.push(euro[0]), "");
  EXPECT_EQ(decoder.finish(), kReplacement);
  EXPECT_EQ(decoder.finish(), "");
  for (const size_t i : {0, 1}) EXPECT_EQ(decoder.push(euro[i]), "");
  EXPECT_EQ(decoder.push(euro[2]), "€");
}

}  // namespace
}  // namespace sw
