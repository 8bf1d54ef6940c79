// SPDX-License-Identifier: MIT
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <new>
#include <pcre2.h>

#include "base/error.h"
#include "text/utf8.h"

namespace sw {
namespace {

constexpr size_t kMaxPatternBytes = 64 * 1024;
constexpr uint32_t kInterpreterHeapKiB = 1 << 20;  // a run of 1 MiB needs about 100 MiB

PCRE2_SPTR units(std::string_view text) {
  // PCRE2 wants a pointer even to no text.
  return reinterpret_cast<PCRE2_SPTR>(text.data() ? text.data() : "");
}

std::string message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

const pcre2_code* code_of(const void* code) { return static_cast<const pcre2_code*>(code); }

/// Shared by all: heap enough for what the just-in-time code cannot do.
pcre2_match_context* match_context() {
  static pcre2_match_context* const context = [] {
    auto* made = pcre2_match_context_create(nullptr);
    if (!made) throw std::bad_alloc();
    pcre2_set_heap_limit(made, kInterpreterHeapKiB);
    return made;
  }();
  return context;
}

}  // namespace

Regex::Regex(std::string_view pattern, std::string where, Dialect dialect)
    : where_(where.empty() ? "pattern '" + std::string(pattern) + "'" : std::move(where)) {
  if (pattern.size() > kMaxPatternBytes) {
    throw Error({.what = "the pattern is too long",
                 .where = where_,
                 .expected = "at most " + std::to_string(kMaxPatternBytes) + " bytes",
                 .got = std::to_string(pattern.size())});
  }
  constexpr std::string_view kBytesMark = "(?-u)";
  std::string translated(pattern);
  if (dialect == Dialect::Tokenizer) {
    bytes_ = pattern.starts_with(kBytesMark);
    translated = to_pcre2(bytes_ ? pattern.substr(kBytesMark.size()) : pattern, where_);
  }
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // Ruby's ^ and $ are those of lines.
  const uint32_t options = PCRE2_MULTILINE | (bytes_ ? 0 : PCRE2_UTF | PCRE2_UCP);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(units(translated), translated.size(), options, &error, &offset, context.get());
  if (!code) {
    throw Error({.what = "the pattern does not compile: " + message(error),
                 .where = where_ + ", near offset " + std::to_string(offset)});
  }
  code_ = std::shared_ptr<const void>(
      code, [](const void* c) { pcre2_code_free(const_cast<pcre2_code*>(code_of(c))); });
  // Fails where memory may not be both written and executed; the interpreter serves then.
  jit_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

Regex::Scan::Scan(const Regex& regex, std::string_view text)
    : regex_(regex), text_(text), match_data_(pcre2_match_data_create(1, nullptr)) {
  if (!match_data_) throw std::bad_alloc();
}

Regex::Scan::~Scan() { pcre2_match_data_free(static_cast<pcre2_match_data*>(match_data_)); }

std::optional<Regex::Match> Regex::Scan::next(size_t from) const {
  if (from > text_.size()) return std::nullopt;
  const pcre2_code* code = code_of(regex_.code_.get());
  auto* data = static_cast<pcre2_match_data*>(match_data_);
  const auto interpret = [&] {
    return pcre2_match(code, units(text_), text_.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                       match_context());
  };
  int rc = regex_.jit_ ? pcre2_jit_match(code, units(text_), text_.size(), from, PCRE2_NO_UTF_CHECK, data,
                                         match_context())
                       : interpret();
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = interpret();
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0) {
    throw Error({.what = "the pattern cannot be matched: " + message(rc),
                 .where = regex_.where_ + ", byte " + std::to_string(from)});
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
  return Match{bounds[0], bounds[1]};
}

size_t Regex::Scan::step_over(size_t position) const {
  const bool whole_character = position < text_.size() && !regex_.bytes_;
  return position + (whole_character ? next_utf8(text_.substr(position)).length : 1);
}

}  // namespace sw
