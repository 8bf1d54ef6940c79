// SPDX-License-Identifier: MIT
#include "server/read_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <random>

#include "engine/sampler/dry_breakers.h"
#include "router/policy_json.h"
#include "server/moe_json.h"

namespace sw::server {
namespace {

constexpr double kMostBias = 100;
// Templates leave out messages of roles that they do not know.
constexpr const char* kRoles[] = {"system", "developer", "user", "assistant", "tool", "function"};

std::vector<LogitBias> read_logit_bias(const Json& bias, int n_vocab) {
  std::vector<LogitBias> out;
  if (bias.is_null()) return out;
  for (const auto& [name, value] : bias.items()) {
    int32_t id = -1;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, id);
    if (error != std::errc() || rest != end || id < 0 || id >= n_vocab)
      refuse_field("logit_bias", fmt::format("token ids from 0 to {}", n_vocab - 1), name);
    if (!value.is_number() || std::abs(value.get<double>()) > kMostBias)
      refuse_field("logit_bias." + name, "a number from -100 to 100", value);
    const auto b = static_cast<float>(value.get<double>());
    out.push_back({id, b <= -kMostBias ? -INFINITY : b});
  }
  return out;
}

/// The text of a message's content: a string, or parts of type text.
std::string content_text(const Json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) refuse_field(where, "a string or an array of parts", content);
  std::string text;
  for (const Json& part : content) {
    const bool is_text = part.is_object() && part.contains("text") && part["text"].is_string();
    const Json type = part.is_object() && part.contains("type") ? part["type"] : Json("text");
    if (!is_text || (type != "text" && type != "input_text" && type != "output_text"))
      refuse_field(where, "parts of type text: no images, sound or files", type);
    if (!text.empty()) text += '\n';
    text += part["text"].get<std::string>();
  }
  return text;
}

}  // namespace

std::string read_model(const RequestFields& fields, const Ready& ready) {
  const auto& names = ready.served.names;
  std::string name = fields.string("model", names.front());
  check_model_name(name, ready);
  return name;
}

void check_model_name(const std::string& name, const Ready& ready) {
  const auto& names = ready.served.names;
  if (std::ranges::find(names, name) != names.end()) return;
  throw ApiError(
      {.status = 404,
       .message = fmt::format("the model '{}' is not served here; {} is", printable(name, 80), names.front()),
       .code = "model_not_found",
       .param = "model"});
}

SamplerParams read_sampler(const RequestFields& fields, const Ready& ready) {
  SamplerParams params = ready.served.sampler;
  for (const SamplerSetting& setting : sampler_settings()) {
    const std::string name = sampler_field(setting);
    if (!fields.has(name)) continue;
    if (const auto* as_float = std::get_if<float SamplerParams::*>(&setting.field)) {
      params.** as_float = static_cast<float>(fields.number(name, 0));
    } else {
      params.*std::get<int SamplerParams::*>(setting.field) = static_cast<int>(fields.integer(name, 0));
    }
  }
  const int64_t seed = fields.integer("seed", -1);
  params.seed = seed >= 0 ? static_cast<uint64_t>(seed) : std::random_device{}();
  for (const LogitBias& b : read_logit_bias(fields.at("logit_bias"), ready.served.tokenizer.n_vocab()))
    params.logit_bias.push_back(b);
  if (fields.boolean("ignore_eos")) {
    for (const int32_t end : ready.served.tokenizer.end_of_generation())
      params.logit_bias.push_back({end, -INFINITY});
  }
  return params;
}

std::vector<std::string> read_stops(const RequestFields& fields, const char* field,
                                    const ServiceLimits& limits) {
  const Json& value = fields.at(field);
  if (value.is_null()) return {};
  const Json list = value.is_string() ? Json::array({value}) : value;
  const std::string expected =
      fmt::format("a string or up to {} of them, each of 1 to {} bytes", limits.n_stop, limits.stop_bytes);
  if (!list.is_array() || list.size() > limits.n_stop) refuse_field(field, expected, value);
  std::vector<std::string> stops;
  for (const Json& stop : list) {
    if (!stop.is_string()) refuse_field(field, expected, stop);
    const std::string text = stop.get<std::string>();
    if (text.empty() || text.size() > limits.stop_bytes) refuse_field(field, expected, stop);
    stops.push_back(text);
  }
  return stops;
}

