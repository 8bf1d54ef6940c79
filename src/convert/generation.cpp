// SPDX-License-Identifier: MIT
#include "convert/generation.h"

#include <algorithm>
#include <cmath>
#include <fmt/core.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"

namespace sw {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = 1 << 20;

struct SamplingKey {
  std::string_view hf = {};
  const char* gguf = nullptr;
  bool whole = false;
};
/// In the order of the file's keys.
constexpr SamplingKey kKept[] = {{"top_k", "general.sampling.top_k", true},
                                 {"top_p", "general.sampling.top_p"},
                                 {"min_p", "general.sampling.min_p"},
                                 {"temperature", "general.sampling.temp"},
                                 {"repetition_penalty", "general.sampling.penalty_repeat"}};

/// Settings that change a text where they differ from this.
struct Neutral {
  std::string_view hf = {};
  const char* value = nullptr;
};
constexpr Neutral kNeutral[] = {{"do_sample", "true"},
                                {"typical_p", "1.0"},
                                {"epsilon_cutoff", "0.0"},
                                {"eta_cutoff", "0.0"},
                                {"encoder_repetition_penalty", "1.0"},
                                {"length_penalty", "1.0"},
                                {"diversity_penalty", "0.0"},
                                {"no_repeat_ngram_size", "0"},
                                {"encoder_no_repeat_ngram_size", "0"},
                                {"num_beams", "1"},
                                {"num_beam_groups", "1"},
                                {"early_stopping", "false"},
                                {"guidance_scale", "1.0"},
                                {"renormalize_logits", "false"},
                                {"remove_invalid_values", "false"},
                                {"token_healing", "false"},
                                {"min_length", "0"}};

/// Where the file is from, how long a text may get, and what the library does beside choosing tokens.
constexpr std::string_view kHarmless[] = {"max_length",
                                          "max_new_tokens",
                                          "max_time",
                                          "num_return_sequences",
                                          "output_scores",
                                          "output_logits",
                                          "return_dict_in_generate",
                                          "cache_implementation",
                                          "cache_config",
                                          "return_legacy_cache",
                                          "prefill_chunk_size",
                                          "compile_config",
                                          "disable_compile",
                                          "trust_remote_code",
                                          "low_memory",
                                          "is_assistant",
                                          "num_assistant_tokens",
                                          "num_assistant_tokens_schedule",
                                          "assistant_confidence_threshold",
                                          "prompt_lookup_num_tokens",
                                          "max_matching_ngram_size",
                                          "assistant_early_exit",
                                          "assistant_lookbehind",
                                          "target_lookbehind",
                                          "use_cache",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "return_dict",
                                          "is_encoder_decoder",
                                          "transformers_version",
                                          "transformers_weights",
                                          "auto_map",
                                          "model_type",
                                          "chat_format"};

bool is_end_token(std::string_view key) { return key.ends_with("_token_id") && !key.starts_with("forced_"); }

/// Sets nothing: it is kept elsewhere, or has no effect.
bool is_idle(const std::string& key, const json& value) {
  const auto neutral = std::ranges::find(kNeutral, key, &Neutral::hf);
  if (neutral != std::end(kNeutral)) return value == json::parse(neutral->value);
  if (std::ranges::find(kHarmless, key) != std::end(kHarmless)) return true;
  return is_end_token(key) || key.starts_with('_');  // _from_model_config
}

GgufValue number(const SamplingKey& key, const json& value, const std::string& where) {
  const double number = value.is_number() ? value.get<double>() : NAN;
  const double most = key.whole ? std::numeric_limits<int32_t>::max() : std::numeric_limits<float>::max();
  if (!(std::abs(number) <= most) || (key.whole && number != std::trunc(number))) {
    throw Error({.what = "a sampling setting is out of range",
                 .where = fmt::format("{}, key {}", where, key.hf),
                 .expected = key.whole ? "a whole number" : "a number",
                 .got = printable(value.dump(-1, ' ', false, json::error_handler_t::replace), 100)});
  }
  return key.whole ? GgufValue::i32(static_cast<int32_t>(number))
                   : GgufValue::f32(static_cast<float>(number));
}

}  // namespace

Recommended read_recommended(const std::filesystem::path& generation_config) {
  Recommended all;
  if (!std::filesystem::exists(generation_config)) return all;
  const std::string where = generation_config.string();
  const json settings = parse_json(read_file(generation_config, kMaxBytes), where);
  if (!settings.is_object()) {
    throw Error({.what = "not a configuration",
                 .where = where,
                 .expected = "a JSON object",
                 .got = settings.type_name()});
  }
  const auto is_kept = [](const std::string& key) {
    return std::ranges::find(kKept, key, &SamplingKey::hf) != std::end(kKept);
  };
  for (const SamplingKey& key : kKept) {
    const auto value = settings.find(key.hf);
    if (value != settings.end() && !value->is_null())
      all.keys.emplace_back(key.gguf, number(key, *value, where));
  }
  for (const auto& [key, value] : settings.items()) {
    if (value.is_null() || is_kept(key) || is_idle(key, value)) continue;
    all.left_out.push_back("generation_config.json: " + printable(key, 60) +
                           " is left out, a GGUF file has no key for it");
  }
  return all;
}

}  // namespace sw
