// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>

#include "tokenizer/json_object.h"
#include "tokenizer/spec.h"

namespace sw {

/// A tiktoken.model: a line "base64 rank" for each token. It says neither how text is cut nor which tokens
/// are special: `config`, the tokenizer_config.json beside it, names the Python class that knows. Kimi-K2's
/// and Moonlight's are known here and alike; any other is refused by name. The 256 ids after the ranks are
/// special tokens; those that "added_tokens_decoder" names are left to whoever reads it. The spec's merges
/// give the ids of tiktoken. O(n^2) for a token of n bytes, of which there may be 1024.
TokenizerSpec read_tiktoken(const std::filesystem::path& tiktoken_model, const JsonObject& config);

}  // namespace sw
