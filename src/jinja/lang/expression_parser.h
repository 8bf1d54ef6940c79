// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/lang/ast.h"
#include "jinja/lang/scopes.h"
#include "jinja/lang/token_stream.h"

namespace sw::jinja {

/// Parses expressions, by Jinja's grammar.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& stream) : stream_(stream) {}

  /// `with_condition`: may be "a if b else c".
  ExprPtr expression(bool with_condition = true);
  /// One expression, or several with commas between them: a tuple.
  ExprPtr tuple(bool with_condition = true);
  /// "|name(...)|name", without the first bar where `bare`.
  ExprPtr filters(ExprPtr value, bool bare = false);
  /// A name, or names with commas and parentheses; ns.name where `with_namespace`.
  Target target(bool with_namespace);
  Target name_target();

  /// Filters and tests that do not exist, as "No filter named 'x'." with their lines. Whoever asked for the
  /// expressions decides whether that is an error: Jinja forgives it in a condition.
  std::vector<std::pair<int, std::string>> unknown = {};
  /// The macros that are being parsed, the innermost last.
  std::vector<MacroNode*> macros = {};
  /// Learns of each variable that is read.
  Scopes scopes = Scopes();
  /// Whether the scopes hear of the variables that are read.
  bool loads_count = true;
  /// How many for-loops are being parsed: nothing in them may be assigned to `loop`.
  int n_for = 0;

 private:
  bool at_tuple_end() const;
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters);
  ExprPtr primary();
  ExprPtr variable(const Token& token);
  ExprPtr parenthesis();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr value);
  ExprPtr subscript(ExprPtr value);
  ExprPtr call(ExprPtr callee);
  ExprPtr test(ExprPtr value);
  ExprPtr apply(ExprPtr value, std::string name, bool is_test, CallArguments arguments, int line);
  CallArguments call_arguments();
  std::string dotted_name();
  Target target_part(bool with_namespace);

  /// Gives the node its line and height; fails where the tree grows too high.
  template <class Node>
  std::unique_ptr<Node> finish(std::unique_ptr<Node> node, int line,
                               std::initializer_list<const Expr*> below);
  static int height_of(const Expr* expr) { return expr ? expr->height : 0; }
  static int height_of(const CallArguments& arguments);

  TokenStream& stream_;
};

template <class Node>
std::unique_ptr<Node> ExpressionParser::finish(std::unique_ptr<Node> node, int line,
                                               std::initializer_list<const Expr*> below) {
  node->line = line;
  for (const Expr* expr : below) node->height = std::max(node->height, 1 + height_of(expr));
  if (node->height > kMaxNesting) stream_.fail_too_deep();
  return node;
}

}  // namespace sw::jinja
