// SPDX-License-Identifier: MIT
#include "jinja/lang/parser.h"

#include <algorithm>
#include <array>
#include <fmt/core.h>

#include "jinja/lang/expression_parser.h"
#include "jinja/values/budget.h"

namespace sw::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

/// Parses statements. Tags are told apart by their first name.
class Parser {
 public:
  explicit Parser(std::string_view source) : stream_(tokenize(source)), expressions_(stream_) {}

  Tree run();

 private:
  /// Parses a part of the template in which unknown filters and tests are errors.
  template <class F>
  auto strictly(F&& parse) {
    auto outer = std::exchange(expressions_.unknown, {});
    auto result = parse();
    if (!expressions_.unknown.empty())
      fail_at_line(expressions_.unknown[0].first, expressions_.unknown[0].second);
    expressions_.unknown = std::move(outer);
    return result;
  }

  Scopes& scopes() { return expressions_.scopes; }
  /// Parses what has variables of its own.
  template <class F>
  auto within(std::vector<int>* hidden, F&& parse) {
    scopes().open(hidden);
    auto result = parse();
    scopes().close();
    return result;
  }

  /// Parses what is no part of the loops around it.
  template <class F>
  auto outside_of_loops(F&& parse) {
    const int outer = std::exchange(n_loops_, 0);
    auto result = parse();
    n_loops_ = outer;
    return result;
  }

  bool at_any(Names names) const {
    return std::ranges::any_of(names, [&](std::string_view name) { return stream_.now().is_name(name); });
  }

  /// Up to a tag that begins with one of `ends`, whose name is then the next token; without any, to the end.
  Block statements(Names ends) {
    const TokenStream::Deeper deeper(stream_);
    Block block;
    while (stream_.now().type != TokenType::End) {
      const Token& token = stream_.take();
      if (token.type == TokenType::Data) {
        auto text = std::make_unique<Text>();
        text->text = token.text;
        add(block, std::move(text), token.line);
      } else if (token.type == TokenType::PrintBegin) {
        auto print = std::make_unique<Print>();
        print->value = expressions_.tuple();
        stream_.expect(TokenType::PrintEnd, "'}}'");
        add(block, std::move(print), token.line);
      } else {
        if (at_any(ends)) return block;
        const int line = stream_.now().line;
        add(block, statement(ends), line);
        stream_.expect(TokenType::BlockEnd, "'%}'");
      }
    }
    if (ends.size() > 0) stream_.fail_unexpected(expected(ends));
    return block;
  }

  static void add(Block& block, std::unique_ptr<Stmt> statement, int line) {
    statement->line = line;
    block.push_back(std::move(statement));
  }

  static std::string expected(Names ends) {
    std::string text;
    for (const std::string_view end : ends) text += fmt::format("{}'{}'", text.empty() ? "" : " or ", end);
    return "tag " + text;
  }

  /// The body of a tag, from the tag's "%}" on.
  Block body(Names ends) {
    stream_.skip_operator(":");
    stream_.expect(TokenType::BlockEnd, "'%}'");
    return statements(ends);
  }
  /// Likewise, of a tag that has variables of its own, up to and with the one end.
  Block own_body(std::string_view end) {
    Block block = strictly([&] { return body({end}); });
    stream_.take();
    return block;
  }

  std::unique_ptr<Stmt> statement(Names ends) {
    if (stream_.now().type != TokenType::Name) stream_.fail_unexpected("a tag's name");
    const int line = stream_.now().line;
    const std::string& name = stream_.take().text;
    if (name == "if") return if_block();
    if (name == "for") return for_block();
    if (name == "set") return set();
    if (name == "macro") return macro();
    if (name == "call") return call();
    if (name == "filter") return filter();
    if (name == "with") return with();
    if (name == "generation") return generation();
    if (name == "break" || name == "continue") return jump(name);
    fail_at_line(
        line, fmt::format("unknown tag '{}'{}", name, ends.size() > 0 ? ": expected " + expected(ends) : ""));
  }

  /// Tells the scope that all of `target` is assigned to.
  void stored(const Target& target) {
    if (target.is_tuple)
      std::ranges::for_each(target.parts, [&](const Target& part) { stored(part); });
    else if (target.attribute.empty())
      scopes().store(target.name);
    else
      scopes().load(target.name);
  }

  /// The body of a branch that may not be taken, from its tag's "%}" on.
  Block branch(Names ends) {
    const Scopes::State before = scopes().state();
    Block block = body(ends);
    scopes().state() = Scopes::merge(before, {scopes().state(), before, before});
    return block;
  }

  std::unique_ptr<Stmt> if_block() {
    const size_t n_unknown = expressions_.unknown.size();
    auto node = std::make_unique<If>();
    node->branches.emplace_back(expressions_.tuple(false), Block{});
    const Scopes::State before = scopes().state();
    std::array<Scopes::State, 3> parts = {before, before, before};
    node->branches[0].second = body({"elif", "else", "endif"});
    parts[0] = std::exchange(scopes().state(), before);
    for (; stream_.now().is_name("elif");) {
      stream_.take();
      ExprPtr test = expressions_.tuple(false);
      node->branches.emplace_back(std::move(test), branch({"elif", "else", "endif"}));
    }
    parts[1] = std::exchange(scopes().state(), before);
    if (stream_.take().text == "else") {
      node->otherwise = body({"endif"});
      stream_.take();
    }
    parts[2] = scopes().state();
    scopes().state() = Scopes::merge(before, parts);
    expressions_.unknown.resize(n_unknown);
    return node;
  }

