// SPDX-License-Identifier: MIT
#include "jinja/lang/token_stream.h"

#include <fmt/core.h>

#include "base/error.h"

namespace sw::jinja {
namespace {

std::string describe(const Token& token) {
  switch (token.type) {
    case TokenType::Data:
      return "template text";
    case TokenType::BlockBegin:
      return "'{%'";
    case TokenType::BlockEnd:
      return "'%}'";
    case TokenType::PrintBegin:
      return "'{{'";
    case TokenType::PrintEnd:
      return "'}}'";
    case TokenType::End:
      return "the template's end";
    case TokenType::String:
      return "a string";
    default:
      return "'" + printable(token.text, 40) + "'";
  }
}

}  // namespace

const Token& TokenStream::take() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenStream::skip_operator(std::string_view text) {
  const bool found = now().is_operator(text);
  if (found) take();
  return found;
}

bool TokenStream::skip_name(std::string_view text) {
  const bool found = now().is_name(text);
  if (found) take();
  return found;
}

void TokenStream::expect_operator(std::string_view text) {
  if (!skip_operator(text)) fail_unexpected(fmt::format("'{}'", text));
}

void TokenStream::expect_name(std::string_view text) {
  if (!skip_name(text)) fail_unexpected(fmt::format("'{}'", text));
}

void TokenStream::expect(TokenType type, std::string_view description) {
  if (now().type != type) fail_unexpected(description);
  take();
}

std::string TokenStream::take_any_name() {
  if (now().type != TokenType::Name) fail_unexpected("a name");
  return take().text;
}

void TokenStream::fail_unexpected(std::string_view expected) const {
  fail(fmt::format("expected {}, got {}", expected, describe(now())));
}

void TokenStream::fail_too_deep() const {
  fail(fmt::format("the template is nested too deeply: more than {} levels", kMaxNesting));
}

int TokenStream::number_of(const std::string& name) {
  const auto [at, is_new] = numbers_.emplace(name, static_cast<int>(names_.size()));
  if (is_new) names_.push_back(name);
  return at->second;
}

}  // namespace sw::jinja
