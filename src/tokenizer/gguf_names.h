// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <optional>
#include <string_view>

#include "tokenizer/spec.h"

namespace sw {

/// How values of a TokenizerSpec are called in a GGUF file: one list for reading and writing.
template <class Value>
struct GgufName {
  std::string_view name;
  Value value;
};

/// tokenizer.ggml.model
inline constexpr GgufName<TokenizerKind> kTokenizerKinds[] = {
    {"gpt2", TokenizerKind::ByteBpe},
    {"llama", TokenizerKind::CharBpe},
    {"t5", TokenizerKind::Unigram},
};

/// tokenizer.switchyard.space_prefix: what tokenizer.ggml.add_space_prefix cannot say. split_words has a key
/// of its own.
inline constexpr GgufName<SpaceRule> kSpacePrefixes[] = {
    {"first", {.prefix = SpaceRule::Prefix::First}},
    {"first-if-missing", {.prefix = SpaceRule::Prefix::First, .if_missing = true}},
    {"always-if-missing", {.prefix = SpaceRule::Prefix::Always, .if_missing = true}},
};

/// tokenizer.switchyard.pre_split
inline constexpr GgufName<SplitRule> kSplitRules[] = {
    {"isolated", {}},
    {"removed", {SplitRule::Behavior::Removed}},
    {"removed-inverted", {SplitRule::Behavior::Removed, true}},
    {"merged-with-previous", {SplitRule::Behavior::MergedWithPrevious}},
    {"merged-with-previous-inverted", {SplitRule::Behavior::MergedWithPrevious, true}},
    {"merged-with-next", {SplitRule::Behavior::MergedWithNext}},
    {"merged-with-next-inverted", {SplitRule::Behavior::MergedWithNext, true}},
    {"contiguous", {SplitRule::Behavior::Contiguous}},
    {"contiguous-inverted", {SplitRule::Behavior::Contiguous, true}},
};

template <class Value, size_t kN>
std::optional<Value> value_of(const GgufName<Value> (&names)[kN], std::string_view name) {
  const auto* found = std::ranges::find(names, name, &GgufName<Value>::name);
  return found == std::end(names) ? std::nullopt : std::optional(found->value);
}

template <class Value, size_t kN>
std::optional<std::string_view> name_of(const GgufName<Value> (&names)[kN], const Value& value) {
  const auto* found = std::ranges::find(names, value, &GgufName<Value>::value);
  return found == std::end(names) ? std::nullopt : std::optional(found->name);
}

}  // namespace sw
