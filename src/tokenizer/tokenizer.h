// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tokenizer/spec.h"
#include "tokenizer/special_tokens.h"
#include "tokenizer/text_model.h"

namespace sw {

struct EncodeOptions {
  bool parse_special =
      true;  ///< special and other added tokens are found in the text; false: it is all plain text
  bool add_special = false;  ///< bos, eos as the model wants them around a text
};

/// Text <-> ids. Immutable: threads may share one.
class Tokenizer {
 public:
  /// Throws sw::Error where the spec contradicts itself.
  explicit Tokenizer(const TokenizerSpec& spec);
  static Tokenizer from_gguf(const GgufFile& file) { return Tokenizer(read_gguf_tokenizer(file)); }
  /// tokenizer.json alone: without bos, eos and chat template.
  static Tokenizer from_json(const std::filesystem::path& path) {
    return Tokenizer(read_tokenizer_json(path));
  }
  /// A Hugging Face model's folder.
  static Tokenizer from_hf(const std::filesystem::path& folder) {
    return Tokenizer(read_hf_tokenizer(folder));
  }

  /// Any bytes: what is no UTF-8 is kept byte by byte.
  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const;
  /// The bytes of the tokens one after the other; an id that stands for no text gives nothing. Where encode()
  /// puts a space in front of a text, one leading space of the result is dropped. The result is UTF-8 only if
  /// the ids end on whole characters: see StreamDecoder.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;
  /// The bytes of one token; empty for an unused or unknown id.
  std::string_view piece(int32_t id) const;
  /// What decode() leaves out on request.
  bool is_special(int32_t id) const { return has(id) && special_[static_cast<size_t>(id)]; }

  int n_vocab() const { return static_cast<int>(pieces_.size()); }
  std::optional<int32_t> bos_id() const { return bos_; }
  std::optional<int32_t> eos_id() const { return eos_; }
  /// Whether add_special puts bos in front.
  bool add_bos() const { return bos_ && !prefix_.empty() && prefix_.front() == *bos_; }
  /// Jinja source, empty where the model has none. `name`: of one that the model has beside its default, such
  /// as "tool_use".
  std::string chat_template(const std::string& name = "default") const {
    const auto found = chat_templates_.find(name);
    return found == chat_templates_.end() ? std::string() : found->second;
  }
  /// The names of all templates that the model has, in order.
  std::vector<std::string> chat_template_names() const;
  /// Ids after which a model has said all: the file's eos, eot, eom and further ones, and control tokens
  /// known as such by their text. Ascending.
  const std::vector<int32_t>& end_of_generation() const { return end_of_generation_; }

  /// The pieces of a plain text that are encoded each on its own, without normalisation: views of it.
  std::vector<std::string_view> pieces(std::string_view text) const { return model_->pieces(text); }

 private:
  bool has(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < pieces_.size(); }
  struct Found {
    std::string_view before;  ///< the text up to the token, after which there may be nothing
    int32_t id;               ///< -1: there was none
    size_t end;               ///< where the text goes on
    size_t search_end;        ///< where the next token may begin
  };
  Found find(const SpecialTokens& tokens, std::string_view text, size_t from, size_t search_from) const;
  void encode_between(std::string_view text, bool first, bool parse, std::vector<int32_t>& ids) const;
  std::string normalized(std::string_view text, bool first) const;

  std::unique_ptr<const TextModel> model_;
  SpecialTokens in_text_, in_normalized_;
  std::vector<std::string> pieces_;  // bytes, by id
  std::vector<bool> special_;
  std::vector<int32_t> prefix_, suffix_, end_of_generation_;
  std::optional<int32_t> bos_, eos_;
  bool nfc_ = false;
  std::optional<SpaceRule> spaces_;  // nothing: bytes take spaces as they are
  std::unordered_set<int32_t> strip_left_, strip_right_, single_word_;
  std::map<std::string, std::string> chat_templates_;
};

}  // namespace sw
