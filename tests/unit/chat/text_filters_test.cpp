// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "base/error.h"
#include "chat/reasoning.h"
#include "chat/stop_strings.h"

namespace sw {
namespace {

TEST(StopStrings, HoldsBackBeginningsAndStops) {
  StopStrings stops({"\nUser:", "END"});
  EXPECT_EQ(stops.push("Hello\nUs"), "Hello");
  EXPECT_EQ(stops.push("ual"), "\nUsual");
  EXPECT_EQ(stops.push(" E"), " ");
  EXPECT_EQ(stops.push("NEND!"), "EN");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.push("more"), "");
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopStrings, GivesTheRestWhereNoneCame) {
  StopStrings stops({"END"});
  EXPECT_EQ(stops.push("abcEN"), "abc");
  EXPECT_EQ(stops.finish(), "EN");
  EXPECT_FALSE(stops.stopped());
  StopStrings none({});
  EXPECT_EQ(none.push("anything"), "anything");
  EXPECT_THROW(StopStrings({""}), Error);
}

TEST(StopStrings, OverlappingBeginnings) {
  StopStrings stops({"aab"});
  std::string out;
  for (const char c : std::string("aaaab rest")) out += stops.push({&c, 1});
  EXPECT_EQ(out, "aa");
  EXPECT_TRUE(stops.stopped());
}

struct Parts {
  std::string answer, reasoning;
  ReasoningSplitter::Sink sink() {
    return [this](std::string_view text, bool is_reasoning) { (is_reasoning ? reasoning : answer) += text; };
  }
};

TEST(ReasoningSplitter, TellsReasoningFromAnswer) {
  for (const size_t step : {1, 3, 100}) {
    Parts parts;
    ReasoningSplitter splitter(parts.sink(), false);
    const std::string text = "<think>\nLet me see <b>.\n</think>\n\nThe answer < 5.<th";
    for (size_t i = 0; i < text.size(); i += step) splitter.push(std::string_view(text).substr(i, step));
    splitter.finish();
    EXPECT_EQ(parts.reasoning, "Let me see <b>.\n") << step;
    EXPECT_EQ(parts.answer, "The answer < 5.<th") << step;
  }
}

TEST(ReasoningSplitter, BeginsInsideWhereThePromptEndedWithTheTag) {
  Parts parts;
  ReasoningSplitter splitter(parts.sink(), true);
  splitter.push("\nhm</think>yes");
  splitter.finish();
  EXPECT_EQ(parts.reasoning, "hm");
  EXPECT_EQ(parts.answer, "yes");
}

}  // namespace
}  // namespace sw
