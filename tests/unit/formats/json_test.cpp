// SPDX-License-Identifier: MIT
#include "formats/json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/refusal.h"

namespace sw {
namespace {

void expect_refused(const std::string& text, const std::string& part, uint64_t offset = 0) {
  testing::expect_refused([&] { parse_json(text, "x.json", offset); }, part);
}

std::string nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(Json, Parses) {
  const auto value = parse_json(R"({"a":[1,-2,0.5,"x",null,true],"b":{"a":1},"c":{"a":2}})", "x.json");
  EXPECT_EQ(value["a"][1], -2);
  EXPECT_EQ(value["c"]["a"], 2);
}

TEST(Json, IntegersBeyond64BitsKeepTheirDigitsWhereTheOrderIsKept) {
  using Json = nlohmann::ordered_json;
  const std::string text =
      "[18446744073709551615,18446744073709551616,-9223372036854775808,-9223372036854775809,1e30,10.0]";
  const Json value = parse_ordered_json(text, "x.json");
  const auto digits = [](std::string_view s) { return Json::binary({s.begin(), s.end()}, kIntegerDigits); };
  EXPECT_EQ(value[0], UINT64_MAX);
  EXPECT_EQ(value[1], digits("18446744073709551616"));
  EXPECT_EQ(value[2], INT64_MIN);
  EXPECT_EQ(value[3], digits("-9223372036854775809"));
  EXPECT_EQ(value[4], 1e30);
  EXPECT_TRUE(value[5].is_number_float());
  EXPECT_EQ(parse_json(text, "x.json")[1], 18446744073709551616.0);
}

TEST(Json, DepthIsLimited) {
  EXPECT_NO_THROW(parse_json(nested(64), "x.json"));
  expect_refused(nested(65), "nested");
  expect_refused(nested(1'000'000), "nested");
}

TEST(Json, NamesAreComparedWithinOneObjectOnly) {
  EXPECT_NO_THROW(parse_json(R"([{"a":{"b":1}},{"a":{"b":1}}])", "x.json"));
  EXPECT_NO_THROW(parse_json(R"({"a":{"a":1},"b":{"a":1}})", "x.json"));
  expect_refused(R"({"a":{"b":1},"a":2})", "twice");
  expect_refused(R"({"x":{"b":1,"c":{},"b":2}})", "at name b");
}

TEST(Json, ErrorsNameTheOffsetInTheFile) {
  expect_refused("[1,x]", "x.json, offset 103", 100);
  expect_refused("", "offset 0");
  expect_refused("[1e999]", "x.json, JSON at offset 100: got number overflow", 100);
  expect_refused("[\"\xff\"]", "offset");
  const std::string endless = "[\"" + std::string(1'000'000, 'a');
  EXPECT_LT(testing::refusal([&] { parse_json(endless, "x.json"); }).size(), 500u);
}

}  // namespace
}  // namespace sw
