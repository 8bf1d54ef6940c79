// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sw {

namespace jinja {
struct Template;
}

/// A model's chat template: Jinja, as Python's jinja2 3.1 renders it the way transformers sets it up
/// (trim_blocks, lstrip_blocks, loop controls, an immutable sandbox, |tojson as json.dumps, raise_exception,
/// strftime_now, {% generation %}). Immutable: threads may share one.
///
/// Limits: 128 KiB of source, nesting 256, 1,000,000 steps (some 20 ms), 8 MiB of output, 24 MiB of values;
/// integers have 64 bits.
class ChatTemplate {
 public:
  using Json = nlohmann::ordered_json;

  /// Throws sw::Error, naming the line, where the source is no template.
  explicit ChatTemplate(const std::string& source);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// The prompt. `input` is an object, whose members are the template's variables: messages, tools,
  /// add_generation_prompt, bos_token and so on. Throws sw::Error naming the line, also for what the template
  /// itself raises.
  std::string render(const Json& input) const;

 private:
  std::unique_ptr<const jinja::Template> template_;
};

}  // namespace sw
