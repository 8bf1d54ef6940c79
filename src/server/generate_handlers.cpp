// SPDX-License-Identifier: MIT
#include <utility>

#include "server/answer.h"
#include "server/foreign_messages.h"
#include "server/handlers.h"
#include "server/read_request.h"
#include "server/read_tools.h"

namespace sw::server {
namespace {

bool wants_usage(const RequestFields& fields) {
  const Json& options = fields.at("stream_options");
  if (options.is_null() || !options.contains("include_usage")) return false;
  const Json& wanted = options["include_usage"];
  if (wanted.is_null()) return false;
  if (!wanted.is_boolean()) refuse_field("stream_options.include_usage", "true or false", wanted);
  return wanted.get<bool>();
}

/// What cannot be promised is refused: an answer in another form than asked for would be no answer.
void check_form(const RequestFields& fields) {
  const auto check = [](const char* name, const Json& format) {
    if (format.contains("type") && format["type"] == "text") return;
    refuse_field(name, "{\"type\": \"text\"}; no other is supported yet", format);
  };
  if (fields.has("response_format")) check("response_format", fields.at("response_format"));
  if (const Json& text = fields.at("text"); text.contains("format") && !text["format"].is_null())
    check("text.format", text["format"]);
  if (const Json& config = fields.at("output_config"); config.contains("format"))
    check("output_config.format", config["format"]);
}

void check_chat_fields(const RequestFields& fields) {
  if (fields.has("top_logprobs") && !fields.boolean("logprobs"))
    refuse_field("top_logprobs", "logprobs: true beside it", fields.at("top_logprobs"));
}

void warn_of_store(RequestFields& fields) {
  if (fields.boolean("store")) fields.warn("store", "answers are not stored");
}

/// The text of prompt `i`, as it was given: without the tokens that the model wants around it.
std::string echo_of(const Json& prompts, size_t i, const std::vector<int32_t>& ids,
                    const Tokenizer& tokenizer) {
  if (prompts.is_string()) return prompts;
  if (prompts[i].is_string()) return prompts[i];
  return tokenizer.decode(ids);
}

size_t n_choice_max(const Service& service) { return static_cast<size_t>(service.options.limits.n_choice); }

AnswerSetup setup_of(const http::ExchangePtr& exchange, const RequestFields& fields, const Ready& ready,
                     const Generation& generation, const ReadMoe& moe) {
  return {.exchange = exchange,
          .tokenizer = &ready.served.tokenizer,
          .model = read_model(fields, ready),
          .n_choice = generation.n_choice(),
          .stream = fields.boolean("stream"),
          .include_usage = wants_usage(fields),
          .logprobs = generation.n_logprob >= 0,
          .routing = moe.return_routing,
          .moe = moe.resolved,
          .warnings = fields.warnings()};
}

}  // namespace

void handle_chat(Service& service, const http::ExchangePtr& exchange) {
  Ready& ready = service.ready();
  RequestFields fields(exchange->request().body, kChat);
  check_form(fields);
  check_chat_fields(fields);
  warn_of_store(fields);
  const Json tools = read_tools(fields, ToolForm::Chat);
  const ReadMoe moe = read_moe(fields, ready);
  Generation generation = read_generation(fields, moe, ready, service, *exchange);
  ChatPrompt prompt =
      read_chat_prompt(messages_of_chat(fields), tools, read_template_variables(fields), ready);
  generation.begins_reasoning = prompt.begins_reasoning;
  generation.prompts = {std::move(prompt.ids)};
  check_n_choice(generation, n_choice_max(service), service, "messages");
  generation.n_predict =
      fields.integer("max_completion_tokens", fields.integer("max_tokens", service.options.limits.n_predict));
  generation.stops = read_stops(fields, "stop", service.options.limits);
  if (fields.boolean("logprobs")) generation.n_logprob = static_cast<int>(fields.integer("top_logprobs", 0));
  generation.sink = make_chat_answer(setup_of(exchange, fields, ready, generation, moe));
  ready.loop.submit(std::move(generation));
}

namespace {

/// An answer to a conversation, in whatever form it came.
Generation read_conversation(const RequestFields& fields, const Messages& messages, const Json& tools,
                             const ReadMoe& moe, const Ready& ready, const Service& service,
                             const http::Exchange& exchange) {
  if (moe.return_routing)
    refuse_field("moe.return_routing", "false: answers of this form have no place for it", true);
  Generation generation = read_generation(fields, moe, ready, service, exchange);
  Json variables = read_template_variables(fields);
  const Json& thinking = fields.at("thinking");
  if (thinking.is_object() && thinking.contains("type") && thinking["type"] == "disabled")
    variables["enable_thinking"] = false;
  ChatPrompt prompt = read_chat_prompt(messages, tools, variables, ready);
  generation.begins_reasoning = prompt.begins_reasoning;
  generation.prompts = {std::move(prompt.ids)};
  return generation;
}

}  // namespace

void handle_messages(Service& service, const http::ExchangePtr& exchange) {
  exchange->add_header({"request-id", exchange->request().id});
  Ready& ready = service.ready();
  RequestFields fields(exchange->request().body, kMessages);
  check_form(fields);
  const Json tools = read_tools(fields, ToolForm::Messages);
  const ReadMoe moe = read_moe(fields, ready);
  Generation generation =
      read_conversation(fields, messages_of_anthropic(fields), tools, moe, ready, service, *exchange);
  generation.n_predict = fields.integer("max_tokens", service.options.limits.n_predict);
  generation.stops = read_stops(fields, "stop_sequences", service.options.limits);
  generation.sink = make_messages_answer(setup_of(exchange, fields, ready, generation, moe));
  ready.loop.submit(std::move(generation));
}

void handle_count_tokens(Service& service, const http::ExchangePtr& exchange) {
  exchange->add_header({"request-id", exchange->request().id});
  const Ready& ready = service.ready();
  RequestFields fields(exchange->request().body, kCountTokens);
  read_model(fields, ready);
  const Json tools = read_tools(fields, ToolForm::Messages);
  try {
    const auto prompt = chat_template(ready).prompt(read_messages(messages_of_anthropic(fields)), tools);
    respond_json(*exchange, {{"input_tokens", prompt.ids.size()}});
  } catch (const Error& e) {
    throw ApiError(e, "messages");
  }
}

void handle_responses(Service& service, const http::ExchangePtr& exchange) {
  Ready& ready = service.ready();
  RequestFields fields(exchange->request().body, kResponses);
  check_form(fields);
  if (fields.boolean("background"))
    refuse_field("background", "false: answers are not stored", fields.at("background"));
  warn_of_store(fields);
  const Json tools = read_tools(fields, ToolForm::Responses);
  if (fields.has("previous_response_id"))
    refuse_field("previous_response_id", "none: answers are not stored", fields.at("previous_response_id"));
  const ReadMoe moe = read_moe(fields, ready);
  Generation generation =
      read_conversation(fields, messages_of_responses(fields), tools, moe, ready, service, *exchange);
  generation.n_predict = fields.integer("max_output_tokens", service.options.limits.n_predict);
  generation.sink = make_responses_answer(setup_of(exchange, fields, ready, generation, moe));
  ready.loop.submit(std::move(generation));
}

void handle_completions(Service& service, const http::ExchangePtr& exchange) {
  Ready& ready = service.ready();
  const RequestFields fields(exchange->request().body, kCompletions);
  check_form(fields);
  if (!fields.string("suffix").empty())
    refuse_field("suffix", "none: it is not supported", fields.at("suffix"));
  if (fields.integer("best_of", fields.integer("n", 1)) != fields.integer("n", 1))
    refuse_field("best_of", "the same as n", fields.at("best_of"));
  const ReadMoe moe = read_moe(fields, ready);
  Generation generation = read_generation(fields, moe, ready, service, *exchange);
  generation.prompts = read_prompts(fields.at("prompt"), ready, "prompt");
  check_n_choice(generation, n_choice_max(service), service, "prompt");
  generation.split_reasoning = false;
  generation.n_predict = fields.integer("max_tokens", service.options.limits.n_predict);
  generation.stops = read_stops(fields, "stop", service.options.limits);
  generation.n_logprob = static_cast<int>(fields.integer("logprobs", -1));
  AnswerSetup setup = setup_of(exchange, fields, ready, generation, moe);
  if (fields.boolean("echo")) {
    if (setup.logprobs)
      refuse_field("echo", "false where logprobs is given: a prompt's own are not computed",
                   fields.at("echo"));
    for (size_t i = 0; i < generation.prompts.size(); ++i) {
      const std::string text = echo_of(fields.at("prompt"), i, generation.prompts[i], ready.served.tokenizer);
      setup.echoes.insert(setup.echoes.end(), static_cast<size_t>(generation.n), text);
    }
  }
  generation.sink = make_completion_answer(std::move(setup));
  ready.loop.submit(std::move(generation));
}

}  // namespace sw::server