namespace {

/// The member of `moe` that the model cannot do, for itself; "moe" where only several together are too much.
std::string guilty_member(const Json& given, const Ready& ready) {
  for (const auto& [name, value] : given.items()) {
    try {
      const nlohmann::json alone = {{name, nlohmann::json(value)}};
      resolved_policy(policy_from_json(alone, ready.served.policy), ready.model(), ready.experts_max);
    } catch (const Error&) {
      return "moe." + name;
    }
  }
  return "moe";
}

}  // namespace

ReadMoe read_moe(const RequestFields& fields, const Ready& ready) {
  ReadMoe moe{.policy = ready.served.policy};
  Json given = fields.at("moe");
  try {
    if (!given.is_null()) {
      for (auto member = given.begin(); member != given.end();)
        member = member.value().is_null() ? given.erase(member) : std::next(member);
      if (const auto wanted = given.find("return_routing"); wanted != given.end()) {
        if (!wanted->is_boolean()) refuse_field("moe.return_routing", "true or false", *wanted);
        moe.return_routing = wanted->get<bool>();
        given.erase(wanted);
      }
      for (const auto& [name, value] : given.items()) {
        if (std::ranges::find(kPolicyMembers, name) == std::end(kPolicyMembers))
          refuse_field("moe." + name,
                       fmt::format("one of {}, return_routing", fmt::join(kPolicyMembers, ", ")), value);
      }
      moe.policy = policy_from_json(nlohmann::json(given), moe.policy);
    }
    moe.resolved = resolved_policy(moe.policy, ready.model(), ready.experts_max);
  } catch (const Error& e) {
    throw ApiError(e, e.parts().where.starts_with("moe") ? e.parts().where : guilty_member(given, ready));
  }
  return moe;
}

std::vector<int32_t> read_ids(const Json& list, int n_vocab, const char* field) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= n_vocab)
      refuse_field(field, fmt::format("token ids from 0 to {}", n_vocab - 1), id);
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

Json read_template_variables(const RequestFields& fields) {
  Json variables = fields.has("chat_template_kwargs") ? fields.at("chat_template_kwargs") : Json::object();
  for (const char* name : {"messages", "tools"}) {
    if (variables.contains(name))
      refuse_field(fmt::format("chat_template_kwargs.{}", name),
                   "no such variable: it is a field of the request", variables[name]);
  }
  for (const char* name : {"add_generation_prompt", "reasoning_effort"}) {
    if (fields.has(name)) variables[name] = fields.at(name);
  }
  return variables;
}

void check_prompt(const std::vector<int32_t>& ids, const Ready& ready, const char* field) {
  if (ids.empty())
    throw ApiError({.message = fmt::format("{}: the prompt has no token", field), .param = field});
  const int64_t n_ctx = ready.engine().n_ctx(), n = std::ssize(ids);
  if (n < n_ctx) return;
  throw ApiError(
      {.message = fmt::format("the prompt has {} tokens, and the context has room for {}", n, n_ctx - 1),
       .code = "context_length_exceeded",
       .param = field,
       .more = {{"n_prompt_tokens", n}, {"n_ctx", n_ctx}}});
}

