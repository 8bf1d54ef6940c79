// SPDX-License-Identifier: MIT
// switchyard template as a user meets it.
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ProcessResult;
using testing::run_switchyard;

class Template : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path path = temp_.path() / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  static void expect_refused(const std::vector<std::string>& arguments, int exit_code,
                             const std::string& says) {
    const ProcessResult r = run_switchyard(arguments);
    EXPECT_EQ(r.exit_code, exit_code) << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_TRUE(r.err.starts_with("error: ")) << r.err;
    EXPECT_EQ(r.err.find('\n'), r.err.size() - 1) << r.err;
    EXPECT_NE(r.err.find(says), std::string::npos) << r.err << "does not say: " << says;
  }

 private:
  testing::TempDir temp_;
};

TEST_F(Template, PrintsThePromptAndNothingElse) {
  const std::string source =
      write("t.jinja",
            "{% for m in messages %}\n<{{ m.role }}> {{ m.content }}\n{% endfor %}\n{{ tools | tojson }}");
  const std::string input = write(
      "in.json", R"({"messages": [{"role": "user", "content": "Hellö\n"}], "tools": {"z": 1, "a": 2.0}})");
  const ProcessResult r = run_switchyard({"template", "--template-file", source, "-f", input});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, "<user> Hellö\n\n{\"z\": 1, \"a\": 2.0}") << "order of keys kept, no line end added";
  EXPECT_EQ(r.err, "");
}

TEST_F(Template, KwargsWin) {
  const std::string source = write("t.jinja", "{{ enable_thinking }}{{ a }}");
  const std::string input = write("in.json", R"({"enable_thinking": true, "a": 1})");
  const ProcessResult r = run_switchyard({"template", "--template-file", source, "-f", input,
                                          "--template-kwargs", R"({"enable_thinking": false})"});
  EXPECT_EQ(r.out, "False1") << r.err;
}

TEST_F(Template, TheClockMayStand) {
  const std::string source = write("t.jinja", "{{ strftime_now('%Y-%m-%d %H:%M') }}"),
                    input = write("in.json", "{}");
  const ProcessResult r = run_switchyard({"template", "--template-file", source, "-f", input},
                                         {.environment = {"SOURCE_DATE_EPOCH=1767225600"}});
  EXPECT_EQ(r.out, "2026-01-01 00:00") << r.err;
}

TEST_F(Template, OfAModelWithItsTokens) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  std::ifstream file(folder / "chat.golden.json");
  const auto cases = nlohmann::ordered_json::parse(file);
  for (const auto& golden : cases) {
    const ProcessResult r = run_switchyard({"template", "-m", folder, "-f", write("in.json", golden.dump())});
    EXPECT_EQ(r.out, golden.at("text").get<std::string>()) << r.err;
  }
}

TEST_F(Template, IntegersOfAnySizeStayIntegers) {
  const std::string source = write("t.jinja", "{{ tools | tojson }} {{ n + 1 }}");
  const std::string input = write(
      "in.json",
      R"({"tools": [{"maximum": 99999999999999999999999999, "minimum": -9223372036854775809}], "n": 18446744073709551615})");
  const ProcessResult r = run_switchyard({"template", "--template-file", source, "-f", input});
  EXPECT_EQ(
      r.out,
      R"([{"maximum": 99999999999999999999999999, "minimum": -9223372036854775809}] 18446744073709551616)")
      << r.err;
}

/// As apply_chat_template of transformers 5.24 hands the messages to a template, members in its order.
TEST_F(Template, MessagesArePreparedOnRequest) {
  const std::string source = write("t.jinja", "{{ messages | tojson }}");
  const std::string messages = R"([{"role": "user", "content": "Q", "name": null}, )"
                               R"({"role": "assistant", "content": null, "reasoning": "R", "tool_calls": )"
                               R"([{"id": null, "function": {"name": "f", "arguments": {"x": null}}}]}, )"
                               R"({"role": "assistant", "content": [{"type": "text", "text": null}], )"
                               R"("tool_calls": null, "refusal": null}])";
  const std::string input = write("in.json", R"({"messages": )" + messages + "}");
  const ProcessResult raw = run_switchyard({"template", "--template-file", source, "-f", input});
  EXPECT_EQ(raw.out, messages) << raw.err;
  const ProcessResult chat =
      run_switchyard({"template", "--template-file", source, "-f", input, "--as-chat"});
  EXPECT_EQ(
      chat.out,
      R"([{"role": "user", "content": "Q"}, )"
      R"({"thinking": "R", "role": "assistant", "reasoning": "R", "tool_calls": )"
      R"([{"id": null, "function": {"name": "f", "arguments": {"x": null}}}], "reasoning_content": "R"}, )"
      R"({"role": "assistant", "content": [{"type": "text", "text": null}]}])")
      << chat.err;
}

TEST_F(Template, ErrorsAreOneLine) {
  const std::string good = write("good.jinja", "x"),
                    bad = write("bad.jinja", "a\n{{ messages[0].role.x.y }}");
  const std::string input = write("in.json", R"({"messages": [{"role": "user"}]})");
  expect_refused({"template"}, 2, "--file");
  expect_refused({"template", "-m", "x", "--template-file", good, "-f", input}, 2, "excludes");
  expect_refused({"template", "--template-file", bad, "-f", input}, 1, "chat template, line 2");
  expect_refused({"template", "--template-file", good, "-f", "/no/such.json"}, 1, "/no/such.json");
  expect_refused({"template", "--template-file", "/no/such.jinja", "-f", input}, 1, "/no/such.jinja");
  expect_refused({"template", "--template-file", good, "-f", write("list.json", "[]")}, 1,
                 "must be a JSON object");
  expect_refused({"template", "--template-file", good, "-f", write("broken.json", "{\"a\": ")}, 1,
                 "not valid JSON");
  expect_refused({"template", "--template-file", good, "-f", input, "--template-kwargs", "{x}"}, 1,
                 "--template-kwargs");
}

}  // namespace
}  // namespace sw
