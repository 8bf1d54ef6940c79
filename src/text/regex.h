// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sw {

/// A pattern run by PCRE2: just-in-time compiled where the system allows, else interpreted. Immutable:
/// threads may share it.
class Regex {
 public:
  enum class Dialect : uint8_t {
    /// Of tokenizer.json (Oniguruma's Ruby syntax). A construct that PCRE2 reads differently is translated or
    /// refused, never guessed. A pattern that begins with "(?-u)" matches bytes: it may cut within a
    /// character.
    Tokenizer,
    Pcre2,  ///< as PCRE2 reads it: what users write
  };

  /// Throws sw::Error with the position of the fault. `where` names the pattern in errors
  /// ("-ot exps=CPU"); empty: the pattern itself does.
  explicit Regex(std::string_view pattern, std::string where = {}, Dialect dialect = Dialect::Tokenizer);

  /// Whether the pattern matches anywhere in `text`, which must be valid UTF-8.
  bool finds(std::string_view text) const { return Scan(*this, text).next(0).has_value(); }

  /// Calls on_match(begin, end) for each match from left to right. `text` must be valid UTF-8: it is
  /// not checked again. Matches may be empty and never overlap. Throws sw::Error where the engine
  /// gives up (a pattern that backtracks without end).
  template <class F>
  void for_each_match(std::string_view text, F&& on_match) const {
    const Scan scan(*this, text);
    for (size_t from = 0; const auto match = scan.next(from);) {
      on_match(match->begin, match->end);
      from = match->end > match->begin ? match->end : scan.step_over(match->end);
    }
  }

 private:
  struct Match {
    size_t begin, end;
  };
  /// One walk over one text: holds the memory that PCRE2 writes to.
  class Scan {
   public:
    Scan(const Regex& regex, std::string_view text);
    ~Scan();
    Scan(const Scan&) = delete;
    Scan& operator=(const Scan&) = delete;
    /// The first match at or after `from`; nothing past the end of the text.
    std::optional<Match> next(size_t from) const;
    /// The position one code point on.
    size_t step_over(size_t position) const;

   private:
    const Regex& regex_;
    std::string_view text_;
    void* match_data_;
  };

  std::string where_;  // for messages
  std::shared_ptr<const void> code_;
  bool bytes_ = false, jit_ = false;
};

/// A pattern of Oniguruma's Ruby syntax in PCRE2's, meaning the same. Throws sw::Error at `where` where there
/// is no such thing.
std::string to_pcre2(std::string_view pattern, const std::string& where);

}  // namespace sw
