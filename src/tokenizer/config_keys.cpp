// SPDX-License-Identifier: MIT
#include "tokenizer/config_keys.h"

#include <algorithm>
#include <span>

#include "formats/idle_keys.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spaces.h"

namespace sw {
namespace {

using Json = nlohmann::json;
using Names = std::span<const std::string_view>;

constexpr std::string_view kRead[] = {"added_tokens_decoder", "additional_special_tokens",
                                      "extra_special_tokens", "model_specific_special_tokens",
                                      "add_bos_token",        "add_eos_token",
                                      "add_sep_token",        "chat_template",
                                      "split_special_tokens"};

constexpr std::string_view kAbout[] = {"tokenizer_class", "auto_map",
                                       "name_or_path",    "special_tokens_map_file",
                                       "tokenizer_file",  "vocab_file",
                                       "merges_file",     "model_type",
                                       "vocab_size",      "transformers_version",
                                       "license",         "processor_class"};
constexpr std::string_view kRunning[] = {
    "backend",          "use_fast", "fast_tokenizer",    "from_slow", "trust_remote_code",
    "local_files_only", "is_local", "model_input_names", "verbose",   "return_token_type_ids"};
constexpr std::string_view kBatches[] = {
    "model_max_length", "max_length",        "padding", "padding_side",       "truncation",
    "truncation_side",  "pad_token_type_id", "stride",  "pad_to_multiple_of", "truncation_strategy"};
// transformers never cleans up the text of a BPE (5.0 and later), and puts no spaces between special tokens
// in one that comes from a tokenizer.json.
constexpr std::string_view kDecoding[] = {"clean_up_tokenization_spaces", "spaces_between_special_tokens",
                                          "errors", "skip_special_tokens"};
// They say how a class makes what tokenizer.json holds.
constexpr std::string_view kMaking[] = {
    "legacy",       "strip_accents", "tokenize_chinese_chars", "do_basic_tokenize", "never_split",
    "remove_space", "keep_accents",  "trim_offsets",           "wordpieces_prefix"};
constexpr std::string_view kPrompts[] = {"use_default_system_prompt", "default_system_prompt",
                                         "response_schema", "tool_parser_type"};

constexpr IdleKeys kIdle[] = {
    {"it says where the tokenizer comes from", kAbout},
    {"it is about how the tokenizer's Python runs", kRunning},
    {"it is about batches and their length", kBatches},
    {"it is about text that Python makes of tokens; here tokens are their own bytes", kDecoding},
    {"tokenizer.json says it", kMaking},
    {"it is about prompts, not about tokens", kPrompts}};

bool has(Names names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

/// Keys that change ids or text where they are not this.
struct Required {
  const char* name;
  bool value;
};
constexpr Required kRequired[] = {
    {"do_lower_case", false},
    {"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", false}};

/// Says whether a space is put in front of a text. Some versions of the library let it overrule
/// tokenizer.json.
void check_prefix_space(const JsonObject& config, const TokenizerSpec& spec) {
  constexpr const char* kName = "add_prefix_space";
  if (!config.find(kName)) return;
  const bool done = spec.spaces.prefix != SpaceRule::Prefix::Never;
  if (config.flag(kName, done) != done)
    config.fail(kName,
                "tokenizer.json says the contrary, and which of them counts depends on the library's version",
                done ? "true" : "false");
}

void check_sampling(const JsonObject& config) {
  constexpr const char* kName = "sp_model_kwargs";
  const Json* options = config.find(kName);
  if (!options) return;
  const bool harmless = options->is_object() && options->value("enable_sampling", Json(false)) == Json(false);
  if (!harmless) config.fail(kName, "tokens at random are not supported", "no enable_sampling");
}

/// The pattern that it stands for is Mistral's "tekken".
void check_mistral_regex(const JsonObject& config, const TokenizerSpec& spec) {
  constexpr const char* kName = "fix_mistral_regex";
  if (!config.flag(kName, false)) return;
  const NamedPreTokenizer* tekken = find_pre_tokenizer("tekken");
  if (!std::ranges::equal(spec.patterns, tekken->patterns))
    config.fail(kName, "tokenizer.json has another pattern than the mended one",
                "a tokenizer.json saved after the mend, with this key");
}

constexpr std::string_view kChecked[] = {"add_prefix_space", "sp_model_kwargs", "fix_mistral_regex"};

/// What the parts of a tokenizer.json may have, by their type or by what they are.
struct Members {
  std::string_view type = {};
  Names names = {};
};
constexpr std::string_view kFile[] = {"version",        "truncation", "padding",
                                      "added_tokens",   "normalizer", "pre_tokenizer",
                                      "post_processor", "decoder",    "model"};
constexpr std::string_view kAdded[] = {"id",     "content",    "single_word", "lstrip",
                                       "rstrip", "normalized", "special"};
constexpr std::string_view kBpe[] = {"type",
                                     "dropout",
                                     "unk_token",
                                     "continuing_subword_prefix",
                                     "end_of_word_suffix",
                                     "fuse_unk",
                                     "byte_fallback",
                                     "ignore_merges",
                                     "vocab",
                                     "merges"};
constexpr std::string_view kUnigram[] = {"type", "unk_id", "vocab", "byte_fallback"};
constexpr std::string_view kSequence[] = {"type", "normalizers", "pretokenizers", "processors", "decoders"};
constexpr std::string_view kNfc[] = {"type"};
constexpr std::string_view kPrepend[] = {"type", "prepend"};
constexpr std::string_view kReplace[] = {"type", "pattern", "content"};
constexpr std::string_view kSplit[] = {"type", "pattern", "behavior", "invert"};
constexpr std::string_view kDigits[] = {"type", "individual_digits"};
constexpr std::string_view kPunctuation[] = {"type", "behavior"};
constexpr std::string_view kByteLevel[] = {"type", "add_prefix_space", "trim_offsets", "use_regex"};
constexpr std::string_view kMetaspace[] = {"type",           "replacement", "str_rep", "add_prefix_space",
                                           "prepend_scheme", "split"};
constexpr std::string_view kTemplate[] = {"type", "single", "pair", "special_tokens"};
constexpr Members kMembers[] = {{"file", kFile},
                                {"added token", kAdded},
                                {"BPE", kBpe},
                                {"Unigram", kUnigram},
                                {"Sequence", kSequence},
                                {"NFC", kNfc},
                                {"Prepend", kPrepend},
                                {"Replace", kReplace},
                                {"Split", kSplit},
                                {"Digits", kDigits},
                                {"Punctuation", kPunctuation},
                                {"ByteLevel", kByteLevel},
                                {"Metaspace", kMetaspace},
                                {"TemplateProcessing", kTemplate}};

void check_decoder_part(const JsonObject& part, bool is_bytes) {
  static constexpr std::string_view kOfSpaces[] = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"};
  const std::string type = part.text("type");
  if (type == "Sequence") {
    const Json& parts = part.array("decoders");
    for (size_t i = 0; i < parts.size(); ++i)
      check_decoder_part(JsonObject(parts[i], part.where() + ".decoders[" + std::to_string(i) + "]"),
                         is_bytes);
    return;
  }
  if (is_bytes ? type != "ByteLevel" : !has(kOfSpaces, type))
    part.fail("type", "this decoder is not supported",
              is_bytes ? "ByteLevel" : "Replace, ByteFallback, Fuse, Strip or Metaspace");
  if (type == "Replace" &&
      (part.object("pattern").text("String") != kSpaceMark || part.text("content") != " "))
    part.fail("pattern", "this is not supported in a decoder", "a space's mark, which becomes a space");
  if (type == "Strip" && part.text("content") != " ")
    part.fail("content", "this is not supported in a decoder", "a space");
}

}  // namespace

std::string_view why_idle_in_tokenizer_config(std::string_view key) { return why_idle(kIdle, key); }

void check_config_keys(const JsonObject& config, TokenizerSpec& spec) {
  for (const Required& required : kRequired) {
    if (config.flag(required.name, required.value) != required.value)
      config.fail(required.name, "this is not supported", required.value ? "true" : "false");
  }
  check_prefix_space(config, spec);
  check_sampling(config);
  check_mistral_regex(config, spec);
  for (const auto& [name, value] : config.members()) {
    const bool is_required = std::ranges::find(kRequired, name, &Required::name) != std::end(kRequired);
    if (value.is_null() || is_required || has(kRead, name) || has(kChecked, name)) continue;
    if (name.ends_with("_token") || !why_idle_in_tokenizer_config(name).empty()) continue;
    spec.notes.push_back("tokenizer_config.json: " + printable(name, 60) + " is not known, and left out");
  }
}

void check_members(const JsonObject& part, std::string_view type) {
  const auto* known = std::ranges::find(kMembers, type, &Members::type);
  if (known == std::end(kMembers)) return;  // refused where it is read
  for (const auto& [name, value] : part.members()) {
    if (!value.is_null() && !has(known->names, name) && !name.starts_with('_'))
      part.fail(name.c_str(), "this member of a tokenizer.json is not known");
  }
}

void check_decoder(const JsonObject& file, bool is_bytes) {
  if (file.find("decoder")) check_decoder_part(file.object("decoder"), is_bytes);
}

}  // namespace sw
