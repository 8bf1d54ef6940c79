// SPDX-License-Identifier: MIT
// Whole chat templates over whole conversations, against Python's jinja2 and transformers.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <map>

#include "support/jinja_cases.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using Json = jinja::Template::Json;
using testing::chat_data;
using testing::read_json;

constexpr size_t kLeastConversations = 20;

/// FNV-1a 64 in hex, and the length in bytes.
std::string digest(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x} {}", hash, text.size());
}

class ChatTemplates : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { testing::set_script_clock(); }
};

TEST_F(ChatTemplates, OurOwnOverAllConversations) {
  const Json conversations = read_json(chat_data() / "conversations.json");
  EXPECT_GE(conversations.size(), kLeastConversations);
  size_t n_templates = 0;
  for (const auto& entry : fs::directory_iterator(chat_data() / "own")) {
    if (entry.path().extension() != ".jinja") continue;
    ++n_templates;
    const std::string source = read_file(entry.path());
    const Json expected = read_json(fs::path(entry.path()).replace_extension(".expected.json"));
    for (const auto& [name, variables] : conversations.items()) {
      SCOPED_TRACE(entry.path().filename().string() + ", " + name);
      std::string why;
      const auto text = testing::render_or_refuse(source, variables, why);
      if (expected.at(name).is_null()) {
        EXPECT_FALSE(text) << "jinja2 raises here; we render\n" << *text;
      } else {
        EXPECT_EQ(text, expected.at(name).get<std::string>()) << why;
      }
    }
  }
  EXPECT_GE(n_templates, 3u);
}

/// Every different template of the shared data, and one of the files that hold it.
std::map<std::string, fs::path> shared_templates() {
  std::map<std::string, fs::path> templates;
  for (const char* name : {"chat_templates", "golden", "models", "tokenizers"}) {
    const auto folder = testing::find_data(name);
    if (!folder) continue;
    for (const auto& entry : fs::recursive_directory_iterator(*folder)) {
      const fs::path& path = entry.path();
      if (path.extension() == ".jinja") {
        templates.emplace(read_file(path), path);
      } else if (path.string().ends_with("tokenizer_config.json")) {
        const Json config = read_json(path);
        if (config.contains("chat_template")) templates.emplace(config["chat_template"], path);
      }
    }
  }
  return templates;
}

/// Where digest and text differ there is no expected text to show: the beginning of ours must do.
void expect_digest(const std::optional<std::string>& text, const std::string& why,
                   const std::string& expected) {
  constexpr size_t kShown = 2000;
  EXPECT_EQ(text ? digest(*text) : "raises", expected) << (text ? text->substr(0, kShown) : why);
}

TEST_F(ChatTemplates, AllSharedOnesOverAllConversations) {
  const Json conversations = read_json(chat_data() / "conversations.json"),
             expected = read_json(chat_data() / "expected.json");
  for (const auto& [source, path] : shared_templates()) {
    SCOPED_TRACE(path);
    const auto found = expected.find(digest(source));
    if (found == expected.end()) {
      ADD_FAILURE() << "no expected texts of this template: run tests/tools/make_chat_cases.py";
      continue;
    }
    size_t n_rendered = 0;
    for (const auto& [name, variables] : conversations.items()) {
      SCOPED_TRACE(name);
      std::string why;
      const auto text = testing::render_or_refuse(source, variables, why);
      expect_digest(text, why, found->at("texts").at(name).get<std::string>());
      n_rendered += text.has_value();
    }
    EXPECT_GE(n_rendered, kLeastConversations) << "beside those that jinja2 refuses";
  }
  SW_DATA_OR_SKIP(folder, "chat_templates");
}

void expect_golden_chat(const fs::path& folder) {
  const Tokenizer tokenizer = Tokenizer::from_hf(folder);
  const jinja::Template source(tokenizer.chat_template());
  const Json cases = read_json(folder / "chat.golden.json");
  EXPECT_GE(cases.size(), 5u);
  for (Json input : cases) {
    if (tokenizer.bos_id()) input["bos_token"] = std::string(tokenizer.piece(*tokenizer.bos_id()));
    const std::string text = source.render(input);
    EXPECT_EQ(text, input.at("text").get<std::string>());
    EXPECT_EQ(tokenizer.encode(text), input.at("ids").get<std::vector<int32_t>>()) << text;
  }
}

TEST_F(ChatTemplates, GoldenChatOfTheFirstTokenizer) {
  SW_DATA_OR_SKIP(chat, "golden/bailing_moe_v2/chat.golden.json");
  expect_golden_chat(chat.parent_path());
}

TEST_F(ChatTemplates, GoldenChatOfTheSecondTokenizer) {
  SW_DATA_OR_SKIP(chat, "golden/qwen3_moe/chat.golden.json");
  expect_golden_chat(chat.parent_path());
}

}  // namespace
}  // namespace sw
