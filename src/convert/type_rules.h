// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quant/type.h"
#include "text/regex.h"

namespace sw {

/// A user's choice for the tensors whose name a pattern finds (searched, not anchored).
struct TensorTypeRule {
  std::string pattern = {};
  Type type = Type::F32;
  const char* flag = "--tensor-type";  ///< that it came from, for messages
};

/// A format by its name in any case. Throws sw::Error that names `flag`, the place of the name, and all
/// formats.
Type parse_type(std::string_view name, const char* flag);

/// "REGEX=TYPE", as in "ffn_down_exps=q6_k". Throws sw::Error.
TensorTypeRule parse_tensor_type_rule(std::string_view text);

/// Rules, compiled.
class TypeRules {
 public:
  /// Throws sw::Error for a pattern that is too long or no regular expression.
  explicit TypeRules(const std::vector<TensorTypeRule>& rules);

  /// The type of the first rule that finds the name. Throws sw::Error for a name that is not valid UTF-8.
  std::optional<Type> find(const std::string& tensor_name);
  /// Throws sw::Error where a rule never decided: it would be a slip of the pen.
  void refuse_unused() const;

 private:
  struct Compiled {
    TensorTypeRule rule = {};
    Regex regex;
    bool used = false;
  };
  std::vector<Compiled> rules_;
};

}  // namespace sw
