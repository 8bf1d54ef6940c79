// SPDX-License-Identifier: MIT
#include "jinja/lang/lexer.h"

#include <algorithm>
#include <charconv>
#include <fmt/core.h>
#include <optional>

#include "base/error.h"
#include "jinja/values/big_integer.h"
#include "jinja/values/budget.h"
#include "jinja/values/str.h"
#include "text/utf8.h"

namespace sw::jinja {
namespace {

/// "\r\n" and "\r" as "\n"; without the line end at the template's end.
std::string with_plain_line_ends(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

/// Where a tag begins; npos where none does.
size_t find_tag(std::string_view text) {
  for (size_t n = text.find('{'); n != text.npos; n = text.find('{', n + 1)) {
    const std::string_view next = text.substr(n + 1, 1);
    if (next == "%" || next == "{" || next == "#") return n;
  }
  return text.npos;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) text_and_tag();
    add(TokenType::End, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string what) const { fail_at_line(line_, std::move(what)); }
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  void add(TokenType type, std::string_view text) { tokens_.push_back({type, line_, std::string(text)}); }

  /// Goes on by `n` bytes.
  void advance(size_t n) {
    line_ += static_cast<int>(std::ranges::count(rest().substr(0, n), '\n'));
    at_ += n;
    if (n > 0) after_line_end_ = source_[at_ - 1] == '\n';
  }
  void skip_space() { advance(rest().size() - strip(rest(), {}, Side::Left).size()); }
  bool skip(std::string_view text) {
    if (!rest().starts_with(text)) return false;
    advance(text.size());
    return true;
  }
  /// The sign behind a tag's begin.
  char take_sign() {
    const char sign = at_ < source_.size() && (rest()[0] == '-' || rest()[0] == '+') ? rest()[0] : '\0';
    if (sign) advance(1);
    return sign;
  }

  /// Text up to the next tag, as the tag's sign leaves it, then the tag.
  void text_and_tag() {
    const size_t n = find_tag(rest());
    if (n == std::string_view::npos) {
      add(TokenType::Data, rest());
      advance(rest().size());
      return;
    }
    const size_t begin = at_;
    const int line = line_;
    const bool at_line_begin = after_line_end_;
    advance(n);
    const char kind = source_[at_ + 1];
    const size_t raw = kind == '%' ? raw_tag_size() : 0;
    advance(2);
    const char sign = take_sign();
    add_data(std::string_view(source_).substr(begin, n), line, sign, kind != '{', at_line_begin);
    if (raw) {
      advance(raw - 2 - (sign != 0));
      if (source_[at_ - 3] == '-') skip_space();
      raw_block();
    } else if (kind == '#') {
      comment();
    } else {
      add(kind == '%' ? TokenType::BlockBegin : TokenType::PrintBegin, "");
      tag(kind == '%');
    }
  }

  /// Adds template text that stands before a tag with this sign.
  void add_data(std::string_view text, int line, char sign, bool may_strip, bool at_line_begin) {
    if (sign == '-') {
      text = strip(text, {}, Side::Right);
    } else if (sign != '+' && may_strip) {             // lstrip_blocks
      const size_t line_begin = text.rfind('\n') + 1;  // 0 where there is none
      const bool blank = strip(text.substr(line_begin), {}).empty();
      if ((line_begin > 0 || at_line_begin) && blank) text = text.substr(0, line_begin);
    }
    if (!text.empty()) tokens_.push_back({TokenType::Data, line, std::string(text)});
  }

  /// Bytes of "{% raw %}" here, 0 where there is no such tag.
  size_t raw_tag_size() const {
    std::string_view text = rest().substr(2);
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    text = strip(text, {}, Side::Left);
    if (!text.starts_with("raw")) return 0;
    text = strip(text.substr(3), {}, Side::Left);
    const size_t end = text.starts_with("-%}") ? 3 : text.starts_with("%}") ? 2 : 0;
    return end ? rest().size() - text.size() + end : 0;
  }

  /// The end of a tag, "%}" or "#}", with its sign; false where none stands here.
  bool skip_tag_end(std::string_view end) {
    const std::string_view text = rest();
    const bool has_sign = text.starts_with('-') || text.starts_with('+');
    if (!text.substr(has_sign).starts_with(end)) return false;
    const char sign = has_sign ? text[0] : '\0';
    advance(has_sign + end.size());
    if (sign == '-') {
      skip_space();
    } else if (sign == '\0') {
      skip("\n");  // trim_blocks
    }
    return true;
  }

  void comment() {
    const size_t end = rest().find("#}");
    if (end == std::string_view::npos) fail("Missing end of comment tag");
    const bool has_sign = end > 0 && (rest()[end - 1] == '-' || rest()[end - 1] == '+');
    advance(end - has_sign);
    skip_tag_end("#}");
  }

  /// Everything up to the endraw tag is text.
  void raw_block() {
    const size_t begin = at_;
    const int line = line_;
    const bool at_line_begin = after_line_end_;
    for (size_t n; (n = rest().find("{%")) != std::string_view::npos;) {
      advance(n);
      const size_t end = at_;
      advance(2);
      const char sign = take_sign();
      skip_space();
      if (!skip("endraw")) continue;
      skip_space();
      if (!skip_tag_end("%}")) continue;
      const bool after_line_end = after_line_end_;
      add_data(std::string_view(source_).substr(begin, end - begin), line, sign, true, at_line_begin);
      after_line_end_ = after_line_end;
      return;
    }
    fail("Missing end of raw directive");
  }

  /// The tokens inside of {% %} or {{ }}.
  void tag(bool block) {
    std::string open;  // brackets
    while (true) {
      const size_t before = at_;
      if (open.empty() && end_of_tag(block)) return;
      skip_space();
      if (at_ != before) continue;
      if (at_ == source_.size()) fail("unexpected end of template, in a tag");
      if (is_digit(rest()[0])) {
        number();
      } else if (rest()[0] == '\'' || rest()[0] == '"') {
        string();
      } else if (!name()) {
        punctuation(open);
      }
    }
  }

  bool end_of_tag(bool block) {
    const int line = line_;
    if (block) {
      if (!skip_tag_end("%}")) return false;
      tokens_.push_back({TokenType::BlockEnd, line, ""});
      return true;
    }
    const bool strips = rest().starts_with("-}}");
    if (!strips && !rest().starts_with("}}")) return false;
    advance(strips ? 3 : 2);
    if (strips) skip_space();
    tokens_.push_back({TokenType::PrintEnd, line, ""});
    return true;
  }

  bool name() {
    size_t n = 0;
    while (n < rest().size()) {
      size_t next = n;
      if (!is_name_character(next_code_point(rest(), next))) break;
      n = next;
    }
    if (n == 0) return false;
    add(TokenType::Name, rest().substr(0, n));
    advance(n);
    return true;
  }

  void punctuation(std::string& open) {
    constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                               "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                               ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    const auto found =
        std::ranges::find_if(kOperators, [&](std::string_view op) { return rest().starts_with(op); });
    if (found == std::end(kOperators)) {
      size_t n = 0;
      next_code_point(rest(), n);
      fail(fmt::format("unexpected character '{}'", rest().substr(0, n)));
    }
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (open.size() > kMaxNesting)
        fail(fmt::format("more than {} brackets inside each other", kMaxNesting));
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail(fmt::format("unexpected '{}'", c));
      if (open.back() != c) fail(fmt::format("unexpected '{}', expected '{}'", c, open.back()));
      open.pop_back();
    }
    add(TokenType::Operator, *found);
    advance(found->size());
  }

