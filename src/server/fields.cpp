// SPDX-License-Identifier: MIT
#include "server/fields.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <utility>

#include "formats/json.h"
#include "server/api_error.h"

namespace sw::server {
namespace {

constexpr unsigned kText = kChat | kCompletions | kMessages | kResponses;  // those that generate
constexpr unsigned kOpenAi = kChat | kCompletions;
constexpr double kMaxTokens = 1 << 30, kMaxSeed = 9223372036854774784.0, kMaxTimeout = 86400;
constexpr size_t kMaxGot = 60;    // characters of a value in a message
constexpr size_t kMaxName = 100;  // of a name
constexpr const char* kIgnored = "unknown, and ignored";

const Field kFields[] = {
    {"messages", FieldType::Array, kChat | kMessages | kApplyTemplate | kCountTokens, 0, 0, "",
     "the conversation: objects with role and content"},
    {"prompt", FieldType::Any, kCompletions, 0, 0, "",
     "a text, a list of texts, token ids, or a list of lists of token ids"},
    {"input", FieldType::Any, kEmbeddings, 0, 0, "", "as prompt of /v1/completions"},
    {"input", FieldType::Any, kResponses, 0, 0, "", "a text, or a list of messages"},
    {"content", FieldType::String, kTokenize, 0, 0, "", "the text"},
    {"tokens", FieldType::Array, kDetokenize, 0, 0, "", "token ids"},
    {"model", FieldType::String, kText | kEmbeddings | kCountTokens, 0, 0, "the model that is served",
     "a name that GET /v1/models lists"},
    {"stream", FieldType::Boolean, kText, 0, 0, "false",
     "send the answer as it comes, as server-sent events"},
    {"stream_options", FieldType::Object, kOpenAi, 0, 0, "{}",
     "include_usage: true adds a last chunk with the usage", "include_usage"},
    {"max_tokens", FieldType::Integer, kCompletions, 0, kMaxTokens, "until the context is full",
     "tokens to generate"},
    {"max_tokens", FieldType::Integer, kChat, 1, kMaxTokens, "until the context is full",
     "tokens to generate"},
    {"max_tokens", FieldType::Integer, kMessages, 1, kMaxTokens, "", "tokens to generate"},
    {"max_completion_tokens", FieldType::Integer, kChat, 1, kMaxTokens, "max_tokens",
     "tokens to generate, reasoning included"},
    {"max_output_tokens", FieldType::Integer, kResponses, 1, kMaxTokens, "until the context is full",
     "tokens to generate"},
    {"n", FieldType::Integer, kOpenAi, 1, 16, "1", "answers to each prompt"},
    {"best_of", FieldType::Integer, kCompletions, 1, 16, "n", "must equal n"},
    {"seed", FieldType::Integer, kText, -1, kMaxSeed, "a random one",
     "the same seed gives the same text; -1: a random one"},
    {"stop", FieldType::Any, kOpenAi, 0, 0, "none", "a text that ends the answer, or up to 16 of them"},
    {"stop_sequences", FieldType::Array, kMessages, 0, 0, "none", "texts that end the answer, up to 16"},
    {"logprobs", FieldType::Boolean, kChat, 0, 0, "false", "give each token's logarithmic probability"},
    {"top_logprobs", FieldType::Integer, kChat, 0, 20, "0", "and those of the most probable tokens"},
    {"logprobs", FieldType::Integer, kCompletions, 0, 20, "none",
     "give each token's logarithmic probability, and those of so many others"},
    {"logit_bias", FieldType::Object, kOpenAi, 0, 0, "{}",
     "by token id: what is added to its logit, -100 to 100; -100 forbids it"},
    {"echo", FieldType::Boolean, kCompletions, 0, 0, "false", "give the prompt back in front of the text"},
    {"suffix", FieldType::String, kCompletions, 0, 0, "none", "not supported: refused unless empty"},
    {"response_format", FieldType::Object, kOpenAi, 0, 0, "text",
     "{\"type\": \"text\"}; no other is supported yet", "type"},
    {"text", FieldType::Object, kResponses, 0, 0, "text",
     "{\"format\": {\"type\": \"text\"}}; no other format is supported yet", "format"},
    {"output_config", FieldType::Object, kMessages, 0, 0, "{}", "no format within: none is supported yet",
     "format"},
    {"output_format", FieldType::Unsupported, kMessages, 0, 0, "none", "no form can be promised yet"},
    {"grammar", FieldType::Unsupported, kText, 0, 0, "none", "no form can be promised yet"},
    {"json_schema", FieldType::Unsupported, kText, 0, 0, "none", "no form can be promised yet"},
    {"structured_outputs", FieldType::Unsupported, kText, 0, 0, "none", "no form can be promised yet"},
    {"guided_json", FieldType::Unsupported, kText, 0, 0, "none", "no form can be promised yet"},
    {"guided_regex", FieldType::Unsupported, kText, 0, 0, "none", "no form can be promised yet"},
    {"guided_choice", FieldType::Unsupported, kText, 0, 0, "none", "no form can be promised yet"},
    {"guided_grammar", FieldType::Unsupported, kText, 0, 0, "none", "no form can be promised yet"},
    {"tools", FieldType::Array, kChat | kApplyTemplate | kMessages | kResponses | kCountTokens, 0, 0, "none",
     "given to the chat template; calls come as text"},
    {"tool_choice", FieldType::Any, kChat | kMessages | kResponses | kCountTokens, 0, 0, "auto",
     "auto or none; an object with such a type for Anthropic's clients"},
    {"functions", FieldType::Unsupported, kChat, 0, 0, "none", "tools took its place"},
    {"function_call", FieldType::Unsupported, kChat, 0, 0, "none", "tool_choice took its place"},
    {"background", FieldType::Boolean, kResponses, 0, 0, "false", "must be false: answers are not stored"},
    {"store", FieldType::Boolean, kChat | kResponses, 0, 0, "false", "true has no effect but a warning"},
    {"conversation", FieldType::Unsupported, kResponses, 0, 0, "none", "conversations are not stored"},
    {"prompt", FieldType::Unsupported, kResponses, 0, 0, "none", "prompts are not stored"},
    {"ignore_eos", FieldType::Boolean, kText, 0, 0, "false", "never choose an end token"},
    {"reasoning_effort", FieldType::String, kChat, 0, 0, "none", "given to the chat template"},
    {"chat_template_kwargs", FieldType::Object, kChat | kApplyTemplate | kMessages | kResponses, 0, 0, "{}",
     "further variables of the chat template"},
    {"add_generation_prompt", FieldType::Boolean, kChat | kApplyTemplate, 0, 0, "true",
     "end the prompt where the answer begins"},
    {"moe", FieldType::Object, kText | kEmbeddings, 0, 0, "the server's routing flags",
     "the request's own routing"},
    {"timeout_s", FieldType::Number, kText | kEmbeddings, 0.001, kMaxTimeout,
     "the server's --request-timeout", "seconds after which the request ends with an error"},
    {"return_progress", FieldType::Boolean, kOpenAi, 0, 0, "false",
     "in a stream: chunks with prompt_progress while the prompt is read"},
    {"encoding_format", FieldType::String, kEmbeddings, 0, 0, "float", "float or base64"},
    {"dimensions", FieldType::Integer, kEmbeddings, 1, 1 << 20, "the model's", "must be the model's"},
    {"system", FieldType::Any, kMessages | kCountTokens, 0, 0, "none",
     "the system message: a text or text blocks"},
    {"thinking", FieldType::Object, kMessages, 0, 0, "as the template has it",
     "type disabled: enable_thinking false for the template", "type"},
    {"instructions", FieldType::String, kResponses, 0, 0, "none", "the system message"},
    {"previous_response_id", FieldType::String, kResponses, 0, 0, "none",
     "not supported: answers are not stored"},
    {"add_special", FieldType::Boolean, kTokenize, 0, 0, "false", "add BOS and EOS as the model wants them"},
    {"parse_special", FieldType::Boolean, kTokenize, 0, 0, "true", "find special tokens in the text"},
    {"filename", FieldType::String, kSlotAction, 0, 0, "none",
     "a file's name in the folder of --slot-save-path; save and restore need it"},
    {"with_pieces", FieldType::Boolean, kTokenize, 0, 0, "false", "give each token's text too"},
};

std::vector<Field> all_fields() {
  std::vector<Field> all(std::begin(kFields), std::end(kFields));
  for (const SamplerSetting& s : sampler_settings()) {
    const bool whole = std::holds_alternative<int SamplerParams::*>(s.field);
    all.push_back({sampler_field(s), whole ? FieldType::Integer : FieldType::Number, kText, s.low, s.high,
                   "the server's " + std::string(s.flag), s.help});
  }
  return all;
}

const Field* find_field(std::string_view name, Endpoint endpoint) {
  for (const Field& f : request_fields()) {
    if (f.name == name && (f.endpoints & endpoint) != 0) return &f;
  }
  return nullptr;
}

/// An integer in the range; numbers such as 4.0 are integers.
bool is_integer_within(const Json& value, double low, double high) {
  if (!value.is_number()) return false;
  const double d = value.get<double>();
  return d >= low && d <= high && std::trunc(d) == d;
}

bool fits(const Field& f, const Json& value) {
  switch (f.type) {
    case FieldType::Integer:
      return is_integer_within(value, f.low, f.high);
    case FieldType::Number:
      return value.is_number() && value.get<double>() >= f.low && value.get<double>() <= f.high;
    case FieldType::Boolean:
      return value.is_boolean();
    case FieldType::String:
      return value.is_string();
    case FieldType::Array:
      return value.is_array();
    case FieldType::Object:
      return value.is_object();
    case FieldType::Any:
      return true;
    case FieldType::Unsupported:
      return value.is_string() &&
             value.get_ref<const std::string&>().empty();  // as some clients send what they leave out
  }
  return false;
}

}  // namespace

std::span<const Field> request_fields() {
  static const std::vector<Field> all = all_fields();
  return all;
}

std::string sampler_field(const SamplerSetting& setting) {
  const std::string_view flag = setting.flag;
  constexpr std::pair<std::string_view, const char*> kNames[] = {{"--temp", "temperature"},
                                                                 {"--typical", "typical_p"},
                                                                 {"--dynatemp-exp", "dynatemp_exponent"},
                                                                 {"--mirostat-ent", "mirostat_tau"},
                                                                 {"--mirostat-lr", "mirostat_eta"}};
  for (const auto& [known, name] : kNames) {
    if (flag == known) return name;
  }
  std::string name(flag.substr(2));
  std::ranges::replace(name, '-', '_');
  return name;
}

std::string describe_type(const Field& f) {
  std::string range = fmt::format(" from {:g} to {:g}", f.low, f.high);
  if (f.type == FieldType::Integer)
    range = fmt::format(" from {} to {}", static_cast<int64_t>(f.low), static_cast<int64_t>(f.high));
  switch (f.type) {
    case FieldType::Integer:
      return "an integer" + range;
    case FieldType::Number:
      return "a number" + range;
    case FieldType::Boolean:
      return "true or false";
    case FieldType::String:
      return "a string";
    case FieldType::Array:
      return "an array";
    case FieldType::Object:
      return "an object";
    case FieldType::Unsupported:
      return "nothing: " + f.help;
    case FieldType::Any:
      break;
  }
  return f.help;
}

void refuse_field(const std::string& name, const std::string& expected, const Json& got) {
  std::string text = got.is_binary() ? "a number that no field can have" : dump(got);
  if (text.size() > kMaxGot) text = text.substr(0, kMaxGot) + "...";
  const std::string shown = printable(name, kMaxName);  // it may be the client's own
  throw ApiError(
      {.message = fmt::format("{}: expected {}, got {}", shown, expected, printable(text)), .param = shown});
}

RequestFields::RequestFields(std::string_view body, Endpoint endpoint) {
  Json parsed;
  try {
    parsed = parse_ordered_json(body, "the request's body");
  } catch (const Error& e) {
    throw ApiError({.message = e.what(), .code = "invalid_json"});
  }
  if (!parsed.is_object()) {
    throw ApiError({.message = "the request's body is no JSON object", .code = "invalid_json"});
  }
  for (auto& [name, value] : parsed.items()) {
    if (value.is_null()) continue;
    const Field* field = find_field(name, endpoint);
    if (!field) {
      warn(printable(name, kMaxGot), kIgnored);
      continue;
    }
    if (!fits(*field, value)) refuse_field(name, describe_type(*field), value);
    warn_of_unknown_members(*field, value);
    members_[name] = std::move(value);
  }
  for (const Field& f : request_fields()) {
    if ((f.endpoints & endpoint) != 0 && f.fallback.empty()) need(f.name);
  }
}

const Json& RequestFields::need(std::string_view name) const {
  if (const auto found = members_.find(name); found != members_.end()) return *found;
  throw ApiError(
      {.message = fmt::format("{} is missing", name), .code = "missing_field", .param = std::string(name)});
}

const Json& RequestFields::at(std::string_view name) const {
  static const Json null;
  const auto found = members_.find(name);
  return found == members_.end() ? null : *found;
}

int64_t RequestFields::integer(std::string_view name, int64_t fallback) const {
  const Json& value = at(name);
  if (value.is_null()) return fallback;
  return value.is_number_float() ? static_cast<int64_t>(value.get<double>()) : value.get<int64_t>();
}

double RequestFields::number(std::string_view name, double fallback) const {
  const Json& value = at(name);
  return value.is_null() ? fallback : value.get<double>();
}

bool RequestFields::boolean(std::string_view name, bool fallback) const {
  const Json& value = at(name);
  return value.is_null() ? fallback : value.get<bool>();
}

std::string RequestFields::string(std::string_view name, const std::string& fallback) const {
  const Json& value = at(name);
  return value.is_null() ? fallback : value.get<std::string>();
}

void RequestFields::warn_of_unknown_members(const Field& field, const Json& value) {
  if (field.member.empty()) return;
  for (const auto& member : value.items()) {
    if (member.key() != field.member && !member.value().is_null())
      warn(field.name + "." + printable(member.key(), kMaxGot), kIgnored);
  }
}

void RequestFields::warn(const std::string& param, const std::string& message) {
  warnings_.push_back({{"param", param}, {"message", message}});
}

}  // namespace sw::server
