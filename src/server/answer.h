// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "http/http.h"
#include "server/generation.h"
#include "tokenizer/tokenizer.h"

namespace sw::server {

/// What an answer is made with.
struct AnswerSetup {
  http::ExchangePtr exchange = {};
  const Tokenizer* tokenizer = nullptr;
  std::string model = {};  ///< the name that it is served under
  size_t n_choice = 1;
  bool stream = false, include_usage = false;
  bool logprobs = false, routing = false;
  Json moe = Json::object();
  Json warnings = Json::array();
  std::vector<std::string> echoes = {};  ///< /v1/completions: in front of each choice
};

/// One choice of an answer; its text only where that is sent whole.
struct Collected {
  std::string text = {}, reasoning = {};
  std::vector<TokenChoice> tokens = {};
  FinishReason reason = FinishReason::Stop;
  std::string stop_string = {};
};

/// An answer in JSON, whole or as server-sent events. What it looks like is the endpoint's.
class Answer : public Sink {
 public:
  explicit Answer(AnswerSetup setup);
  ~Answer() override;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  bool gone() const override { return setup_.exchange->gone(); }
  void on_accepted() override;
  void on_piece(size_t choice, Piece piece) override;
  void on_finish(size_t choice, FinishReason reason, const std::string& stop_string) override;
  void on_end(const Usage& usage) override;
  void on_error(const ApiError& error) override;

 protected:
  virtual void open() = 0;
  virtual void send_piece(size_t choice, const Piece& piece) = 0;
  /// `usage`: null but for the last choice to end.
  virtual void send_finish(size_t choice, const Collected& collected, const Usage* usage) = 0;
  virtual void close(const Usage& usage) = 0;
  virtual Json whole(const Usage& usage) const = 0;
  /// The frame that tells of an error within a stream.
  virtual std::string error_frame(const ApiError& error) const;

  const AnswerSetup& setup() const { return setup_; }
  const Tokenizer& tokenizer() const { return *setup_.tokenizer; }
  int64_t created() const { return created_s_; }
  const std::vector<Collected>& choices() const { return choices_; }
  /// "data: {...}" and its empty line.
  void send_data(const Json& json);
  void send_event(const std::string& name, const Json& json);
  void send_raw(std::string frame) { setup_.exchange->send(std::move(frame)); }
  /// "moe" and "warnings", where there is something to say.
  void add_extras(Json& json) const;

 private:
  void flush_finish(const Usage* usage);

  AnswerSetup setup_;
  int64_t created_s_;
  std::vector<Collected> choices_;
  std::vector<size_t> finished_;  // not told yet: at most one
  Usage usage_ = {};
  std::string error_code_ = {};
};

/// "stop" or "length"
const char* openai_reason(FinishReason reason);
Json usage_json(const Usage& usage);
/// "timings" as the server of llama.cpp has them, "metrics" as vLLM.
void add_timings(Json& json, const Usage& usage);
/// The `logprobs` of a chat's choice.
Json chat_logprobs(const std::vector<TokenChoice>& tokens, const Tokenizer& tokenizer);

std::shared_ptr<Sink> make_chat_answer(AnswerSetup setup);
std::shared_ptr<Sink> make_completion_answer(AnswerSetup setup);
std::shared_ptr<Sink> make_messages_answer(AnswerSetup setup);
std::shared_ptr<Sink> make_responses_answer(AnswerSetup setup);

/// One line to the log: the request's id, what it was, how it ended. No text of users.
void log_request(const http::Exchange& exchange, const std::string& more = {});

}  // namespace sw::server
