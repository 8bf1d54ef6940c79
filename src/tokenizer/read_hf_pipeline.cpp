// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cctype>

#include "tokenizer/config_keys.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/read_hf.h"
#include "tokenizer/spaces.h"

namespace sw {
namespace {

using Json = nlohmann::json;

/// Calls `visit` for a component, or for each part of a Sequence (whose parts stand in `list`).
template <class F>
void for_each_part(const JsonObject& owner, const char* name, const char* list, F&& visit) {
  const Json* component = owner.find(name);
  if (!component) return;
  const JsonObject whole(*component, owner.where() + "." + name);
  const auto checked = [&](const JsonObject& part) {
    check_members(part, part.text("type"));
    visit(part);
  };
  if (whole.text("type") != "Sequence") return checked(whole);
  check_members(whole, "Sequence");
  const Json& parts = whole.array(list);
  for (size_t i = 0; i < parts.size(); ++i) {
    checked(JsonObject(parts[i], whole.where() + "." + list + "[" + std::to_string(i) + "]"));
  }
}

/// What the parts said so far.
struct Cutting {
  bool byte_level = false;    // bytes become the characters of an alphabet
  bool marks_spaces = false;  // spaces become U+2581
};

void read_normalizer(const JsonObject& part, Cutting& cutting, TokenizerSpec& spec) {
  const std::string type = part.text("type");
  if (type == "NFC") {
    spec.nfc = true;
  } else if (type == "Prepend") {
    if (part.text("prepend") != kSpaceMark) part.fail("prepend", "this is not supported", "a space's mark");
    spec.spaces.prefix = SpaceRule::Prefix::Always;
  } else if (type == "Replace") {
    if (part.object("pattern").text("String") != " ")
      part.fail("pattern", "this is not supported", "a space");
    if (part.text("content") != kSpaceMark) part.fail("content", "this is not supported", "a space's mark");
    cutting.marks_spaces = true;
  } else {
    part.fail("type", "this normalizer is not supported", "NFC, Prepend or Replace");
  }
}

SplitRule split_rule(const JsonObject& part) {
  using Behavior = SplitRule::Behavior;
  static constexpr std::pair<std::string_view, Behavior> kBehaviors[] = {
      {"Isolated", Behavior::Isolated},
      {"Removed", Behavior::Removed},
      {"MergedWithPrevious", Behavior::MergedWithPrevious},
      {"MergedWithNext", Behavior::MergedWithNext},
      {"Contiguous", Behavior::Contiguous},
  };
  const std::string name = part.text("behavior", "Isolated");
  for (const auto& [known, behavior] : kBehaviors) {
    if (name != known) continue;
    // Where each piece stands alone, it does not matter which of them are called matches.
    return {behavior, behavior != Behavior::Isolated && part.flag("invert", false)};
  }
  part.fail("behavior", "this way to split is not known",
            "Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous");
}

/// The pattern of a Split: a regular expression, or a text that is found as it stands.
std::string split_pattern(const JsonObject& split) {
  const JsonObject pattern = split.object("pattern");
  std::string regex = pattern.text("Regex");
  for (const char c : pattern.text("String")) {
    if (std::ispunct(static_cast<unsigned char>(c))) regex += '\\';
    regex += c;
  }
  return regex;
}

void add_stage(std::string pattern, SplitRule rule, TokenizerSpec& spec) {
  const std::vector<std::string> alone = {pattern};
  const bool covers_all = match_pre_tokenizer(alone, false) || match_pre_tokenizer(alone, true);
  const SplitRule only_matches = {SplitRule::Behavior::Removed, true};
  if (covers_all && rule == only_matches) rule = {};
  if (rule != SplitRule{}) {
    spec.split_rules.resize(spec.patterns.size());
    spec.split_rules.push_back(rule);
  }
  spec.patterns.push_back(std::move(pattern));
}

/// The characters that the library calls punctuation: ASCII's and Unicode's.
constexpr const char* kPunctuation = R"([!-/:-@\[-`{-~\p{P}])";

/// As a pattern of bytes: Digits of the alphabet's characters, some of which stand for other bytes.
constexpr const char* kAlphabetDigits = R"((?-u)[0-9\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}])";

/// Parts after ByteLevel see the alphabet, where most of ASCII stands for itself.
void read_after_byte_level(const JsonObject& part, TokenizerSpec& spec) {
  const std::string type = part.text("type");
  if (type == "Digits") {
    spec.patterns.emplace_back(kAlphabetDigits);
    if (!part.flag("individual_digits", false)) spec.patterns.back() += '+';
  } else if (type == "Split") {
    const std::string pattern = split_pattern(part);
    const auto is_plain = [](char c) { return c > ' ' && c <= '~' && c != '\\'; };
    if (pattern.empty() || !std::ranges::all_of(pattern, is_plain))
      part.fail("pattern", "after ByteLevel this is not supported", "a pattern of plain ASCII");
    add_stage("(?-u)" + pattern, split_rule(part), spec);
  } else {
    part.fail("type", "after ByteLevel this is not supported", "Digits or Split");
  }
}

void read_metaspace(const JsonObject& part, TokenizerSpec& spec) {
  using Prefix = SpaceRule::Prefix;
  if (part.text("replacement") != kSpaceMark) part.fail("replacement", "this is not supported", "U+2581");
  const std::string scheme =
      part.text("prepend_scheme", part.flag("add_prefix_space", true) ? "always" : "never");
  if (scheme != "first" && scheme != "always" && scheme != "never")
    part.fail("prepend_scheme", "this is not known", "first, always or never");
  if (spec.spaces.prefix != Prefix::Never && scheme != "never")
    part.fail("prepend_scheme", "the normalizer adds a space too", "never");
  if (scheme != "never") {
    spec.spaces.prefix = scheme == "first" ? Prefix::First : Prefix::Always;
    spec.spaces.if_missing = true;
  }
  spec.spaces.split_words = part.flag("split", true);
}

void read_pre_tokenizer(const JsonObject& part, Cutting& cutting, TokenizerSpec& spec) {
  if (cutting.byte_level) return read_after_byte_level(part, spec);
  const std::string type = part.text("type");
  if (type == "Split") {
    add_stage(split_pattern(part), split_rule(part), spec);
    if (spec.patterns.back().empty())
      part.fail("pattern", "this must be {\"Regex\": ...} or {\"String\": ...}");
  } else if (type == "Digits") {
    spec.patterns.push_back(part.flag("individual_digits", false) ? "\\p{N}" : "\\p{N}+");
  } else if (type == "Punctuation") {
    const SplitRule rule = split_rule(part);
    if (rule.behavior == SplitRule::Behavior::Contiguous)
      add_stage(std::string(kPunctuation) + '+', {}, spec);
    else
      add_stage(kPunctuation, rule, spec);
  } else if (type == "ByteLevel") {
    cutting.byte_level = true;
    if (part.flag("add_prefix_space", true)) part.fail("add_prefix_space", "this is not supported", "false");
    if (part.flag("use_regex", true)) spec.patterns.emplace_back(find_pre_tokenizer("gpt-2")->patterns[0]);
  } else if (type == "Metaspace") {
    cutting.marks_spaces = true;
    read_metaspace(part, spec);
  } else {
    part.fail("type", "this pre-tokenizer is not supported",
              "Split, Digits, Punctuation, ByteLevel or Metaspace");
  }
}

int32_t template_id(const JsonObject& processor, const std::string& name, size_t n_vocab) {
  const JsonObject tokens = processor.object("special_tokens");
  const Json& ids = tokens.object(name.c_str()).array("ids");
  const bool usable = ids.size() == 1 && ids[0].is_number_integer() && ids[0] >= 0 && ids[0] < n_vocab;
  if (!usable) tokens.fail(name.c_str(), "this must have one id, that of a token");
  return ids[0].get<int32_t>();
}

/// The name of a template's special token; empty for a sequence.
std::string special_name(const Json& entry, const std::string& where) {
  const JsonObject item(entry, where);
  return item.find("SpecialToken") ? item.object("SpecialToken").text("id") : std::string();
}

void read_template(const JsonObject& processor, TokenizerSpec& spec) {
  const std::string where = processor.where() + ".single";
  bool after_text = false;
  for (const Json& entry : processor.array("single")) {
    const std::string name = special_name(entry, where);
    if (name.empty())
      after_text = true;
    else
      (after_text ? spec.suffix : spec.prefix).push_back(template_id(processor, name, spec.tokens.size()));
  }
  // Whether a separator joins pairs; nothing here uses it, but mainline's files say it.
  const Json* pair = processor.find("pair");
  if (!pair || !pair->is_array()) return;
  const auto is_sequence = [&](const Json& entry) {
    return special_name(entry, processor.where() + ".pair").empty();
  };
  const auto first = std::ranges::find_if(*pair, is_sequence);
  if (first != pair->end() && std::next(first) != pair->end() && !is_sequence(*std::next(first)))
    spec.add_sep = false;
}

}  // namespace

void read_cutting(const JsonObject& file, TokenizerSpec& spec) {
  Cutting cutting;
  for_each_part(file, "normalizer", "normalizers",
                [&](const JsonObject& part) { read_normalizer(part, cutting, spec); });
  for_each_part(file, "pre_tokenizer", "pretokenizers",
                [&](const JsonObject& part) { read_pre_tokenizer(part, cutting, spec); });
  const bool is_unigram = file.object("model").text("type") == "Unigram";
  if (cutting.byte_level) {
    if (is_unigram) file.fail("pre_tokenizer", "bytes are not supported in a Unigram", "Metaspace");
    if (cutting.marks_spaces || spec.spaces != SpaceRule{})
      file.fail("normalizer", "spaces and bytes cannot both be replaced", "no change to spaces");
    return;
  }
  if (!cutting.marks_spaces)
    file.fail("pre_tokenizer", "only BPE of bytes or with marked spaces is supported", "a ByteLevel part");
  if (!spec.patterns.empty())
    file.fail("pre_tokenizer", "with marked spaces this is not supported", "nothing or Metaspace");
  spec.kind = is_unigram ? TokenizerKind::Unigram : TokenizerKind::CharBpe;
}

void read_affixes(const JsonObject& file, TokenizerSpec& spec) {
  for_each_part(file, "post_processor", "processors", [&](const JsonObject& part) {
    const std::string type = part.text("type");
    if (type == "TemplateProcessing")
      read_template(part, spec);
    else if (type != "ByteLevel")
      part.fail("type", "this post-processor is not supported", "ByteLevel or TemplateProcessing");
  });
}

}  // namespace sw
