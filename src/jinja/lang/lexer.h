// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sw::jinja {

enum class TokenType : uint8_t {
  Data,  ///< template text
  BlockBegin,
  BlockEnd,
  PrintBegin,
  PrintEnd,
  Name,
  String,
  Integer,
  BigInteger,  ///< beyond 64 bits: the text is its decimal digits
  Float,
  Operator,
  End,
};

struct Token {
  TokenType type = TokenType::End;
  int line = 1;
  std::string text = {};  ///< of a String without quotes and escapes; of Data as it will be written
  int64_t integer = 0;
  double number = 0;

  bool is(TokenType t, std::string_view s) const { return type == t && text == s; }
  bool is_operator(std::string_view s) const { return is(TokenType::Operator, s); }
  bool is_name(std::string_view s) const { return is(TokenType::Name, s); }
};

/// Cuts a template (UTF-8) into tokens, with white space already treated as Jinja's options trim_blocks and
/// lstrip_blocks and the signs - and + in tags want it. Comments and raw tags are gone. The last is End.
/// Throws sw::Error naming the line.
std::vector<Token> tokenize(std::string_view source);

}  // namespace sw::jinja
