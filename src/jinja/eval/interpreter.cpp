// SPDX-License-Identifier: MIT
#include "jinja/eval/interpreter.h"

#include <algorithm>
#include <fmt/core.h>

namespace sw::jinja {

std::string Interpreter::render() {
  hide(source_.hidden);
  exec(source_.body);
  return out_.take();
}

Flow Interpreter::exec(const Block& block) {
  const Budget::Deeper deeper(budget_);
  for (const auto& statement : block) {
    budget_.spend();
    budget_.at_line(statement->line);
    const Flow flow = statement->exec(*this);
    if (flow != Flow::Normal) return flow;
  }
  return Flow::Normal;
}

Value Interpreter::variable(int name) const {
  size_t n_seen = 0;
  for (const Scope* scope = scope_; scope; scope = scope->parent) {
    n_seen += 1 + scope->variables.size();
    for (const Scope::Variable& variable : scope->variables) {
      if (variable.name == name) return budget_.spend_scan(n_seen), variable.value;
    }
  }
  budget_.spend_scan(n_seen);
  const auto index = static_cast<size_t>(name);
  const Value& value = variables_[index];
  return value.is(Kind::Missing) ? Value::undefined({source_.names[index], Kind::Missing}) : value;
}

void Interpreter::assign(int name, const Value& value) {
  if (!scope_) {
    variables_[static_cast<size_t>(name)] = value;
    return;
  }
  budget_.spend_scan(scope_->variables.size());
  for (Scope::Variable& variable : scope_->variables) {
    if (variable.name != name) continue;
    variable.value = value;
    return;
  }
  scope_->variables.push(budget_, {name, value});
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (!target.attribute.empty()) {
    const Value space = variable(target.name);
    if (!space.is(Kind::Namespace)) budget_.fail("cannot assign attribute on non-namespace object");
    space.as<Namespace>().set(budget_, target.attribute, value);
  } else if (!target.is_tuple) {
    assign(target.name, value);
  } else {
    Iterator items(budget_, value);
    Value item;
    for (const Target& part : target.parts) {
      if (!items.next(budget_, item)) {
        budget_.fail(fmt::format("not enough values to unpack (expected {})", target.parts.size()));
      }
      assign(part, item);
    }
    if (items.next(budget_, item)) {
      budget_.fail(fmt::format("too many values to unpack (expected {})", target.parts.size()));
    }
  }
}

Value Interpreter::filtered(const Expr& filter, const Value& text) {
  const Restore restore(block_text_, text);
  return eval(filter);
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  switch (callee.kind()) {
    case Kind::Function:
      return call_native(budget_, callee.as<Native>(), {}, arguments);
    case Kind::Method:
      return call_native(budget_, *callee.as<BoundMethod>().native, callee.as<BoundMethod>().self, arguments);
    case Kind::Macro:
      return call_macro(callee.as<Macro>(), arguments);
    case Kind::Undefined:
      fail_undefined(budget_, callee);
    case Kind::Loop:
      return call_loop(callee.as<LoopState>(), arguments);
    default:
      budget_.fail(fmt::format("'{}' object is not callable", type_name(callee.kind())));
  }
}

Value Interpreter::call_loop(const LoopState& loop, const Arguments& arguments) {
  if (!loop.recursive) budget_.fail("the loop must have the 'recursive' marker to be called recursively");
  if (arguments.positional.size() != 1 || !arguments.keywords.empty())
    budget_.fail("loop() takes one argument");
  const Restore calls(n_calls_, n_calls_ + 1);
  check_calls();
  const Restore scope(scope_, loop.scope);
  return captured([&] { loop.recursive->run(*this, arguments[0], loop.depth0 + 1); });
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& arguments) {
  const Restore calls(n_calls_, n_calls_ + 1);
  check_calls();
  budget_.spend(Budget::kStep);
  const int line = budget_.line();
  const Value text = in_scope(macro.scope, macro.node->hidden, [&] {
    bind(*macro.node, arguments);
    return captured([&] { exec(macro.node->body); });
  });
  budget_.at_line(line);
  return text;
}

void Interpreter::check_calls() const {
  if (n_calls_ > kMaxNesting) budget_.fail(fmt::format("more than {} calls inside each other", kMaxNesting));
}

/// Gives the parameters of a macro their values, in the scope of its body.
void Interpreter::bind(const MacroNode& node, const Arguments& arguments) {
  const size_t n_positional = arguments.positional.size();
  std::vector<bool> used(arguments.keywords.size());
  // A default sees the macro's own parameters, not what has the same name outside.
  for (const MacroNode::Parameter& parameter : node.parameters)
    assign(parameter.name, Value::undefined({parameter.text, Kind::Missing}));
  std::vector<const MacroNode::Parameter*> by_default;
  for (size_t i = 0; i < node.parameters.size(); ++i) {
    const MacroNode::Parameter& parameter = node.parameters[i];
    if (i < n_positional) {
      assign(parameter.name, arguments[i]);
      continue;
    }
    budget_.spend_scan(arguments.keywords.size());
    const auto keyword = std::ranges::find(arguments.keywords, parameter.text, &Keyword::name);
    if (keyword != arguments.keywords.end()) {
      used[static_cast<size_t>(keyword - arguments.keywords.begin())] = true;
      assign(parameter.name, keyword->value);
    } else if (parameter.otherwise) {
      by_default.push_back(&parameter);
    } else {
      assign(
          parameter.name,
          Value::undefined({budget_.copy(fmt::format("parameter '{}' was not provided", parameter.text))}));
    }
  }
  for (const MacroNode::Parameter* parameter : by_default)
    assign(parameter->name, eval(*parameter->otherwise));
  bind_others(node, arguments, used);
}

/// The arguments that are no parameter's: they are errors, unless the body asks for them by varargs, kwargs
/// or caller.
void Interpreter::bind_others(const MacroNode& node, const Arguments& arguments, std::vector<bool>& used) {
  const bool is_parameter =
      std::ranges::any_of(node.parameters, [&](const auto& p) { return p.name == node.caller; });
  if (node.caller >= 0 && !is_parameter) {
    Value caller = Value::undefined({"No caller defined"});
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i] || arguments.keywords[i].name != "caller") continue;
      used[i] = true;
      caller = arguments.keywords[i].value;
    }
    assign(node.caller, caller);
  }
  DictBuilder rest(budget_);
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    const Keyword& keyword = arguments.keywords[i];
    if (node.kwargs < 0) {
      budget_.fail(fmt::format("macro '{}' takes no keyword argument '{}'", node.text, keyword.name));
    }
    rest.set(Value::text(keyword.name), keyword.value);
  }
  if (node.kwargs >= 0) assign(node.kwargs, rest.value());
  const size_t n_taken = std::min(node.parameters.size(), arguments.positional.size());
  const std::span<const Value> more = arguments.positional.subspan(n_taken);
  if (node.varargs >= 0) {
    assign(node.varargs, Value::sequence(Kind::Tuple, more));
  } else if (!more.empty()) {
    budget_.fail(
        fmt::format("macro '{}' takes not more than {} argument(s)", node.text, node.parameters.size()));
  }
}

}  // namespace sw::jinja
