// SPDX-License-Identifier: MIT
#include "tokenizer/chat_template.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/parser.h"

namespace sw {
namespace {

using jinja::Runtime;
using jinja::Value;
using Json = ChatTemplate::Json;

/// Texts are views of `json`.
Value to_value(Runtime& runtime, const Json& json) {
  const Runtime::Deeper deeper(runtime);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        throw Error(
            {.what = "an integer in the input of a chat template is beyond 64 bits", .got = json.dump()});
      }
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value::number(json.get<double>());
    case Json::value_t::string:
      return Value::text(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      const std::span<Value> items = runtime.make_array<Value>(json.size());
      for (size_t i = 0; i < items.size(); ++i) items[i] = to_value(runtime, json[i]);
      return Value::list(items);
    }
    case Json::value_t::object: {
      const auto entries = runtime.make_array<jinja::DictEntry>(json.size());
      size_t i = 0;
      for (const auto& [key, value] : json.get_ref<const Json::object_t&>()) {
        entries[i++] = {Value::text(key), to_value(runtime, value)};
      }
      return Value::dict(runtime.make(jinja::Dict{entries}));
    }
    default:
      return Value::none();
  }
}

}  // namespace

ChatTemplate::ChatTemplate(const std::string& source)
    : template_(std::make_unique<const jinja::Template>(jinja::parse(source))) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const Json& input) const {
  if (!input.is_object()) {
    throw Error({.what = "the input of a chat template must be an object", .got = input.type_name()});
  }
  Runtime runtime;
  std::vector<Value> variables(template_->names.size());
  for (size_t i = 0; i < variables.size(); ++i) {
    const auto given = input.find(template_->names[i]);
    if (given != input.end()) {
      variables[i] = to_value(runtime, *given);
      continue;
    }
    for (const jinja::Native& function : jinja::global_functions()) {
      if (function.name == template_->names[i]) variables[i] = Value::function(&function);
    }
  }
  return jinja::Interpreter(runtime, *template_, std::move(variables)).render();
}

}  // namespace sw
