// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/core.h>
#include <set>

#include "jinja/lang/expression_parser.h"

// The operands of expressions: names, literals, calls, filters, tests; and what is assigned to.
namespace sw::jinja {
namespace {

bool is_reserved(std::string_view name) {
  constexpr std::string_view kReserved[] = {"true", "false", "none", "True", "False", "None"};
  return std::ranges::find(kReserved, name) != std::end(kReserved);
}

}  // namespace

int ExpressionParser::height_of(const CallArguments& arguments) {
  int height = std::max(height_of(arguments.star.get()), height_of(arguments.double_star.get()));
  for (const ExprPtr& argument : arguments.positional) height = std::max(height, argument->height);
  for (const auto& [name, argument] : arguments.keywords) height = std::max(height, argument->height);
  return height;
}

ExprPtr ExpressionParser::variable(const Token& token) {
  if (is_reserved(token.text)) {
    auto node = std::make_unique<Constant>();
    const char letter = token.text[0] | 0x20;
    node->value = letter == 'n' ? Value::none() : Value(letter == 't');
    return finish(std::move(node), token.line, {});
  }
  auto node = std::make_unique<Variable>();
  node->name = stream_.number_of(token.text);
  if (loads_count) scopes.load(node->name);
  for (MacroNode* macro : macros) {
    if (token.text == "varargs") macro->varargs = node->name;
    if (token.text == "kwargs") macro->kwargs = node->name;
    if (token.text == "caller") macro->caller = node->name;
  }
  return finish(std::move(node), token.line, {});
}

ExprPtr ExpressionParser::primary() {
  const Token& token = stream_.now();
  switch (token.type) {
    case TokenType::Name:
      return variable(stream_.take());
    case TokenType::String: {
      auto node = std::make_unique<Constant>();
      while (stream_.now().type == TokenType::String) node->text += stream_.take().text;
      node->value = Value::text(node->text);
      return finish(std::move(node), token.line, {});
    }
    case TokenType::BigInteger: {
      auto node = std::make_unique<Constant>();
      node->text = stream_.take().text;
      node->big.digits = node->text;
      node->value = Value::object<BigInteger>(&node->big);
      return finish(std::move(node), token.line, {});
    }
    case TokenType::Integer:
    case TokenType::Float: {
      auto node = std::make_unique<Constant>();
      node->value = token.type == TokenType::Integer ? Value(token.integer) : Value(token.number);
      return finish(std::move(node), stream_.take().line, {});
    }
    default:
      break;
  }
  if (token.is_operator("(")) return parenthesis();
  if (token.is_operator("[")) return list();
  if (token.is_operator("{")) return dict();
  stream_.fail_unexpected("an expression");
}

ExprPtr ExpressionParser::parenthesis() {
  const int line = stream_.take().line;
  if (stream_.skip_operator(")")) {
    auto empty = std::make_unique<Display>();
    empty->is_tuple = true;
    return finish(std::move(empty), line, {});
  }
  ExprPtr value = tuple();
  stream_.expect_operator(")");
  return value;
}

ExprPtr ExpressionParser::list() {
  const int line = stream_.take().line;
  auto node = std::make_unique<Display>();
  int height = 0;
  while (!stream_.now().is_operator("]")) {
    if (!node->items.empty()) stream_.expect_operator(",");
    if (stream_.now().is_operator("]")) break;
    node->items.push_back(expression());
    height = std::max(height, node->items.back()->height);
  }
  stream_.expect_operator("]");
  node->height = 1 + height;
  return finish(std::move(node), line, {});
}

ExprPtr ExpressionParser::dict() {
  const int line = stream_.take().line;
  auto node = std::make_unique<DictDisplay>();
  int height = 0;
  while (!stream_.now().is_operator("}")) {
    if (!node->entries.empty()) stream_.expect_operator(",");
    if (stream_.now().is_operator("}")) break;
    ExprPtr key = expression();
    stream_.expect_operator(":");
    ExprPtr value = expression();
    height = std::max({height, key->height, value->height});
    node->entries.emplace_back(std::move(key), std::move(value));
  }
  stream_.expect_operator("}");
  node->height = 1 + height;
  return finish(std::move(node), line, {});
}

ExprPtr ExpressionParser::postfix(ExprPtr value) {
  while (true) {
    if (stream_.now().is_operator(".") || stream_.now().is_operator("[")) {
      value = subscript(std::move(value));
    } else if (stream_.now().is_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

namespace {

/// What stands between the brackets of "x[]".
ExprPtr empty_tuple(int line) {
  auto node = std::make_unique<Display>();
  node->is_tuple = true;
  node->line = line;
  return node;
}

}  // namespace

ExprPtr ExpressionParser::subscript(ExprPtr value) {
  const Token& open = stream_.take();
  if (open.text == "." && stream_.now().type == TokenType::Name) {
    auto node = std::make_unique<Attribute>();
    node->object = std::move(value);
    node->name = stream_.take().text;
    const auto below = {node->object.get()};
    return finish(std::move(node), open.line, below);
  }
  if (open.text == ".") {
    if (stream_.now().type != TokenType::Integer) stream_.fail_unexpected("a name or a number");
    auto node = std::make_unique<Item>();
    node->object = std::move(value);
    node->key = primary();
    const auto below = {node->object.get()};
    return finish(std::move(node), open.line, below);
  }
  ExprPtr bounds[3] = {};
  size_t n_colons = 0;
  while (!stream_.now().is_operator("]")) {
    if (stream_.now().is_operator(":")) {
      if (++n_colons > 2) stream_.fail_unexpected("']'");
      stream_.take();
    } else {
      if (bounds[n_colons]) stream_.fail_unexpected("']'");
      bounds[n_colons] = expression();
    }
  }
  stream_.expect_operator("]");
  if (n_colons == 0) {
    auto node = std::make_unique<Item>();
    node->object = std::move(value);
    node->key = bounds[0] ? std::move(bounds[0]) : empty_tuple(open.line);
    const auto below = {node->object.get(), node->key.get()};
    return finish(std::move(node), open.line, below);
  }
  auto node = std::make_unique<Slice>();
  node->object = std::move(value);
  node->start = std::move(bounds[0]);
  node->stop = std::move(bounds[1]);
  node->step = std::move(bounds[2]);
  const auto below = {node->object.get(), node->start.get(), node->stop.get(), node->step.get()};
  return finish(std::move(node), open.line, below);
}

CallArguments ExpressionParser::call_arguments() {
  CallArguments arguments;
  stream_.expect_operator("(");
  const auto ensure = [&](bool holds) {
    if (!holds) stream_.fail("invalid syntax for function call expression");
  };
  std::set<std::string> names;
  for (bool first = true; !stream_.now().is_operator(")"); first = false) {
    if (!first) stream_.expect_operator(",");
    if (stream_.now().is_operator(")")) break;
    if (stream_.skip_operator("*")) {
      ensure(!arguments.star && !arguments.double_star);
      arguments.star = expression();
    } else if (stream_.skip_operator("**")) {
      ensure(!arguments.double_star);
      arguments.double_star = expression();
    } else if (stream_.now().type == TokenType::Name && stream_.ahead().is_operator("=")) {
      ensure(!arguments.double_star);
      std::string name = stream_.take().text;
      stream_.take();
      if (!names.insert(name).second) stream_.fail("an argument is given twice: " + name);
      arguments.keywords.emplace_back(std::move(name), expression());
    } else {
      ensure(!arguments.star && !arguments.double_star && arguments.keywords.empty());
      arguments.positional.push_back(expression());
    }
  }
  stream_.expect_operator(")");
  return arguments;
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  const int line = stream_.now().line;
  auto node = std::make_unique<Call>();
  node->callee = std::move(callee);
  node->arguments = call_arguments();
  node->height = 1 + height_of(node->arguments);
  const auto below = {node->callee.get()};
  return finish(std::move(node), line, below);
}

std::string ExpressionParser::dotted_name() {
  std::string name = stream_.take_any_name();
  while (stream_.skip_operator(".")) name += "." + stream_.take_any_name();
  return name;
}

ExprPtr ExpressionParser::apply(ExprPtr value, std::string name, bool is_test, CallArguments arguments,
                                int line) {
  auto node = std::make_unique<Apply>();
  node->value = std::move(value);
  node->native = is_test ? find_test(name) : find_filter(name);
  if (!node->native)
    unknown.emplace_back(line, fmt::format("No {} named '{}'.", is_test ? "test" : "filter", name));
  node->name = std::move(name);
  node->is_test = is_test;
  node->arguments = std::move(arguments);
  node->height = 1 + height_of(node->arguments);
  const auto below = {node->value.get()};
  return finish(std::move(node), line, below);
}

ExprPtr ExpressionParser::filters(ExprPtr value, bool bare) {
  while (bare || stream_.now().is_operator("|")) {
    if (!std::exchange(bare, false)) stream_.take();
    const int line = stream_.now().line;
    std::string name = dotted_name();
    CallArguments arguments;
    if (stream_.now().is_operator("(")) arguments = call_arguments();
    value = apply(std::move(value), std::move(name), false, std::move(arguments), line);
  }
  return value;
}

ExprPtr ExpressionParser::test(ExprPtr value) {
  const int line = stream_.take().line;
  const bool negated = stream_.skip_name("not");
  std::string name = dotted_name();
  CallArguments arguments;
  const Token& token = stream_.now();
  const bool is_name =
      token.type == TokenType::Name && token.text != "else" && token.text != "or" && token.text != "and";
  const bool is_value = token.type == TokenType::String || token.type == TokenType::Integer ||
                        token.type == TokenType::BigInteger || token.type == TokenType::Float ||
                        token.is_operator("[") || token.is_operator("{");
  if (token.is_operator("(")) {
    arguments = call_arguments();
  } else if (is_name || is_value) {
    if (token.is_name("is")) stream_.fail("You cannot chain multiple tests with is");
    arguments.positional.push_back(postfix(primary()));
  }
  ExprPtr node = apply(std::move(value), std::move(name), true, std::move(arguments), line);
  if (!negated) return node;
  auto inverse = std::make_unique<Unary>();
  inverse->operand = std::move(node);
  const auto below = {inverse->operand.get()};
  return finish(std::move(inverse), line, below);
}

Target ExpressionParser::name_target() {
  Target target;
  const int line = stream_.now().line;
  const std::string name = stream_.take_any_name();
  if (is_reserved(name)) fail_at_line(line, "can't assign to '" + name + "'");
  target.name = stream_.number_of(name);
  return target;
}

Target ExpressionParser::target_part(bool with_namespace) {
  const TokenStream::Deeper deeper(stream_);
  if (stream_.skip_operator("(")) {
    Target inner = target(with_namespace);
    stream_.expect_operator(")");
    return inner;
  }
  if (n_for > 0 && stream_.now().is_name("loop"))
    stream_.fail("the variable loop of a for-loop is assigned to");
  Target part = name_target();
  if (with_namespace && stream_.skip_operator(".")) part.attribute = stream_.take_any_name();
  return part;
}

Target ExpressionParser::target(bool with_namespace) {
  Target first = target_part(with_namespace);
  if (!stream_.now().is_operator(",")) return first;
  Target all;
  all.is_tuple = true;
  all.parts.push_back(std::move(first));
  while (stream_.skip_operator(",") && !at_tuple_end()) all.parts.push_back(target_part(with_namespace));
  return all;
}

}  // namespace sw::jinja
