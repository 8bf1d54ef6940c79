// SPDX-License-Identifier: MIT
#pragma once
#include "tokenizer/json_object.h"
#include "tokenizer/spec.h"

// The parts of reading a tokenizer.json.
namespace sw {

/// What is done to a text before its pieces are encoded: normalizer and pre_tokenizer. Sets the kind, nfc,
/// patterns and spaces.
void read_cutting(const JsonObject& file, TokenizerSpec& spec);

/// A token that is found in the text itself: {"content", "special", "lstrip", "rstrip", "normalized",
/// "single_word"}. It replaces what the spec knows of the same text, else it is placed at `id`.
void add_token(const JsonObject& token, int32_t id, TokenizerSpec& spec);

/// A token id from a file, or the key of one. The bound keeps a file of few tokens from asking for much
/// memory.
int64_t id_limit(size_t n_tokens);

/// What the post_processor puts around a text. Needs the tokens.
void read_affixes(const JsonObject& file, TokenizerSpec& spec);

}  // namespace sw
