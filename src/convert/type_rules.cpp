// SPDX-License-Identifier: MIT
#include "convert/type_rules.h"

#include "base/error.h"
#include "text/utf8.h"

namespace sw {
namespace {

constexpr size_t kMaxBytes = 256;
constexpr const char* kFlag = "--tensor-type";

Regex compile(const std::string& pattern) {
  if (pattern.empty() || pattern.size() > kMaxBytes) {
    throw Error({.what = "a tensor pattern has a wrong length",
                 .where = kFlag,
                 .expected = "1 to " + std::to_string(kMaxBytes) + " bytes",
                 .got = std::to_string(pattern.size())});
  }
  try {
    return Regex(pattern, {}, Regex::Dialect::Pcre2);
  } catch (const Error& e) {
    throw Error({.what = "a tensor pattern is no regular expression",
                 .where = std::string(kFlag) + " " + pattern,
                 .got = e.parts().got.empty() ? e.parts().what : e.parts().got});
  }
}

}  // namespace

TensorTypeRule parse_tensor_type_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  const std::optional<Type> type =
      equals == std::string_view::npos ? std::nullopt : type_from_name(text.substr(equals + 1));
  if (!type) {
    throw Error({.what = "not a tensor type rule",
                 .where = kFlag,
                 .expected = "REGEX=TYPE, as in ffn_down_exps=q6_k",
                 .got = std::string(text)});
  }
  return {std::string(text.substr(0, equals)), *type};
}

TypeRules::TypeRules(const std::vector<TensorTypeRule>& rules) {
  for (const TensorTypeRule& rule : rules) rules_.push_back({rule, compile(rule.pattern)});
}

std::optional<Type> TypeRules::find(const std::string& tensor_name) {
  if (rules_.empty()) return std::nullopt;
  if (valid_utf8_prefix(tensor_name) != tensor_name.size()) {
    throw Error({.what = "a tensor's name is not valid UTF-8, which tensor patterns need",
                 .where = kFlag,
                 .got = printable(tensor_name)});
  }
  for (Compiled& compiled : rules_) {
    if (!compiled.regex.finds(tensor_name)) continue;
    compiled.used = true;
    return compiled.rule.type;
  }
  return std::nullopt;
}

void TypeRules::refuse_unused() const {
  for (const Compiled& compiled : rules_) {
    if (compiled.used) continue;
    throw Error({.what = "a tensor pattern decides for no tensor",
                 .where = std::string(kFlag) + " " + compiled.rule.pattern,
                 .hint = "vectors and routers keep their type; of several patterns the first counts"});
  }
}

}  // namespace sw
