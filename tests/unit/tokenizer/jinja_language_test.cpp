// SPDX-License-Identifier: MIT
// The language of chat templates against Python's jinja2: tests/data/chat, made by
// tests/tools/make_chat_cases.py.
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "support/test_data.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using Json = ChatTemplate::Json;

Json read(const fs::path& path) { return Json::parse(read_file(path)); }

fs::path chat_data() { return testing::source_dir() / "tests" / "data" / "chat"; }

/// The text, or nothing where it is refused; `why` then says so.
std::optional<std::string> render(const std::string& source, const Json& variables, std::string& why) {
  try {
    return ChatTemplate(source).render(variables);
  } catch (const Error& e) {
    why = e.what();
    return {};
  }
}

uint64_t fnv1a(const std::string& bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string digest(const std::optional<std::string>& text) {
  if (!text) return "raises";
  char line[64];
  std::snprintf(line, sizeof line, "%016lx %zu", fnv1a(*text), text->size());
  return line;
}

class JinjaLanguage : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { setenv("SOURCE_DATE_EPOCH", "1767225600", 1); }  // as the script has it
};

TEST_F(JinjaLanguage, EveryCaseIsAsJinja2RendersIt) {
  const Json cases = read(chat_data() / "language.json");
  EXPECT_GE(cases.size(), 450u);
  for (const Json& each : cases) {
    const auto source = each.at("template").get<std::string>();
    std::string why;
    const auto text = render(source, each.value("variables", Json::object()), why);
    if (each.contains("raises")) {
      EXPECT_FALSE(text) << source << "\ngave " << text.value_or("");
    } else {
      EXPECT_EQ(text, each.at("text").get<std::string>()) << source << "\n" << why;
    }
  }
}

TEST_F(JinjaLanguage, OwnTemplatesOverAllConversations) {
  const Json conversations = read(chat_data() / "conversations.json");
  EXPECT_GE(conversations.size(), 40u);
  for (const char* name : {"plain", "tools", "reasoning"}) {
    const fs::path path = chat_data() / "own" / name;
    const ChatTemplate source(read_file(path.string() + ".jinja"));
    const Json expected = read(path.string() + ".expected.json");
    for (const auto& [conversation, variables] : conversations.items()) {
      const Json& text = expected.at(conversation);
      const std::string where = std::string(name) + ", " + conversation;
      if (text.is_null()) {
        EXPECT_THROW(source.render(variables), Error) << where;
      } else {
        EXPECT_EQ(source.render(variables), text.get<std::string>()) << where;
      }
    }
  }
}

/// The file itself, or the template in a tokenizer_config.json.
std::string shared_template(const fs::path& path) {
  if (path.extension() == ".json") return read(path).at("chat_template").get<std::string>();
  return read_file(path);
}

TEST_F(JinjaLanguage, SharedTemplatesOverAllConversations) {
  const Json conversations = read(chat_data() / "conversations.json"),
             expected = read(chat_data() / "expected.json");
  size_t n_found = 0;
  for (const auto& [name, digests] : expected.items()) {
    const bool in_folder = name.find('/') == std::string::npos;
    const auto path = testing::find_data(in_folder ? "chat_templates/" + name : name);
    if (!path) continue;
    ++n_found;
    const std::string source = shared_template(*path);
    for (const auto& [conversation, variables] : conversations.items()) {
      std::string why;
      const auto text = render(source, variables, why);
      EXPECT_EQ(digest(text), digests.at(conversation).get<std::string>())
          << name << ", " << conversation << " " << why;
    }
  }
  if (n_found < expected.size()) {
    GTEST_SKIP() << "only " << n_found << " of " << expected.size() << " templates are on this machine";
  }
}

void expect_golden_chat(const fs::path& folder) {
  const Tokenizer tokenizer = Tokenizer::from_hf(folder);
  const ChatTemplate source(tokenizer.chat_template());
  const Json cases = read(folder / "chat.golden.json");
  EXPECT_GE(cases.size(), 5u);
  for (Json input : cases) {
    if (tokenizer.bos_id()) input["bos_token"] = std::string(tokenizer.piece(*tokenizer.bos_id()));
    const std::string text = source.render(input);
    EXPECT_EQ(text, input.at("text").get<std::string>());
    EXPECT_EQ(tokenizer.encode(text), input.at("ids").get<std::vector<int32_t>>()) << text;
  }
}

TEST_F(JinjaLanguage, GoldenChatOfTheFirstTokenizer) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  expect_golden_chat(folder);
}

TEST_F(JinjaLanguage, GoldenChatOfTheSecondTokenizer) {
  SW_DATA_OR_SKIP(chat, "golden/qwen3_moe/chat.golden.json");
  expect_golden_chat(chat.parent_path());
}

TEST_F(JinjaLanguage, TheClockIsNowWithoutAnEpoch) {
  unsetenv("SOURCE_DATE_EPOCH");
  const std::string year = ChatTemplate("{{ strftime_now('%Y') }}").render(Json::object());
  EXPECT_GE(std::stoi(year), 2025);
  setenv("SOURCE_DATE_EPOCH", "no number", 1);
  EXPECT_THROW(ChatTemplate("{{ strftime_now('%Y') }}").render(Json::object()), Error);
  setenv("SOURCE_DATE_EPOCH", "1767225600", 1);
}

}  // namespace
}  // namespace sw
