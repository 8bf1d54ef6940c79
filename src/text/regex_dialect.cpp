// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cctype>
#include <vector>

#include "base/error.h"
#include "text/regex.h"

namespace sw {
namespace {

/// Walks over a pattern once and writes it out, unit by unit.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) unit();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error({.what = what, .where = where_ + ", offset " + std::to_string(at_)});
  }

  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  void copy(size_t n = 1) {
    out_ += in_.substr(at_, n);
    at_ += n;
  }

  void unit() {
    switch (peek()) {
      case '(':
        return open_group();
      case ')':
        if (groups_.empty()) refuse("')' without '('");
        atom_ = groups_.back();
        groups_.pop_back();
        return copy();
      case '{':
        return interval();
      case '*':
      case '+':
      case '?':
        return copy();
      case '[':
        atom_ = out_.size();
        return char_class();
      case '\\':
        atom_ = out_.size();
        return escape();
      default:
        // A continuation byte belongs to the atom of its lead.
        if ((static_cast<uint8_t>(peek()) & 0xC0) != 0x80) atom_ = out_.size();
        return copy();
    }
  }

  /// Only groups that mean the same in both: (?m) is another flag in Ruby, (*...) a command in PCRE2.
  void open_group() {
    groups_.push_back(out_.size());
    copy();
    if (peek() == '*') refuse("a command is not supported");
    if (peek() != '?') return;
    static constexpr std::string_view kKnown[] = {"?:", "?=", "?!", "?>", "?<=", "?<!", "?i:", "?i)", "?-i:"};
    for (const std::string_view known : kKnown) {
      if (in_.substr(at_).starts_with(known))
        return copy(known.back() == ')' ? known.size() - 1 : known.size());
    }
    refuse("this kind of group is not supported");
  }

  /// In Ruby X{n,m}+ repeats the interval; in PCRE2 it would be possessive.
  void interval() {
    const size_t end = in_.find_first_not_of("0123456789,", at_ + 1);
    const bool is_interval = end != std::string_view::npos && in_[end] == '}' && end > at_ + 1;
    if (!is_interval) {
      atom_ = out_.size();
      return copy();
    }
    copy(end + 1 - at_);
    if (peek() != '+') return;
    out_.insert(atom_, "(?:");
    out_ += ')';
  }

  void char_class(bool nested = false) {
    const size_t begin = out_.size();
    copy();
    const bool negated = peek() == '^';
    if (negated) copy();
    if (peek() == ']') refuse("a character class that begins with ']' is not supported");
    while (peek() != ']') {
      if (at_ >= in_.size()) refuse("a character class without an end");
      if (peek() == '&' && peek(1) == '&') return intersection(begin, !negated && !nested);
      if (peek() == '[')
        inner_class();
      else if (peek() == '\\')
        escape(true);
      else
        copy();
    }
    copy();
  }

  /// [x[y]] is [xy], which is what PCRE2 can say. Bloom's pattern has one.
  void inner_class() {
    const bool may_be_range = at_ > 0 && in_[at_ - 1] == '-';
    ++at_;
    if (may_be_range || peek() == '^' || peek() == ']')
      refuse("this character class within a class is not supported");
    while (peek() != ']') {
      if (at_ >= in_.size()) refuse("a character class without an end");
      if (peek() == '[' || peek() == '&') refuse("a character class three deep is not supported");
      if (peek() == '\\')
        escape(true);
      else
        copy();
    }
    ++at_;
    if (peek() == '-') refuse("a range after a character class is not supported");
  }

  /// [x&&[y]], which PCRE2 does not know, as one character of x that is one of y too. The class began at
  /// `begin` of out_.
  void intersection(size_t begin, bool is_plain) {
    constexpr const char* kRefusal = "this intersection of character classes is not supported";
    if (!is_plain || peek(2) != '[') refuse(kRefusal);
    const std::string first = out_.substr(begin) + ']';
    out_.replace(begin, std::string::npos, "(?:(?=");
    at_ += 2;
    char_class(true);
    if (peek() != ']') refuse(kRefusal);
    ++at_;
    out_ += ')' + first + ')';
  }

  /// What is not the same in both.
  bool translate_escape(bool in_class) {
    // Oniguruma's word characters: PCRE2 10.42 leaves out marks, and takes fewer of what looks like letters.
    static constexpr std::string_view kWord =
        R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}])";
    const char c = peek(1);
    if (c == 's' || c == 'S') {
      // PCRE2's \s also takes U+180E, which is no white space since Unicode 6.3.
      out_ += c == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
    } else if (c == 'b' && !in_class) {
      out_ += "(?:(?<=" + std::string(kWord) + ")(?!" + std::string(kWord) + ")|(?<!" + std::string(kWord) +
              ")(?=" + std::string(kWord) + "))";
    } else if (c == 'u') {
      const std::string_view digits = in_.substr(std::min(at_ + 2, in_.size()), 4);
      if (digits.size() < 4 || !std::ranges::all_of(digits, [](unsigned char d) { return std::isxdigit(d); }))
        refuse("\\u must have four hexadecimal digits");
      out_ += "\\x{" + std::string(digits) + "}";
      at_ += 4;
    } else {
      return false;
    }
    at_ += 2;
    return true;
  }

  void escape(bool in_class = false) {
    if (translate_escape(in_class)) return;
    const char c = peek(1);
    const bool same_in_both =
        c != '\0' && (std::string_view("pPdDrntfaeAzZ").find(c) != std::string_view::npos ||
                      (c == 'G' && !in_class) || std::ispunct(static_cast<uint8_t>(c)) || c == ' ');
    const bool code_point = c == 'x' && peek(2) == '{';
    if (!same_in_both && !code_point) refuse("this escape is not supported");
    copy(2);
    // PCRE2's bare names of scripts also take what is used with the script.
    static constexpr std::string_view kScripts[] = {"{Han}",    "{Hiragana}", "{Katakana}", "{Hangul}",
                                                    "{Latin}",  "{Greek}",    "{Cyrillic}", "{Arabic}",
                                                    "{Hebrew}", "{Thai}"};
    for (const std::string_view script : kScripts) {
      if ((c != 'p' && c != 'P') || !in_.substr(at_).starts_with(script)) continue;
      out_ += "{sc:";
      at_ += 1;
      return copy(script.size() - 1);
    }
    // A brace that belongs to the escape is no interval.
    if ((c == 'p' || c == 'P' || c == 'x') && peek() == '{') {
      const size_t end = in_.find('}', at_);
      if (end == std::string_view::npos) refuse("'{' without '}'");
      copy(end + 1 - at_);
    }
  }

  std::string_view in_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where in out_ the last thing that can be repeated begins
  std::vector<size_t> groups_;  // where in out_ the open groups begin
};

}  // namespace

std::string to_pcre2(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace sw
