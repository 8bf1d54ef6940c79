// SPDX-License-Identifier: MIT
#include "tokenizer/read_tiktoken.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/file.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/read_hf.h"
#include "tokenizer/text_table.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = 32 << 20;
constexpr size_t kMaxTokenBytes = 1024;
/// Special tokens that Kimi's class makes, named or not.
constexpr int32_t kReserved = 256;

/// What stands for six bits, in order.
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  size_t n_padding = 0;
  while (n_padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++n_padding;
  }
  std::string bytes;
  uint32_t bits = 0, n_bits = 0;
  for (const char c : text) {
    const size_t value = kBase64.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    bytes += static_cast<char>(bits >> n_bits & 0xFF);
  }
  return bytes;
}

/// The file's tokens as bytes, by rank.
class RankedTokens {
 public:
  explicit RankedTokens(const fs::path& path) : where_(path.string()) {
    const std::string file = read_file(path, kMaxFileBytes);
    const auto n_lines = static_cast<size_t>(std::ranges::count(file, '\n')) + 1;
    bytes_.reserve(n_lines);
    std::string_view rest = file;
    for (size_t line = 1; !rest.empty(); ++line) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view text = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (text.ends_with('\r')) text.remove_suffix(1);
      if (!text.empty()) read_line(text, line);
    }
    ranks_ = TextTable(bytes_.size());
    for (const std::string& token : bytes_) add(token);
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      if (ranks_.find({&c, 1}) < 0) fail("a byte has no token", std::to_string(byte), where_);
    }
  }

  const std::string& where() const { return where_; }
  const std::vector<std::string>& bytes() const { return bytes_; }
  int32_t find(std::string_view bytes) const { return ranks_.find(bytes); }

  /// Where a token of several bytes falls in two: the parts that tiktoken's merging has before it makes the
  /// token. Wherever the two stand side by side in a text, nothing else can have led there, so this one merge
  /// stands for the token. 0: merging never makes it.
  size_t find_cut(std::string_view token) const {
    struct Part {
      size_t begin = 0;
      int32_t joined = -1;  // the token that it and the next part make
    };
    std::vector<Part> parts;
    const auto end_of = [&](size_t i) { return i < parts.size() ? parts[i].begin : token.size(); };
    const auto look_right = [&](size_t i) {
      const size_t begin = parts[i].begin;
      parts[i].joined = i + 1 < parts.size() ? find(token.substr(begin, end_of(i + 2) - begin)) : -1;
    };
    for (size_t i = 0; i < token.size(); ++i) parts.push_back({i});
    for (size_t i = 0; i < parts.size(); ++i) look_right(i);
    const auto order = [](const Part& part) { return static_cast<uint32_t>(part.joined); };  // -1 last
    while (parts.size() > 2) {
      const auto best = std::ranges::min_element(parts, {}, order);
      if (best->joined < 0) return 0;
      const auto i = static_cast<size_t>(best - parts.begin());
      parts.erase(best + 1);
      look_right(i);
      if (i > 0) look_right(i - 1);
    }
    return parts[1].begin;
  }

 private:
  [[noreturn]] static void fail(const std::string& what, const std::string& got, const std::string& where) {
    throw Error({.what = what, .where = where, .got = printable(got, 60)});
  }

  void read_line(std::string_view text, size_t line) {
    const std::string where = where_ + ", line " + std::to_string(line);
    const size_t space = std::min(text.find(' '), text.size());
    const auto token = from_base64(text.substr(0, space));
    const std::string_view number = text.substr(std::min(space + 1, text.size()));
    size_t rank = 0;
    const auto [at, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
    const bool is_rank = error == std::errc() && at == number.data() + number.size();
    if (!token || !is_rank) fail("this is no token in base64 and its rank", std::string(text), where);
    // Ids are ranks, and special tokens follow them.
    if (rank != bytes_.size()) fail("the ranks must count up from 0", std::to_string(rank), where);
    if (token->size() > kMaxTokenBytes) fail("a token is too long", std::to_string(token->size()), where);
    bytes_.push_back(*token);
  }

  void add(const std::string& token) {
    if (ranks_.find(token) >= 0) fail("two ranks have the same token", to_byte_level(token), where_);
    const auto rank = static_cast<int32_t>(&token - bytes_.data());
    ranks_.add(token, rank);
  }

  std::string where_;
  std::vector<std::string> bytes_;
  TextTable ranks_;
};

