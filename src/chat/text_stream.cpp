// SPDX-License-Identifier: MIT
#include "chat/text_stream.h"

#include <utility>

namespace sw {

TextStream::TextStream(const Tokenizer& tokenizer, const TextStreamOptions& options, Sink sink)
    : tokenizer_(tokenizer),
      special_(options.special),
      split_(options.split_reasoning),
      sink_(std::move(sink)),
      decoder_(tokenizer),
      stops_(options.stops),
      splitter_([this](std::string_view text, bool reasoning) { take(text, reasoning); },
                options.begins_reasoning) {}

void TextStream::push(int32_t id) {
  const std::string_view piece = tokenizer_.piece(id);
  // The tags around reasoning are read even where special tokens are left out.
  const bool is_text = special_ || !tokenizer_.is_special(id) || piece == kOpenThink || piece == kCloseThink;
  if (is_text) {
    split(decoder_.push(id));
  } else {
    hand_out(stops_.push_special(piece), false);
  }
}

void TextStream::finish() {
  split(decoder_.finish());
  splitter_.finish();
  hand_out(stops_.finish(), false);
}

void TextStream::split(std::string_view text) {
  if (split_) return splitter_.push(text);
  take(text, false);
}

void TextStream::take(std::string_view text, bool reasoning) {
  if (stops_.stopped()) return;
  if (reasoning) return hand_out(text, true);
  hand_out(stops_.push(text), false);
}

void TextStream::hand_out(std::string_view text, bool reasoning) {
  if (!text.empty()) sink_(text, reasoning);
}

}  // namespace sw
