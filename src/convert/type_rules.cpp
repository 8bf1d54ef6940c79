// SPDX-License-Identifier: MIT
#include "convert/type_rules.h"

#include <fmt/format.h>

#include "base/edit_distance.h"
#include "base/error.h"
#include "base/letter_case.h"
#include "text/utf8.h"

namespace sw {
namespace {

constexpr size_t kMaxBytes = 256;
constexpr const char* kFlag = "--tensor-type";

Regex compile(const TensorTypeRule& rule) {
  const std::string& pattern = rule.pattern;
  if (pattern.empty() || pattern.size() > kMaxBytes) {
    throw Error({.what = "a tensor pattern has a wrong length",
                 .where = rule.flag,
                 .expected = "1 to " + std::to_string(kMaxBytes) + " bytes",
                 .got = std::to_string(pattern.size())});
  }
  try {
    return Regex(pattern, {}, Regex::Dialect::Pcre2);
  } catch (const Error& e) {
    throw Error({.what = "a tensor pattern is no regular expression",
                 .where = std::string(rule.flag) + " " + pattern,
                 .got = e.parts().got.empty() ? e.parts().what : e.parts().got});
  }
}

}  // namespace

Type parse_type(std::string_view name, const char* flag) {
  if (const std::optional<Type> type = type_from_name(name)) return *type;
  const std::vector<std::string> known = type_names();
  const std::string near = nearest(upper_case(name), known);
  throw Error(
      {.what = "unknown weight format",
       .where = flag,
       .expected = fmt::format("one of {}", fmt::join(known, ", ")),
       .got = printable(std::string(name)),
       .hint = near.empty() ? "mixes such as Q4_K_M are for whole files" : "did you mean " + near + "?"});
}

TensorTypeRule parse_tensor_type_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos) {
    throw Error({.what = "not a tensor type rule",
                 .where = kFlag,
                 .expected = "REGEX=TYPE, as in ffn_down_exps=q6_k",
                 .got = std::string(text)});
  }
  return {std::string(text.substr(0, equals)), parse_type(text.substr(equals + 1), kFlag), kFlag};
}

TypeRules::TypeRules(const std::vector<TensorTypeRule>& rules) {
  for (const TensorTypeRule& rule : rules) rules_.push_back({rule, compile(rule)});
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
                 .where = std::string(compiled.rule.flag) + " " + compiled.rule.pattern,
                 .hint = "vectors and routers keep their type; of several patterns the first counts"});
  }
}

}  // namespace sw
