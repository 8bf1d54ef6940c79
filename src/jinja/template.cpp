// SPDX-License-Identifier: MIT
#include "jinja/template.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "jinja/eval/interpreter.h"
#include "jinja/lang/parser.h"
#include "jinja/values/big_integer.h"

namespace sw::jinja {
namespace {

using Json = Template::Json;

/// Texts are views of `json`.
Value to_value(Budget& budget, const Json& json) {
  const Budget::Deeper deeper(budget);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      return integer_value(budget, Int128{json.get<uint64_t>()});
    case Json::value_t::binary: {  // digits: formats/json.h
      const Json::binary_t& digits = json.get_binary();
      return integer_value(budget, std::string(digits.begin(), digits.end()));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value::text(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      const std::span<Value> items = budget.make_array<Value>(json.size());
      for (size_t i = 0; i < items.size(); ++i) items[i] = to_value(budget, json[i]);
      return Value::sequence(Kind::List, items);
    }
    case Json::value_t::object: {
      const auto entries = budget.make_array<DictEntry>(json.size());
      size_t i = 0;
      for (const auto& [key, value] : json.get_ref<const Json::object_t&>()) {
        entries[i++] = {Value::text(key), to_value(budget, value)};
      }
      return Value::object<Dict>(budget.make(Dict{entries}));
    }
    default:
      return Value::none();
  }
}

}  // namespace

Template::Template(const std::string& source) : tree_(std::make_unique<const Tree>(parse(source))) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

std::string Template::render(const Json& variables) const {
  if (!variables.is_object()) {
    throw Error({.what = "the input of a chat template must be an object", .got = variables.type_name()});
  }
  Budget budget;
  std::vector<Value> values(tree_->names.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto given = variables.find(tree_->names[i]);
    if (given != variables.end()) {
      values[i] = to_value(budget, *given);
      continue;
    }
    for (const Native& function : global_functions()) {
      if (function.name == tree_->names[i]) values[i] = Value::object<Native>(&function);
    }
  }
  return Interpreter(budget, *tree_, std::move(values)).render();
}

}  // namespace sw::jinja
