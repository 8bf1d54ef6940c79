// SPDX-License-Identifier: MIT
#include "jinja/lang/expression_parser.h"

#include <algorithm>
#include <fmt/core.h>

namespace sw::jinja {
ExprPtr ExpressionParser::expression(bool with_condition) {
  const TokenStream::Deeper deeper(stream_);
  int line = stream_.now().line;
  const size_t n_unknown = unknown.size();
  ExprPtr value = logical_or();
  while (with_condition && stream_.skip_name("if")) {
    auto node = std::make_unique<Conditional>();
    node->then = std::move(value);
    node->test = logical_or();
    if (stream_.skip_name("else")) node->otherwise = expression();
    unknown.resize(n_unknown);
    const auto below = {node->then.get(), node->test.get(), node->otherwise.get()};
    value = finish(std::move(node), line, below);
    line = stream_.now().line;
  }
  return value;
}

bool ExpressionParser::at_tuple_end() const {
  const Token& token = stream_.now();
  return token.type == TokenType::PrintEnd || token.type == TokenType::BlockEnd || token.is_operator(")");
}

ExprPtr ExpressionParser::tuple(bool with_condition) {
  const int line = stream_.now().line;
  if (at_tuple_end()) stream_.fail_unexpected("an expression");
  ExprPtr first = expression(with_condition);
  if (!stream_.now().is_operator(",")) return first;
  auto node = std::make_unique<Display>();
  node->is_tuple = true;
  int height = first->height;
  node->items.push_back(std::move(first));
  while (stream_.skip_operator(",") && !at_tuple_end()) {
    node->items.push_back(expression(with_condition));
    height = std::max(height, node->items.back()->height);
  }
  node->height = 1 + height;
  return finish(std::move(node), line, {});
}

ExprPtr ExpressionParser::logical_or() {
  const int line = stream_.now().line;
  ExprPtr left = logical_and();
  while (stream_.skip_name("or")) {
    auto node = std::make_unique<Logical>();
    node->left = std::move(left);
    node->right = logical_and();
    const auto below = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, below);
  }
  return left;
}

ExprPtr ExpressionParser::logical_and() {
  const int line = stream_.now().line;
  ExprPtr left = logical_not();
  while (stream_.skip_name("and")) {
    auto node = std::make_unique<Logical>();
    node->is_and = true;
    node->left = std::move(left);
    node->right = logical_not();
    const auto below = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, below);
  }
  return left;
}

ExprPtr ExpressionParser::logical_not() {
  if (!stream_.now().is_name("not")) return comparison();
  const TokenStream::Deeper deeper(stream_);
  const int line = stream_.take().line;
  auto node = std::make_unique<Unary>();
  node->operand = logical_not();
  const auto below = {node->operand.get()};
  return finish(std::move(node), line, below);
}

ExprPtr ExpressionParser::comparison() {
  using Op = Comparison::Op;
  static constexpr std::pair<std::string_view, Op> kOperators[] = {
      {"==", Op::Equal},     {"!=", Op::NotEqual}, {"<", Op::Less},
      {"<=", Op::LessEqual}, {">", Op::Greater},   {">=", Op::GreaterEqual}};
  const int line = stream_.now().line;
  auto node = std::make_unique<Comparison>();
  node->first = sum();
  int height = node->first->height;
  while (true) {
    const auto sign =
        std::ranges::find_if(kOperators, [&](const auto& o) { return stream_.now().is_operator(o.first); });
    Op op = Op::In;
    if (sign != std::end(kOperators)) {
      op = sign->second;
    } else if (stream_.now().is_name("not") && stream_.ahead().is_name("in")) {
      stream_.take();
      op = Op::NotIn;
    } else if (!stream_.now().is_name("in")) {
      break;
    }
    stream_.take();
    node->others.emplace_back(op, sum());
    height = std::max(height, node->others.back().second->height);
  }
  if (node->others.empty()) return std::move(node->first);
  node->height = 1 + height;
  return finish(std::move(node), line, {});
}

ExprPtr ExpressionParser::sum() {
  const int line = stream_.now().line;
  ExprPtr left = concat();
  while (stream_.now().is_operator("+") || stream_.now().is_operator("-")) {
    auto node = std::make_unique<Binary>();
    node->op = stream_.take().text == "+" ? Arithmetic::Add : Arithmetic::Subtract;
    node->left = std::move(left);
    node->right = concat();
    const auto below = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, below);
  }
  return left;
}

ExprPtr ExpressionParser::concat() {
  const int line = stream_.now().line;
  ExprPtr first = product();
  if (!stream_.now().is_operator("~")) return first;
  auto node = std::make_unique<Concat>();
  int height = first->height;
  node->parts.push_back(std::move(first));
  while (stream_.skip_operator("~")) {
    node->parts.push_back(product());
    height = std::max(height, node->parts.back()->height);
  }
  node->height = 1 + height;
  return finish(std::move(node), line, {});
}

ExprPtr ExpressionParser::product() {
  static constexpr std::pair<std::string_view, Arithmetic> kOperators[] = {{"*", Arithmetic::Multiply},
                                                                           {"/", Arithmetic::Divide},
                                                                           {"//", Arithmetic::FloorDivide},
                                                                           {"%", Arithmetic::Modulo}};
  const int line = stream_.now().line;
  ExprPtr left = power();
  while (true) {
    const auto sign =
        std::ranges::find_if(kOperators, [&](const auto& o) { return stream_.now().is_operator(o.first); });
    if (sign == std::end(kOperators)) return left;
    stream_.take();
    auto node = std::make_unique<Binary>();
    node->op = sign->second;
    node->left = std::move(left);
    node->right = power();
    const auto below = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, below);
  }
}

ExprPtr ExpressionParser::power() {
  const int line = stream_.now().line;
  ExprPtr left = unary(true);
  while (stream_.skip_operator("**")) {  // from the left, unlike Python
    auto node = std::make_unique<Binary>();
    node->op = Arithmetic::Power;
    node->left = std::move(left);
    node->right = unary(true);
    const auto below = {node->left.get(), node->right.get()};
    left = finish(std::move(node), line, below);
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
  const Token& token = stream_.now();
  ExprPtr value;
  if (token.is_operator("-") || token.is_operator("+")) {
    const TokenStream::Deeper deeper(stream_);
    const int line = token.line;
    auto node = std::make_unique<Unary>();
    node->op = stream_.take().text == "-" ? Unary::Op::Minus : Unary::Op::Plus;
    node->operand = unary(false);
    const auto below = {node->operand.get()};
    value = finish(std::move(node), line, below);
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  while (with_filters) {
    if (stream_.now().is_operator("|")) {
      value = filters(std::move(value));
    } else if (stream_.now().is_name("is")) {
      value = test(std::move(value));
    } else if (stream_.now().is_operator("(")) {
      value = call(std::move(value));
    } else {
      break;
    }
  }
  return value;
}

}  // namespace sw::jinja
