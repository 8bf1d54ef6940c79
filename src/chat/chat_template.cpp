// SPDX-License-Identifier: MIT
#include "chat/chat_template.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "chat/reasoning.h"

namespace sw {
namespace {

jinja::Template template_of(const Tokenizer& tokenizer) {
  if (tokenizer.chat_template().empty()) {
    throw Error(
        {.what = "the model has no chat template", .hint = "run -p PROMPT continues a text without one"});
  }
  return jinja::Template(tokenizer.chat_template());
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

ChatTemplate::ChatTemplate(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), template_(template_of(tokenizer)) {}

std::string ChatTemplate::render_variables(Json variables) const {
  const auto add = [&](const char* name, std::optional<int32_t> id) {
    if (id && !variables.contains(name)) variables[name] = std::string(tokenizer_.piece(*id));
  };
  add("bos_token", tokenizer_.bos_id());
  add("eos_token", tokenizer_.eos_id());
  return template_.render(variables);
}

std::string ChatTemplate::render(const Json& messages, const Json& tools, const Json& kwargs) const {
  Json variables{{"messages", messages}, {"add_generation_prompt", true}};
  if (!tools.is_null()) variables["tools"] = tools;
  variables.update(kwargs);
  return render_variables(std::move(variables));
}

ChatPrompt ChatTemplate::prompt(const Json& messages, const Json& tools, const Json& kwargs) const {
  const std::string text = render(messages, tools, kwargs);
  return {.ids = tokenizer_.encode(text), .begins_reasoning = begins_reasoning(text)};
}

}  // namespace sw
