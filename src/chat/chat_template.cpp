// SPDX-License-Identifier: MIT
#include "chat/chat_template.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "chat/reasoning.h"

namespace sw {
namespace {

/// "a, b"
std::string names_of(const Tokenizer& tokenizer) {
  std::string text;
  for (const std::string& name : tokenizer.chat_template_names())
    text += (text.empty() ? "" : ", ") + printable(name, 40);
  return text;
}

/// Nothing where the model has no template of this name.
std::optional<jinja::Template> template_of(const Tokenizer& tokenizer, const std::string& name) {
  const std::string source = tokenizer.chat_template(name);
  return source.empty() ? std::nullopt : std::optional<jinja::Template>(source);
}

}  // namespace

bool begins_reasoning(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(" \t\r\n");
  return end != std::string_view::npos && prompt.substr(0, end + 1).ends_with(kOpenThink);
}

bool begins_reasoning(const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  constexpr size_t kTailTokens = 16;  // the tag has 7 bytes
  return begins_reasoning(tokenizer.decode(prompt.last(std::min(prompt.size(), kTailTokens))));
}

ChatTemplate::ChatTemplate(const Tokenizer& tokenizer, const std::string& name)
    : tokenizer_(tokenizer), template_(template_of(tokenizer, name.empty() ? "default" : name)) {
  if (name.empty()) with_tools_ = template_of(tokenizer, "tool_use");
  if (template_ || with_tools_) return;
  const std::string names = names_of(tokenizer);
  if (names.empty())
    throw Error(
        {.what = "the model has no chat template", .hint = "run -p PROMPT continues a text without one"});
  if (name.empty()) fail_without_default();
  throw Error({.what = "the model has no chat template of this name",
               .expected = "one of " + names,
               .got = printable(name, 40)});
}

void ChatTemplate::fail_without_default() const {
  throw Error({.what = "the model has several chat templates, and no default",
               .hint = "--template-name takes one of " + names_of(tokenizer_)});
}

ChatTemplate::Json prepare_messages(const ChatTemplate::Json& messages) {
  using Json = ChatTemplate::Json;
  if (!messages.is_array()) return messages;
  Json all = Json::array();
  for (const Json& message : messages) {
    if (!message.is_object()) {
      all.push_back(message);
      continue;
    }
    Json kept = Json::object(), reasoning;
    for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
      if (reasoning.is_null() && message.contains(name)) reasoning = message[name];
    }
    if (!reasoning.is_null()) kept["thinking"] = reasoning;
    for (const auto& [name, value] : message.items()) {
      if (!value.is_null()) kept[name] = value;
    }
    if (!reasoning.is_null()) kept["reasoning_content"] = reasoning;
    all.push_back(std::move(kept));
  }
  return all;
}

std::string ChatTemplate::render_variables(Json variables) const {
  const auto add = [&](const char* name, std::optional<int32_t> id) {
    if (id && !variables.contains(name)) variables[name] = std::string(tokenizer_.piece(*id));
  };
  add("bos_token", tokenizer_.bos_id());
  add("eos_token", tokenizer_.eos_id());
  const auto tools = variables.find("tools");
  const bool has_tools = tools != variables.end() && !tools->is_null();
  if (has_tools && with_tools_) return with_tools_->render(variables);
  if (!template_) fail_without_default();
  return template_->render(variables);
}

std::string ChatTemplate::render(const Json& messages, const Json& tools, const Json& kwargs) const {
  Json variables{{"messages", prepare_messages(messages)}, {"add_generation_prompt", true}};
  if (!tools.is_null()) variables["tools"] = tools;
  variables.update(kwargs);
  return render_variables(std::move(variables));
}

ChatPrompt ChatTemplate::prompt(const Json& messages, const Json& tools, const Json& kwargs) const {
  const std::string text = render(messages, tools, kwargs);
  return {.ids = tokenizer_.encode(text), .begins_reasoning = begins_reasoning(text)};
}

}  // namespace sw