/// The class that the folder's own Python defines: auto_map.AutoTokenizer, one name or a list.
std::string python_class(const JsonObject& config) {
  if (!config.find("auto_map")) return config.text("tokenizer_class");
  const JsonObject map = config.object("auto_map");
  const nlohmann::json* names = map.find("AutoTokenizer");
  if (names && names->is_array() && !names->empty()) names = &names->front();
  return names && names->is_string() ? names->get<std::string>() : config.text("tokenizer_class");
}

void refuse_unknown_class(const fs::path& model, const JsonObject& config) {
  const std::string name = python_class(config);
  // Before the class there may be the repository that it is in:
  // "moonshotai/Kimi-K2-Base--tokenization_kimi...".
  static constexpr std::string_view kKnown[] = {"tokenization_kimi.TikTokenTokenizer",
                                                "tokenization_moonshot.TikTokenTokenizer"};
  if (std::ranges::any_of(kKnown, [&](std::string_view known) { return name.ends_with(known); })) return;
  throw Error(
      {.what = "how text is cut for this tiktoken file is not known",
       .where = model.string(),
       .expected =
           "TikTokenTokenizer of tokenization_kimi or tokenization_moonshot as auto_map.AutoTokenizer "
           "in tokenizer_config.json",
       .got = name.empty() ? "no class" : "'" + printable(name, 100) + "'",
       .hint = "save a tokenizer.json with the model's own Python, which has the pattern"});
}

/// Special tokens without a name are yet found in text. Those with a name stand in "added_tokens_decoder".
void add_reserved(const RankedTokens& ranked, const JsonObject& config, TokenizerSpec& spec) {
  const nlohmann::json* named = config.find("added_tokens_decoder");
  const auto n_ranks = static_cast<int32_t>(spec.tokens.size());
  if (named && named->is_object()) {
    for (const auto& [id, member] : named->items()) {
      const JsonObject token(member, config.where() + ".added_tokens_decoder." + id);
      if (ranked.find(token.text("content")) >= 0)
        config.fail("added_tokens_decoder", "a plain token has the text of the one with the id " + id);
    }
  }
  for (int32_t id = n_ranks; id < n_ranks + kReserved; ++id) {
    if (named && named->is_object() && named->contains(std::to_string(id))) continue;
    const nlohmann::json token = {{"content", "<|reserved_token_" + std::to_string(id) + "|>"},
                                  {"normalized", false}};
    add_token(JsonObject(token, ranked.where()), id, spec);
  }
}

}  // namespace

TokenizerSpec read_tiktoken(const fs::path& tiktoken_model, const JsonObject& config) {
  refuse_unknown_class(tiktoken_model, config);
  const RankedTokens ranked(tiktoken_model);
  TokenizerSpec spec;
  spec.source = tiktoken_model.string();
  const NamedPreTokenizer* kimi = find_pre_tokenizer("kimi-k2");
  spec.patterns.assign(kimi->patterns.begin(), kimi->patterns.end());
  for (const std::string& token : ranked.bytes()) {
    spec.tokens.push_back({to_byte_level(token), TokenType::Normal});
    if (token.size() < 2) continue;
    const size_t cut = ranked.find_cut(token);
    // A piece that is such a token becomes it all the same.
    spec.ignore_merges |= cut == 0;
    if (cut > 0)
      spec.merges.push_back(to_byte_level(token.substr(0, cut)) + ' ' + to_byte_level(token.substr(cut)));
  }
  add_reserved(ranked, config, spec);
  return spec;
}

}  // namespace sw
