// SPDX-License-Identifier: MIT
#pragma once
#include "tokenizer/json_object.h"
#include "tokenizer/spec.h"

// The parts of reading a tokenizer.json.
namespace sw {

/// What is done to a text before its pieces are encoded: normalizer and pre_tokenizer. Sets the kind, nfc,
/// patterns and spaces.
void read_cutting(const JsonObject& file, TokenizerSpec& spec);

/// What the post_processor puts around a text. Needs the tokens.
void read_affixes(const JsonObject& file, TokenizerSpec& spec);

}  // namespace sw