  /// Digits with single underscores between them; how many bytes from `from` on.
  size_t digits(size_t from, int base) const {
    const auto is_one = [&](size_t i) {
      if (i >= rest().size()) return false;
      const char c = rest()[i];
      return base == 16 ? std::string_view("0123456789abcdefABCDEF").find(c) != std::string_view::npos
                        : c >= '0' && c < '0' + base;
    };
    size_t n = from;
    while (is_one(n) || (n > from && n < rest().size() && rest()[n] == '_' && is_one(n + 1))) ++n;
    return n - from;
  }

  /// Bytes of the float here, 0 where there is none.
  size_t float_size() const {
    if (at_ > 0 && source_[at_ - 1] == '.') return 0;
    const size_t whole = digits(0, 10);
    size_t n = whole;
    const auto is = [&](size_t i, std::string_view any) {
      return i < rest().size() && any.find(rest()[i]) != std::string_view::npos;
    };
    if (is(n, ".") && digits(n + 1, 10) > 0) n += 1 + digits(n + 1, 10);
    if (is(n, "eE")) {
      const size_t sign = is(n + 1, "+-");
      const size_t exponent = digits(n + 1 + sign, 10);
      if (exponent > 0) n += 1 + sign + exponent;
    }
    return n > whole ? n : 0;
  }

