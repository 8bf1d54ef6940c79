// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <span>
#include <string>

#include "chat/text_stream.h"
#include "server/generation.h"

namespace sw::server {

/// What the choices of a request share while it is under way.
struct Running {
  explicit Running(Generation what) : request(std::move(what)) {}

  Generation request;
  Usage usage = {};
  size_t n_left = 0;  ///< choices that have not ended
  bool over = false;  ///< nobody is told anything any more
  bool started = false;
  Clock::time_point admitted = {};
};

/// One text of a request: from tokens to what its client is told. Borrows the tokenizer.
class Choice {
 public:
  Choice(const Tokenizer& tokenizer, std::shared_ptr<Running> running, size_t index);
  Choice(const Choice&) = delete;
  Choice& operator=(const Choice&) = delete;

  Running& running() const { return *running_; }
  const std::shared_ptr<Running>& shared() const { return running_; }
  size_t index() const { return index_; }
  const std::vector<int32_t>& prompt() const;
  /// What it has come to, as the engine's cache names it.
  RoutedText text() const;
  /// For the engine. Each choice draws other random numbers.
  SequenceRequest sequence_request() const;

  /// Before take(): the logits that the token was chosen from, and the experts of its pass.
  void note_logits(int32_t token, std::span<const float> logits);
  void note_routing(TokenRouting routing) { noted_.routing.push_back(std::move(routing)); }
  /// What a step did for it. True where it has ended, and told so.
  bool take(const StepEvent& event);
  /// Its prompt: tokens that were in the cache, and tokens done. Tells the client where it wants to know.
  void progress(int64_t first, int64_t end);
  bool has_first_token() const { return !tokens_.empty(); }
  int64_t n_token() const { return std::ssize(tokens_); }
  int64_t n_cached() const { return n_cached_; }
  double last_gap_ms() const { return last_gap_ms_; }  ///< between its last two tokens
  Clock::time_point first_token_time() const { return first_token_; }

  SequenceId sequence = 0;  ///< once it runs
  int slot = -1;

 private:
  void count_token(int32_t token);
  void flush(bool all);
  void finish(FinishReason reason);

  const Tokenizer& tokenizer_;
  std::shared_ptr<Running> running_;
  size_t index_;
  Piece piece_;                       // what the stream gave
  std::vector<TokenChoice> waiting_;  // tokens whose text has not come yet
  TokenChoice noted_;                 // the token that is being chosen
  TextStream stream_;
  std::vector<int32_t> tokens_;  // generated
  int64_t n_cached_ = -1;
  Clock::time_point first_token_ = {}, last_token_ = {};
  double last_gap_ms_ = 0;
};

}  // namespace sw::server
