// SPDX-License-Identifier: MIT
#include "router/policy.h"

#include <cstring>
#include <gtest/gtest.h>

#include "base/error.h"

namespace sw {
namespace {

/// Refused with a line that quotes the text.
template <class F>
void expect_refused(F&& parse, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    try {
      parse(text);
      ADD_FAILURE() << "accepted '" << text << "'";
    } catch (const Error& e) {
      EXPECT_NE(std::strstr(e.what(), ("'" + text + "'").c_str()), nullptr) << e.what();
    }
  }
}

TEST(ParsePolicy, ExpertCounts) {
  EXPECT_EQ(parse_expert_counts("4"), (std::vector<ExpertCount>{{.k = 4}}));
  EXPECT_EQ(parse_expert_counts("0-3=8,4-19=4,20=2"),
            (std::vector<ExpertCount>{{0, 3, 8}, {4, 19, 4}, {20, 20, 2}}));
}

TEST(ParsePolicy, ExpertCountsRefused) {
  expect_refused(parse_expert_counts,
                 {"",       " ",           "0",           "-1",      "4.5",     "4x",    "x",
                  "+4",     "99999999999", "4,5",         "1=",      "=4",      "0-3=",  "0-3=0",
                  "0-3=-2", "3-0=4",       "-3=4",        "0--3=4",  "0-=4",    "-=4",   "0-3=8,",
                  ",0-3=8", "0-3=8,,4=2",  "0-3=8,3-5=4", "2=1,2=1", "0-3=8,4", "1=2=3", "0-3-5=2"});
}

TEST(ParsePolicy, ThresholdTexts) {
  EXPECT_EQ(parse_threshold("1,0.2"), (Threshold{1, 0.2f}));
  EXPECT_EQ(parse_threshold("6,1"), (Threshold{6, 1.0f}));
  EXPECT_EQ(parse_threshold("2,0"), (Threshold{2, 0.0f}));
  EXPECT_EQ(parse_threshold("2,1e-3"), (Threshold{2, 1e-3f}));
}

TEST(ParsePolicy, ThresholdRefused) {
  expect_refused(parse_threshold, {"", "1", "1,", ",0.2", "0,0.2", "-1,0.2", "1,nan", "1,-nan", "1,inf",
                                   "1,1.0001", "1,-0.1", "1,0.2,3", "1;0.2", "a,b", "1,1e999", "1, 0.2"});
}

TEST(ParsePolicy, Masks) {
  EXPECT_EQ(parse_expert_mask("3:0-7,12"), (std::vector<ExpertMask>{{3, 0, 7}, {3, 12, 12}}));
  EXPECT_EQ(parse_expert_mask("0:5"), (std::vector<ExpertMask>{{0, 5, 5}}));
}

TEST(ParsePolicy, MasksRefused) {
  expect_refused(parse_expert_mask, {"", "3", "3:", ":1", "3:7-0", "3:-1", "-3:1", "3:1,", "3:1,,2", "3:x",
                                     "3:1:2", "3:1-2-3", "3:99999999999"});
}

TEST(ParsePolicy, ErrorsAreOneReadableLine) {
  try {
    parse_expert_counts("0-3=8,2-4=1");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(
        e.what(),
        "cannot read the number of experts, a layer is named twice: expected N, or LAYER=N and FIRST-LAST=N "
        "separated by commas, got '2-4=1' in '0-3=8,2-4=1'");
  }
}

TEST(PolicyList, NamesVariationsOfABase) {
  const RoutingPolicy base{.masks = {{3, 0, 1}}};
  const std::vector<NamedPolicy> list =
      parse_policy_list("default,standard,grouped+experts=4,experts-decode=2,threshold=1:0.3", base);
  ASSERT_EQ(list.size(), 5u);
  EXPECT_EQ(list[0].name, "default");
  EXPECT_EQ(list[0].policy, base);
  EXPECT_EQ(list[1].policy.grouped, false);
  EXPECT_EQ(list[2].name, "grouped+experts=4");
  EXPECT_EQ(list[2].policy.grouped, true);
  EXPECT_EQ(list[2].policy.experts_decode, (std::vector<ExpertCount>{{.k = 4}}));
  EXPECT_EQ(list[3].policy.experts_prefill, base.experts_prefill);
  EXPECT_EQ(list[4].policy.threshold, (Threshold{1, 0.3f}));
  EXPECT_EQ(list[4].policy.masks, base.masks);
  for (const char* wrong :
       {"", "default,", "fast", "experts=", "experts=0", "experts=x", "threshold=1", "standard+"})
    EXPECT_THROW(parse_policy_list(wrong), Error) << wrong;
}

}  // namespace
}  // namespace sw
