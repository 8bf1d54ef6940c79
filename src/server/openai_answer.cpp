// SPDX-License-Identifier: MIT
#include "server/openai_answer.h"

#include <utility>

namespace sw::server {

Json OpenAiAnswer::chunk(Json choice) const {
  Json json = head(true);
  json["choices"] = Json::array({std::move(choice)});
  if (setup().include_usage) json["usage"] = nullptr;  // but in the last
  return json;
}

void OpenAiAnswer::open() {
  for (size_t i = 0; i < setup().n_choice; ++i) {
    Json json = chunk(first_choice(i));
    if (i == 0) add_extras(json);
    send_data(json);
  }
}

void OpenAiAnswer::on_progress(const PromptProgress& p) {
  Json json = chunk(empty_choice(0));
  json["prompt_progress"] = {
      {"total", p.n_prompt}, {"cache", p.n_cached}, {"processed", p.n_processed}, {"time_ms", p.ms}};
  send_data(json);
}

void OpenAiAnswer::send_finish(size_t index, const Collected& collected, const Usage* usage) {
  Json one = empty_choice(index);
  one["finish_reason"] = openai_reason(collected.reason);
  Json json = chunk(std::move(one));
  if (usage) add_timings(json, *usage);
  send_data(json);
}

void OpenAiAnswer::close(const Usage& usage) {
  if (setup().include_usage) {
    Json json = head(true);
    json["choices"] = Json::array();
    json["usage"] = usage_json(usage);
    send_data(json);
  }
  send_raw("data: [DONE]\n\n");
}

Json OpenAiAnswer::whole(const Usage& usage) const {
  Json json = head(false);
  json["choices"] = Json::array();
  for (size_t i = 0; i < choices().size(); ++i) {
    Json one = whole_choice(i);
    one["finish_reason"] = openai_reason(choices()[i].reason);
    json["choices"].push_back(std::move(one));
  }
  json["usage"] = usage_json(usage);
  add_timings(json, usage);
  add_extras(json);
  return json;
}

}  // namespace sw::server
