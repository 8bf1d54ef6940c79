// SPDX-License-Identifier: MIT
#pragma once
#include <vector>

#include "server/fields.h"
#include "server/generation.h"
#include "server/service.h"

/// The parts of a request that several endpoints share. All throw ApiError that names the field.
namespace sw::server {

/// The name that the answer shows. 404 for a model that is not served.
std::string read_model(const RequestFields& fields, const Ready& ready);
/// 404 where the model has no such name.
void check_model_name(const std::string& name, const Ready& ready);
/// The server's settings, with those that the request has.
SamplerParams read_sampler(const RequestFields& fields, const Ready& ready);
/// `field`: stop or stop_sequences.
std::vector<std::string> read_stops(const RequestFields& fields, const char* field,
                                    const ServiceLimits& limits);

struct ReadMoe {
  RoutingPolicy policy = {};
  bool return_routing = false;
  Json resolved = {};  ///< for the answer
};
ReadMoe read_moe(const RequestFields& fields, const Ready& ready);

/// Ids of one prompt; 400 where it is empty or does not fit in the context.
void check_prompt(const std::vector<int32_t>& ids, const Ready& ready, const char* field);
/// A text, several, ids, or several lists of ids.
std::vector<std::vector<int32_t>> read_prompts(const Json& value, const Ready& ready, const char* field);

/// Token ids of the vocabulary.
std::vector<int32_t> read_ids(const Json& list, int n_vocab, const char* field);

/// Variables of the chat template that the request has.
Json read_template_variables(const RequestFields& fields);
/// A conversation in the form of /v1/chat/completions, and what the client calls its parts.
struct Messages {
  const char* field = "messages";  ///< the request's member that has them
  Json list = Json::array();
  std::vector<std::string> names = {};  ///< of each: "messages[1]", "system"
};
Messages messages_of_chat(const RequestFields& fields);
/// The roles that a message may have.
std::span<const char* const> message_roles();
/// Messages as templates expect them: text parts of one message joined, roles known.
Json read_messages(const Messages& messages);
/// The prompt that messages make, checked for length. `tools`: null or an array.
ChatPrompt read_chat_prompt(const Messages& messages, const Json& tools, const Json& kwargs,
                            const Ready& ready);
const ChatTemplate& chat_template(const Ready& ready);

/// 400 where a request has more texts than a request may have, or than can run and wait at one time: it would
/// be put off for ever. `field`: that of the prompts.
void check_n_choice(const Generation& generation, size_t most, const Service& service, const char* field);

/// What is alike for all that generates: sampler, routing, deadline, end tokens. Prompts, stops and sink are
/// the endpoint's.
Generation read_generation(const RequestFields& fields, const ReadMoe& moe, const Ready& ready,
                           const Service& service, const http::Exchange& exchange);

}  // namespace sw::server