std::vector<std::vector<int32_t>> read_prompts(const Json& value, const Ready& ready, const char* field) {
  constexpr const char* kExpected = "a text, a list of texts, token ids, or a list of lists of token ids";
  const Tokenizer& tokenizer = ready.served.tokenizer;
  const auto encode = [&](const Json& text) {
    return tokenizer.encode(text.get<std::string>(), {.parse_special = true, .add_special = true});
  };
  std::vector<std::vector<int32_t>> prompts;
  if (value.is_string()) {
    prompts.push_back(encode(value));
  } else if (!value.is_array() || value.empty()) {
    refuse_field(field, kExpected, value);
  } else if (value[0].is_number()) {
    prompts.push_back(read_ids(value, tokenizer.n_vocab(), field));
  } else {
    for (const Json& one : value) {
      if (!one.is_string() && !one.is_array()) refuse_field(field, kExpected, one);
      prompts.push_back(one.is_string() ? encode(one) : read_ids(one, tokenizer.n_vocab(), field));
    }
  }
  for (const auto& ids : prompts) check_prompt(ids, ready, field);
  return prompts;
}

Messages messages_of_chat(const RequestFields& fields) {
  Messages messages{.field = "messages", .list = fields.at("messages")};
  for (size_t i = 0; i < messages.list.size(); ++i) messages.names.push_back(fmt::format("messages[{}]", i));
  return messages;
}

std::span<const char* const> message_roles() { return kRoles; }

Json read_messages(const Messages& messages) {
  if (messages.list.empty()) refuse_field(messages.field, "at least one message", messages.list);
  Json out = Json::array();
  for (size_t i = 0; i < messages.list.size(); ++i) {
    const std::string& where = messages.names[i];
    const Json& message = messages.list[i];
    if (!message.is_object()) refuse_field(where, "an object with role and content", message);
    const Json role = message.contains("role") ? message["role"] : Json();
    if (std::ranges::find(kRoles, role) == std::end(kRoles))
      refuse_field(where + ".role", "system, developer, user, assistant, tool or function", role);
    const bool has_content = message.contains("content") && !message["content"].is_null();
    if (!has_content && role != "assistant")  // which may have calls or reasoning alone
      refuse_field(where + ".content", "a string or an array of parts", nullptr);
    Json made = message;
    if (made["role"] == "developer") made["role"] = "system";
    if (has_content)
      made["content"] = content_text(made["content"], where.ends_with(']') ? where + ".content" : where);
    out.push_back(std::move(made));
  }
  return out;
}

const ChatTemplate& chat_template(const Ready& ready) {
  if (ready.chat) return *ready.chat;
  throw ApiError({.message = ready.no_chat, .code = "no_chat_template"});
}

ChatPrompt read_chat_prompt(const Messages& messages, const Json& tools, const Json& kwargs,
                            const Ready& ready) {
  try {
    ChatPrompt prompt = chat_template(ready).prompt(read_messages(messages), tools, kwargs);
    check_prompt(prompt.ids, ready, messages.field);
    return prompt;
  } catch (const Error& e) {
    throw ApiError(e, messages.field);
  }
}

void check_n_choice(const Generation& generation, size_t most, const Service& service, const char* field) {
  const ServerOptions& options = service.options;
  most =
      std::min(most, static_cast<size_t>(options.n_parallel) + static_cast<size_t>(options.limits.n_queue));
  const size_t n = generation.n_choice();
  if (n <= most) return;
  const std::string param = generation.prompts.size() > most ? field : "n";
  throw ApiError({.message = fmt::format("{}: {} texts in one request; the most here are {}", param, n, most),
                  .param = param,
                  .more = {{"most", most}}});
}

Generation read_generation(const RequestFields& fields, const ReadMoe& moe, const Ready& ready,
                           const Service& service, const http::Exchange& exchange) {
  Generation generation{.n = static_cast<int>(fields.integer("n", 1)),
                        .end_ids = ready.served.tokenizer.end_of_generation(),
                        .sampler = read_sampler(fields, ready),
                        .policy = moe.policy,
                        .return_routing = moe.return_routing,
                        .return_progress = fields.boolean("return_progress") && fields.boolean("stream"),
                        .received = exchange.received(),
                        .id = exchange.request().id};
  const double timeout_s = fields.number("timeout_s", service.options.limits.request_timeout_s);
  if (timeout_s > 0)
    generation.deadline = exchange.received() + std::chrono::duration_cast<Clock::duration>(
                                                    std::chrono::duration<double>(timeout_s));
  return generation;
}

}  // namespace sw::server
