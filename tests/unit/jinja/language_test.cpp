// SPDX-License-Identifier: MIT
// The language of chat templates against Python's jinja2, case by case.
#include <gtest/gtest.h>

#include "support/jinja_cases.h"

namespace sw {
namespace {

using Json = jinja::Template::Json;

TEST(JinjaLanguage, EveryCaseIsAsJinja2RendersIt) {
  testing::set_script_clock();
  const Json cases = testing::read_json(testing::chat_data() / "language.json");
  EXPECT_GE(cases.size(), 515u);
  for (const Json& each : cases) {
    const auto source = each.at("template").get<std::string>();
    std::string why;
    const auto text = testing::render_or_refuse(source, each.value("variables", Json::object()), why);
    if (each.contains("raises")) {
      EXPECT_FALSE(text) << source << "\ngave " << text.value_or("");
    } else {
      EXPECT_EQ(text, each.at("text").get<std::string>()) << source << "\n" << why;
    }
  }
}

TEST(JinjaLanguage, TheClockIsNowWithoutAnEpoch) {
  unsetenv("SOURCE_DATE_EPOCH");
  const std::string year = jinja::Template("{{ strftime_now('%Y') }}").render(Json::object());
  EXPECT_GE(std::stoi(year), 2025);
  setenv("SOURCE_DATE_EPOCH", "1709424000", 1);  // 2024-03-03, a Sunday, 0 h
  EXPECT_EQ(jinja::Template("{{ strftime_now('%-d|%e|%_m|%^a|%03d|%-I|%Ey|%-d %B %Y|%%d|%') }}")
                .render(Json::object()),
            "3| 3| 3|SUN|003|12|24|3 March 2024|%d|%");  // as Python's time.strftime
  setenv("SOURCE_DATE_EPOCH", "no number", 1);
  EXPECT_THROW(jinja::Template("{{ strftime_now('%Y') }}").render(Json::object()), Error);
  testing::set_script_clock();
}

}  // namespace
}  // namespace sw
