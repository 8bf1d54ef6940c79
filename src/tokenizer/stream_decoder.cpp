// SPDX-License-Identifier: MIT
#include "tokenizer/stream_decoder.h"

#include "text/utf8.h"

namespace sw {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

std::string StreamDecoder::push(int32_t id) {
  waiting_ += tokenizer_.piece(id);
  std::string out;
  std::string_view rest = waiting_;
  while (!rest.empty()) {
    const size_t valid = valid_utf8_prefix(rest);
    out += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    const Utf8Step step = next_utf8(rest);
    if (step.kind == Utf8Step::Kind::Truncated) break;
    out += kReplacement;
    rest.remove_prefix(step.length);
  }
  waiting_ = std::string(rest);
  return out;
}

std::string StreamDecoder::finish() {
  const bool broken = !waiting_.empty();
  waiting_.clear();
  return broken ? std::string(kReplacement) : std::string();
}

}  // namespace sw
