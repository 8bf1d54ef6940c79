// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/lang/lexer.h"
#include "jinja/values/budget.h"

namespace sw::jinja {

/// The tokens of a template on their way through the parser, and what the parsers of statements and
/// expressions share.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  /// The token, and goes on. The last is never passed.
  const Token& take();
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_operator(std::string_view text);
  void expect_name(std::string_view text);
  void expect(TokenType type, std::string_view description);
  std::string take_any_name();

  [[noreturn]] void fail(std::string what) const { fail_at_line(now().line, std::move(what)); }
  [[noreturn]] void fail_unexpected(std::string_view expected) const;

  /// The number of a variable's name.
  int number_of(const std::string& name);
  std::vector<std::string> take_names() { return std::move(names_); }

  /// Counts how deep the parser has gone while it lives.
  class Deeper {
   public:
    explicit Deeper(TokenStream& stream) : stream_(stream) {
      if (++stream_.depth_ > kMaxNesting) stream_.fail_too_deep();
    }
    ~Deeper() { --stream_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    TokenStream& stream_;
  };
  [[noreturn]] void fail_too_deep() const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  std::map<std::string, int> numbers_ = {};
  std::vector<std::string> names_ = {};
};

}  // namespace sw::jinja