  void number() {
    if (const size_t n = float_size()) {
      std::string text(rest().substr(0, n));
      std::erase(text, '_');
      add(TokenType::Float, text);
      tokens_.back().number = std::strtod(text.c_str(), nullptr);
      advance(n);
      return;
    }
    const char marker = rest().size() > 1 && rest()[0] == '0' ? static_cast<char>(rest()[1] | 0x20) : '\0';
    int base = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 10;
    size_t prefix = base == 10 ? 0 : 2;
    if (prefix && rest().substr(2).starts_with('_')) ++prefix;
    if (prefix && digits(prefix, base) == 0) base = 10, prefix = 0;
    size_t n = digits(prefix, base);
    if (base == 10 && rest()[0] == '0') {  // 0 and 00, but 01 is two numbers
      const size_t zeros = std::min(rest().find_first_not_of("0_"), rest().size());
      n = std::min(n, zeros);
    }
    std::string text(rest().substr(prefix, n));
    std::erase(text, '_');
    add(TokenType::Integer, rest().substr(0, prefix + n));
    const auto result = std::from_chars(text.data(), text.data() + text.size(), tokens_.back().integer, base);
    if (result.ec != std::errc()) {
      if (base != 10) fail("an integer beyond 64 bits must be written in base 10");
      if (text.size() > kMaxDigits) fail(fmt::format("an integer of more than {} digits", kMaxDigits));
      tokens_.back() = {TokenType::BigInteger, line_, text};
    }
    advance(prefix + n);
  }

  void string() {
    const char quote = rest()[0];
    size_t n = 1;
    while (n < rest().size() && rest()[n] != quote) n += rest()[n] == '\\' ? 2 : 1;
    if (n >= rest().size()) fail(fmt::format("unexpected char {}: a string does not end", quote));
    add(TokenType::String, unescape(rest().substr(1, n - 1)));
    advance(n + 1);
  }

  /// What Python's "unicode-escape" makes of a string's inside.
  std::string unescape(std::string_view text) const {
    std::string out;
    while (!text.empty()) {
      const size_t n = std::min(text.find('\\'), text.size());
      out += text.substr(0, n);
      text.remove_prefix(n);
      if (!text.empty()) escape(text, out);
    }
    return out;
  }

  /// The escape in front of `text`, which loses it.
  void escape(std::string_view& text, std::string& out) const {
    constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char c = text[1];
    const size_t letter = kLetters.find(c);
    size_t n = 2;
    if (letter != kLetters.npos) {
      out += kMeanings[letter];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      append_code(text.substr(2, n_digits), n_digits, 16, out);
      n += n_digits;
    } else if (c >= '0' && c <= '7') {
      const size_t n_digits =
          std::min(std::min(text.substr(1, 3).find_first_not_of("01234567"), size_t{3}), text.size() - 1);
      append_code(text.substr(1, n_digits), n_digits, 8, out);
      n = 1 + n_digits;
    } else if (c == 'N') {
      fail("\\N{...} in a string is not supported");
    } else if (c != '\n') {  // an unknown escape stays as it is
      out += '\\';
      n = 1;
    }
    text.remove_prefix(n);
  }

  void append_code(std::string_view digits, size_t n_digits, int base, std::string& out) const {
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
    const bool complete =
        digits.size() == n_digits && error == std::errc() && end == digits.data() + digits.size();
    const bool valid = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    if (!complete || !valid) fail("an escape in a string is no character");
    append_utf8(code, out);
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool after_line_end_ = true;
  std::vector<Token> tokens_ = {};
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  if (valid_utf8_prefix(source) != source.size()) {
    throw Error({.what = "a chat template must be UTF-8",
                 .where = fmt::format("chat template, offset {}", valid_utf8_prefix(source))});
  }
  return Lexer(with_plain_line_ends(source)).run();
}

}  // namespace sw::jinja
