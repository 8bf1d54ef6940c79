// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf.h"

namespace sw {

/// Kinds of tokens, by their number in tokenizer.ggml.token_type.
enum class TokenType : int32_t { Normal = 1, Unknown, Control, UserDefined, Unused, Byte };

/// All that a file says of a tokenizer, whichever form the file has. Checked where it is read: ids
/// are in range, merges name tokens that are there.
struct TokenizerSpec {
  struct Token {
    std::string text = {};  ///< Normal: in the alphabet of byte_level.h; others: as it stands in text
    TokenType type = TokenType::Unused;
    bool special = false;  ///< left out by decode(..., skip_special)
  };
  using Id = std::optional<int32_t>;

  std::string source = {};               ///< the file's name, for messages
  std::vector<Token> tokens = {};        ///< by id
  std::vector<std::string> merges = {};  ///< "left right", best first
  std::vector<std::string> patterns =
      {};                      ///< of the pre-tokenizer, each applied to the pieces of the one before
  bool ignore_merges = false;  ///< a piece that is a token needs no merges
  bool nfc = false;            ///< text is brought to Unicode's form C first
  Id bos = {}, eos = {}, unk = {}, sep = {}, pad = {}, mask = {}, eot = {}, eom = {};
  std::optional<bool> add_bos = {}, add_eos = {}, add_sep = {};  ///< as the file says, where it says it
  std::vector<int32_t> prefix = {}, suffix = {};  ///< what EncodeOptions::add_special puts around a text
  std::string chat_template = {};
};

/// tokenizer.json of Hugging Face, byte-level BPE only. Knows no bos, eos or chat template: those stand in
/// the files beside it.
TokenizerSpec read_tokenizer_json(const std::filesystem::path& tokenizer_json);

/// The folder of a Hugging Face model: tokenizer.json, and where there are such tokenizer_config.json,
/// chat_template.jinja and config.json.
TokenizerSpec read_hf_tokenizer(const std::filesystem::path& folder);

/// The tokenizer.* keys of a GGUF file whose tokenizer.ggml.model is "gpt2".
TokenizerSpec read_gguf_tokenizer(const GgufFile& file);

/// The spec as metadata of GGUF, in the order and form in which mainline's converter writes it, with
/// unused tokens "[PAD<id>]" up to `n_vocab`, the rows of the model's embedding. What mainline's keys
/// cannot say stands under tokenizer.switchyard.*, and only where it is needed:
///   normalizer       "nfc", or "none" where the pre-tokenizer's name would imply it
///   pre_regex        the patterns, where no name in pre_tokenizers.inc means the same
///   ignore_merges    beside pre_regex
///   visible_tokens   ids of control tokens that are yet shown as text
///   prefix, suffix   ids around a text, where they are not just bos and eos
/// Throws sw::Error where the spec has more than n_vocab tokens.
std::vector<std::pair<std::string, GgufValue>> gguf_keys(const TokenizerSpec& spec, size_t n_vocab);

}  // namespace sw
