// SPDX-License-Identifier: MIT
#include "server/answer.h"

#include <ctime>
#include <fmt/format.h>
#include <utility>

#include "base/log.h"

namespace sw::server {
namespace {

double per_second(int64_t n, double ms) { return ms > 0 ? 1000.0 * static_cast<double>(n) / ms : 0.0; }

Json logprob_json(int32_t id, float logprob, const Tokenizer& tokenizer) {
  const std::string_view piece = tokenizer.piece(id);
  return {{"token", std::string(piece)}, {"logprob", in_short(logprob)}, {"bytes", bytes_json(piece)}};
}

}  // namespace

Answer::Answer(AnswerSetup setup)
    : setup_(std::move(setup)), created_s_(std::time(nullptr)), choices_(setup_.n_choice) {}

Answer::~Answer() {
  log_request(*setup_.exchange,
              fmt::format(" prompt={} cached={} generated={} queue_ms={:.0f} first_token_ms={:.0f}{}",
                          usage_.n_prompt, usage_.n_cached, usage_.n_generated, usage_.queue_ms,
                          usage_.first_token_ms, error_code_.empty() ? "" : " error=" + error_code_));
}

void Answer::on_accepted() {
  if (!setup_.stream) return;
  setup_.exchange->begin_events();
  open();
}

void Answer::on_piece(size_t choice, Piece piece) {
  if (setup_.stream) return send_piece(choice, piece);
  Collected& c = choices_[choice];
  c.text += piece.text;
  c.reasoning += piece.reasoning;
  for (TokenChoice& token : piece.tokens) c.tokens.push_back(std::move(token));
}

void Answer::on_finish(size_t choice, FinishReason reason, const std::string& stop_string) {
  choices_[choice].reason = reason;
  choices_[choice].stop_string = stop_string;
  flush_finish(nullptr);
  finished_.push_back(choice);
}

/// The last to end waits for on_end(), which knows what the answer cost.
void Answer::flush_finish(const Usage* usage) {
  for (const size_t choice : std::exchange(finished_, {})) {
    if (setup_.stream) send_finish(choice, choices_[choice], usage);
  }
}

void Answer::on_end(const Usage& usage) {
  usage_ = usage;
  flush_finish(&usage);
  if (setup_.stream) {
    close(usage);
    return setup_.exchange->end();
  }
  setup_.exchange->respond({.body = dump(whole(usage))});
}

void Answer::on_error(const ApiError& error) {
  error_code_ = error.parts().code;
  if (setup_.stream && setup_.exchange->status() == 200) {
    send_raw(error_frame(error));
    return setup_.exchange->end();
  }
  setup_.exchange->respond(error.response());
}

std::string Answer::error_frame(const ApiError& error) const {
  return "data: " + dump(error.body()) + "\n\n";
}

void Answer::send_data(const Json& json) { send_raw("data: " + dump(json) + "\n\n"); }

void Answer::send_event(const std::string& name, const Json& json) {
  send_raw(fmt::format("event: {}\ndata: {}\n\n", name, dump(json)));
}

void Answer::add_extras(Json& json) const {
  if (!setup_.moe.empty()) json["moe"] = setup_.moe;
  if (!setup_.warnings.empty()) json["warnings"] = setup_.warnings;
}

const char* openai_reason(FinishReason reason) { return reason == FinishReason::Length ? "length" : "stop"; }

Json usage_json(const Usage& u) {
  return {{"prompt_tokens", u.n_prompt},
          {"completion_tokens", u.n_generated},
          {"total_tokens", u.n_prompt + u.n_generated},
          {"prompt_tokens_details", {{"cached_tokens", u.n_cached}}},
          {"completion_tokens_details", {{"reasoning_tokens", u.n_reasoning}}}};
}

void add_timings(Json& json, const Usage& u) {
  const int64_t n_computed = u.n_prompt - u.n_cached;
  json["timings"] = {{"cache_n", u.n_cached},
                     {"prompt_n", n_computed},
                     {"prompt_ms", u.prompt_ms},
                     {"prompt_per_second", per_second(n_computed, u.prompt_ms)},
                     {"predicted_n", u.n_generated},
                     {"predicted_ms", u.decode_ms},
                     {"predicted_per_second", per_second(u.n_decoded, u.decode_ms)}};
  json["metrics"] = {{"time_to_first_token_ms", u.first_token_ms},
                     {"queue_time_ms", u.queue_ms},
                     {"mean_itl_ms", u.n_decoded > 0 ? u.decode_ms / static_cast<double>(u.n_decoded) : 0.0}};
}

Json chat_logprobs(const std::vector<TokenChoice>& tokens, const Tokenizer& tokenizer) {
  Json content = Json::array();
  for (const TokenChoice& token : tokens) {
    Json one = logprob_json(token.id, token.logprob, tokenizer);
    one["top_logprobs"] = Json::array();
    for (const auto& top : token.top)
      one["top_logprobs"].push_back(logprob_json(top.id, top.logprob, tokenizer));
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

void log_request(const http::Exchange& exchange, const std::string& more) {
  const http::Request& r = exchange.request();
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - exchange.received()).count();
  log::info("request id={} method={} path={} status={} ms={:.1f}{}", r.id, printable(r.method, 16),
            printable(r.path, 80), exchange.status(), ms, more);
}

}  // namespace sw::server
