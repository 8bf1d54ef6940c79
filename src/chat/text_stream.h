// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/reasoning.h"
#include "chat/stop_strings.h"
#include "tokenizer/stream_decoder.h"

namespace sw {

struct TextStreamOptions {
  std::vector<std::string> stops = {};  ///< strings that end the answer; reasoning is not searched
  bool special = false;                 ///< special tokens are text too
  bool begins_reasoning = false;        ///< the prompt ended with <think>
  bool split_reasoning = true;          ///< false: all is the answer, <think> too
};

/// The text of a sequence as its tokens come: decodes, tells reasoning from the answer, looks for stop
/// strings. Borrows the tokenizer.
class TextStream {
 public:
  /// Gets whole UTF-8 characters, never empty. The text is valid during the call.
  using Sink = std::function<void(std::string_view text, bool reasoning)>;
  /// Throws sw::Error where a stop string is empty.
  TextStream(const Tokenizer& tokenizer, const TextStreamOptions& options, Sink sink);
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  /// Takes the next token; the end token of a text is none of it and should not be pushed.
  void push(int32_t id);
  /// A stop string came: there is no more text, and the sequence should be cancelled.
  bool stopped() const { return stops_.stopped(); }
  /// Which one; empty before.
  const std::string& stopped_by() const { return stops_.stopped_by(); }
  /// Hands out what still waits: the beginning of a character, a tag or a stop string that never ended.
  void finish();

 private:
  void split(std::string_view text);
  void take(std::string_view text, bool reasoning);
  void hand_out(std::string_view text, bool reasoning);

  const Tokenizer& tokenizer_;
  bool special_, split_;
  Sink sink_;
  StreamDecoder decoder_;
  StopStrings stops_;
  ReasoningSplitter splitter_;
};

}  // namespace sw
