// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf.h"

namespace sw {

/// Kinds of tokens, by their number in tokenizer.ggml.token_type.
enum class TokenType : int32_t { Normal = 1, Unknown, Control, UserDefined, Unused, Byte };

/// How plain text becomes ids.
enum class TokenizerKind {
  ByteBpe,  ///< merges of bytes, within the pieces of a pre-tokenizer (GPT-2 and its heirs)
  CharBpe,  ///< merges of characters, ordered by a list or by scores (SentencePiece's "bpe")
  Unigram,  ///< the tokens whose scores have the greatest sum (SentencePiece's "unigram")
};

/// How the kinds but ByteBpe take spaces: each is written as U+2581.
struct SpaceRule {
  enum class Prefix { Never, First, Always };
  Prefix prefix = Prefix::Never;  ///< a space in front of: no text, the first, each between special tokens
  bool if_missing = false;        ///< no prefix for a text that begins with a space
  bool split_words = false;       ///< what follows a space is encoded apart from what is before it
  bool operator==(const SpaceRule&) const = default;
};

/// What the matches of a pattern do to a text, as `tokenizers` calls it. Pieces are the matches and what lies
/// between them; with `invert` the two are taken for each other.
struct SplitRule {
  enum class Behavior { Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous };
  Behavior behavior = Behavior::Isolated;
  bool invert = false;
  bool operator==(const SplitRule&) const = default;
};

/// All that a file says of a tokenizer, whichever form the file has. Checked where it is read: ids
/// are in range, merges name tokens that are there.
struct TokenizerSpec {
  struct Token {
    /// Normal: in the alphabet of byte_level.h (ByteBpe) or with U+2581 for spaces (the other kinds);
    /// Byte: "<0x0A>"; else as it stands in text.
    std::string text = {};
    TokenType type = TokenType::Unused;
    bool special = false;                          ///< left out by decode(..., skip_special)
    bool strip_left = false, strip_right = false;  ///< found in text, it takes the white space there with it
    bool normalized = false;                       ///< found as normalized text spells it
    bool single_word = false;                      ///< not found where a word goes on beside it
    /// Whether plain text can become it, where `kind` is not ByteBpe.
    bool spells_text() const { return type == TokenType::Normal || type == TokenType::UserDefined; }
  };
  using Id = std::optional<int32_t>;

  std::string source = {};         ///< the file's name, for messages
  std::vector<Token> tokens = {};  ///< by id
  TokenizerKind kind = TokenizerKind::ByteBpe;
  std::vector<std::string> merges = {};  ///< both BPEs: "left right", best first
  std::vector<double> scores = {};       ///< by id: Unigram, and CharBpe without merges
  SpaceRule spaces = {};
  std::vector<std::string> patterns =
      {};  ///< of the pre-tokenizer, each applied to the pieces of the one before
  std::vector<SplitRule> split_rules = {};  ///< of the patterns; of those beyond its end, the default
  bool pruned_merges = false;               ///< merges into what is no token are left out, not refused
  bool ignore_merges = false;               ///< a piece that is a token needs no merges
  bool nfc = false;                         ///< text is brought to Unicode's form C first
  Id bos = {}, eos = {}, unk = {}, sep = {}, pad = {}, mask = {}, eot = {}, eom = {};
  std::vector<int32_t> further_ends = {};  ///< after which a model has said all, beside eos, eot and eom
  std::optional<bool> add_bos = {}, add_eos = {}, add_sep = {};  ///< as the file says, where it says it
  std::vector<int32_t> prefix = {}, suffix = {};  ///< what EncodeOptions::add_special puts around a text
  std::string chat_template = {};
  std::map<std::string, std::string> named_templates = {};  ///< further ones: "tool_use" and the like
  std::vector<std::string> notes = {};                      ///< for whoever converts: one line each
};

/// Whether every reader of a file takes the token for an end of an answer, by its text alone.
bool ends_by_name(const TokenizerSpec::Token& token);

/// Whether text is changed before the tokens with `normalized` are looked for. What a Metaspace does to
/// spaces, `if_missing`, comes later.
bool normalizes(const TokenizerSpec& spec);

/// tokenizer.json of Hugging Face. Knows no bos, eos or chat template: those stand in the files beside it.
TokenizerSpec read_tokenizer_json(const std::filesystem::path& tokenizer_json);

/// The folder of a Hugging Face model: tokenizer.json or tiktoken.model, and where there are such
/// tokenizer_config.json, chat_template.jinja, config.json and generation_config.json.
TokenizerSpec read_hf_tokenizer(const std::filesystem::path& folder);

/// The tokenizer.* keys of a GGUF file whose tokenizer.ggml.model is "gpt2" (ByteBpe), "llama" (CharBpe) or
/// "t5" (Unigram).
TokenizerSpec read_gguf_tokenizer(const GgufFile& file);

/// The spec as metadata of GGUF, in the order and form in which mainline's converter writes it, with
/// unused tokens "[PAD<id>]" up to `n_vocab`, the rows of the model's embedding. What mainline's keys
/// cannot say stands under tokenizer.switchyard.*, and only where it is needed:
///   normalizer       "nfc", or "none" where the pre-tokenizer's name would imply it
///   pre_regex        the patterns, where no name in pre_tokenizers.inc means the same
///   pre_split        beside pre_regex: the SplitRules, where one is not the default
///   ignore_merges    beside pre_regex
///   end_tokens       ids that end an answer, beside eos, eot and eom
///   visible_tokens   ids of control tokens that are yet shown as text
///   prefix, suffix   ids around a text, where they are not just bos and eos
///   strip_left, strip_right  ids of tokens that take the white space beside them
///   normalized       ids of tokens that are found in the normalized text, where that may matter
///   single_word      ids of tokens that are not found within a word
///   space_prefix, split_words  a SpaceRule that tokenizer.ggml.add_space_prefix cannot say
/// Throws sw::Error where the spec has more than n_vocab tokens.
std::vector<std::pair<std::string, GgufValue>> gguf_keys(const TokenizerSpec& spec, size_t n_vocab);

}  // namespace sw
