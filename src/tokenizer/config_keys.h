// SPDX-License-Identifier: MIT
#pragma once
#include <string_view>

#include "tokenizer/json_object.h"
#include "tokenizer/spec.h"

namespace sw {

/// Goes through every key of tokenizer_config.json: it is read elsewhere, changes no id and no text, or asks
/// for what is done anyway. One that asks for something else is refused; one that nobody knows is a line in
/// the spec's notes, as vendors add keys of their own. `spec` is what tokenizer.json says.
void check_config_keys(const JsonObject& config, TokenizerSpec& spec);

/// Why a key of tokenizer_config.json that is not read changes nothing; empty where it may, or is not known.
std::string_view why_idle_in_tokenizer_config(std::string_view key);

/// Refuses a member of a part of tokenizer.json (of its normalizer, pre_tokenizer, post_processor, model or
/// added_tokens) that is not known, as it may change ids.
void check_members(const JsonObject& part, std::string_view type);

/// Refuses a decoder of tokenizer.json that makes another text of tokens than we do.
void check_decoder(const JsonObject& file, bool is_bytes);

}  // namespace sw
