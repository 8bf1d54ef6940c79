// SPDX-License-Identifier: MIT
#pragma once
#include "server/answer.h"

namespace sw::server {

/// What /v1/chat/completions and /v1/completions of OpenAI have in common: an object with choices, whole or
/// in chunks.
class OpenAiAnswer : public Answer {
 public:
  using Answer::Answer;

 protected:
  /// The members before the choices; `is_chunk` of a stream.
  virtual Json head(bool is_chunk) const = 0;
  /// A choice of a chunk that begins the stream, or brings no text.
  virtual Json first_choice(size_t index) const = 0;
  virtual Json empty_choice(size_t index) const = 0;
  /// A choice with all its text and tokens, without the reason of its end.
  virtual Json whole_choice(size_t index) const = 0;

  Json chunk(Json choice) const;

 private:
  void open() final;
  void on_progress(const PromptProgress& progress) final;
  void send_finish(size_t index, const Collected& collected, const Usage* usage) final;
  void close(const Usage& usage) final;
  Json whole(const Usage& usage) const final;
};

}  // namespace sw::server
