// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/template.h"
#include "tokenizer/tokenizer.h"

namespace sw {

/// What a model is given to answer.
struct ChatPrompt {
  std::vector<int32_t> ids = {};
  bool begins_reasoning = false;  ///< the template itself opened <think>
};

/// A model's chat template, which knows the model's special tokens. Immutable; borrows the tokenizer.
class ChatTemplate {
 public:
  using Json = nlohmann::ordered_json;

  /// `name`: of one of the model's several templates; empty: the default, and "tool_use" where there are
  /// tools, as transformers chooses. Throws sw::Error where the model has no such template, or one that is
  /// not Jinja. A model that has tool_use and no default fails only when it renders without tools.
  explicit ChatTemplate(const Tokenizer& tokenizer, const std::string& name = {});

  /// The text of the prompt for the next answer. `messages` is an array of {"role", "content", ...}, prepared
  /// by prepare_messages(), `tools` an array or null, `kwargs` an object of further variables, which win.
  /// Throws sw::Error also for what the template itself raises.
  std::string render(const Json& messages, const Json& tools = nullptr,
                     const Json& kwargs = Json::object()) const;
  /// Its tokens. The template writes BOS itself where the model wants it.
  ChatPrompt prompt(const Json& messages, const Json& tools = nullptr,
                    const Json& kwargs = Json::object()) const;

  /// The text that an object of all variables gives. bos_token and eos_token are the model's, if it has them,
  /// unless they are among the variables.
  std::string render_variables(Json variables) const;

 private:
  [[noreturn]] void fail_without_default() const;

  const Tokenizer& tokenizer_;
  std::optional<jinja::Template> template_;  // null: only with_tools_ is there
  std::optional<jinja::Template> with_tools_;
};

/// Messages as clients send them, in the form that templates expect: a member that is null is left out, and
/// what is called reasoning_content, thinking or reasoning stands under the first two names.
ChatTemplate::Json prepare_messages(const ChatTemplate::Json& messages);

/// Whether a prompt ends within reasoning: where its last text is <think>, white space aside.
bool begins_reasoning(std::string_view prompt);
/// The same of a prompt's tokens. O(1).
bool begins_reasoning(const Tokenizer& tokenizer, std::span<const int32_t> prompt);

}  // namespace sw
