// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sw::jinja {

struct Tree;

/// A template, rendered as Python's jinja2 3.1 does the way transformers sets it up for chat templates
/// (trim_blocks, lstrip_blocks, loop controls, an immutable sandbox, |tojson as json.dumps, raise_exception,
/// strftime_now, {% generation %}). Immutable: threads may share one.
///
/// Limits: 128 KiB of source, nesting 256, 1,000,000 steps (some 20 ms), 8 MiB of output, 24 MiB of values;
/// integers of 4300 digits, of 128 bits in arithmetic. In the input, integers beyond 64 bits are as
/// formats/json.h keeps them.
class Template {
 public:
  using Json = nlohmann::ordered_json;

  /// Throws sw::Error, naming the line, where the source is no template.
  explicit Template(const std::string& source);
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  /// `variables` is an object: messages, tools, add_generation_prompt, bos_token and so on. Throws sw::Error
  /// naming the line, also for what the template itself raises.
  std::string render(const Json& variables) const;

 private:
  std::unique_ptr<const Tree> tree_;
};

}  // namespace sw::jinja