  std::unique_ptr<Stmt> for_block() {
    auto node = std::make_unique<ForNode>();
    ++expressions_.n_for;
    node->loop_name = stream_.number_of("loop");
    node->target = expressions_.target(false);
    stream_.expect_name("in");
    node->over = expressions_.tuple(false);
    if (stream_.skip_name("if")) {
      node->test = within(nullptr, [&] {
        stored(node->target);
        return strictly([&] { return expressions_.expression(); });
      });
    }
    node->recursive = stream_.skip_name("recursive");
    ++n_loops_;
    node->body = within(&node->hidden, [&] {
      scopes().declare(node->loop_name);
      stored(node->target);
      return strictly([&] { return body({"endfor", "else"}); });
    });
    --n_loops_;
    if (stream_.take().text == "else")
      node->otherwise = within(&node->hidden_otherwise, [&] { return own_body("endfor"); });
    --expressions_.n_for;
    return node;
  }

  std::unique_ptr<Stmt> set() {
    Target target = expressions_.target(true);
    if (stream_.skip_operator("=")) {
      auto node = std::make_unique<Set>();
      node->target = std::move(target);
      node->value = expressions_.tuple();
      stored(node->target);
      return node;
    }
    auto node = std::make_unique<SetBlock>();
    node->target = std::move(target);
    // Jinja does not look at the filter's variables when it decides what a name means.
    expressions_.loads_count = false;
    if (stream_.now().is_operator("|")) node->filter = expressions_.filters(std::make_unique<BlockText>());
    expressions_.loads_count = true;
    stored(node->target);
    node->body = within(&node->hidden, [&] { return own_body("endset"); });
    return node;
  }

  std::unique_ptr<Stmt> filter() {
    auto node = std::make_unique<FilterBlock>();
    node->filter = expressions_.filters(std::make_unique<BlockText>(), true);
    node->body = within(&node->hidden, [&] { return own_body("endfilter"); });
    return node;
  }

  std::unique_ptr<Stmt> with() {
    auto node = std::make_unique<With>();
    while (stream_.now().type != TokenType::BlockEnd) {
      if (!node->variables.empty()) stream_.expect_operator(",");
      Target target = expressions_.target(false);
      stream_.expect_operator("=");
      node->variables.emplace_back(std::move(target), expressions_.expression());
    }
    node->body = within(&node->hidden, [&] {
      for (const auto& [target, value] : node->variables) stored(target);
      return own_body("endwith");
    });
    return node;
  }

  std::unique_ptr<Stmt> generation() {
    auto node = std::make_unique<Generation>();
    node->body.text = "caller";
    scopes().open(&node->body.hidden);
    macro_body(node->body, "endgeneration");
    scopes().close();
    return node;
  }

  std::unique_ptr<Stmt> jump(const std::string& name) {
    if (n_loops_ == 0) stream_.fail(fmt::format("'{}' outside of a loop", name));
    auto node = std::make_unique<Jump>();
    node->flow = name == "break" ? Flow::Break : Flow::Continue;
    return node;
  }

  void signature(MacroNode& node) {
    stream_.expect_operator("(");
    while (!stream_.now().is_operator(")")) {
      if (!node.parameters.empty()) stream_.expect_operator(",");
      MacroNode::Parameter parameter;
      parameter.text = stream_.now().text;
      parameter.name = expressions_.name_target().name;
      scopes().declare(parameter.name);
      if (stream_.skip_operator("=")) {
        parameter.otherwise = strictly([&] { return expressions_.expression(); });
      } else if (!node.parameters.empty() && node.parameters.back().otherwise) {
        stream_.fail("non-default argument follows default argument");
      }
      node.parameters.push_back(std::move(parameter));
    }
    stream_.expect_operator(")");
  }

  /// The body, in which the names caller, varargs and kwargs mean something.
  void macro_body(MacroNode& node, std::string_view end) {
    expressions_.macros.push_back(&node);
    node.body = outside_of_loops([&] { return own_body(end); });
    expressions_.macros.pop_back();
  }

  std::unique_ptr<Stmt> macro() {
    auto node = std::make_unique<MacroNode>();
    node->text = stream_.now().text;
    node->name = expressions_.name_target().name;
    scopes().store(node->name);
    scopes().open(&node->hidden);
    signature(*node);
    macro_body(*node, "endmacro");
    scopes().close();
    return node;
  }

  std::unique_ptr<Stmt> call() {
    auto node = std::make_unique<CallBlock>();
    node->caller.line = stream_.now().line;
    node->caller.text = "caller";
    const int scope = scopes().open(&node->caller.hidden);
    if (stream_.now().is_operator("(")) signature(node->caller);
    scopes().close();
    ExprPtr expression = expressions_.expression();
    const auto* call = dynamic_cast<const Call*>(expression.get());
    if (!call) stream_.fail("expected a call");
    static_cast<void>(expression.release());  // node->call owns it now
    node->call.reset(call);
    scopes().reopen(scope);
    macro_body(node->caller, "endcall");
    scopes().close();
    return node;
  }

  TokenStream stream_;
  ExpressionParser expressions_;
  int n_loops_ = 0;
};

Tree Parser::run() {
  Tree result;
  result.body = strictly([&] { return statements({}); });
  result.names = stream_.take_names();
  result.hidden = scopes().finish();
  return result;
}

}  // namespace

Tree parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    fail_at_line(1, fmt::format("the template is too long: more than {} KiB", kMaxSourceBytes >> 10));
  }
  return Parser(source).run();
}

}  // namespace sw::jinja
