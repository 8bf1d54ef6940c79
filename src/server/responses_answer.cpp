// SPDX-License-Identifier: MIT
#include <utility>

#include "server/answer.h"

namespace sw::server {
namespace {

/// As /v1/responses of OpenAI: an item for the reasoning, if there is any, and one for the message.
class ResponsesAnswer : public Answer {
 public:
  explicit ResponsesAnswer(AnswerSetup made_with) : Answer(std::move(made_with)) {}

 protected:
  void open() override {
    Json response = response_json("in_progress", Json::array());
    add_extras(response);
    emit("response.created", {{"response", response}});
    emit("response.in_progress", {{"response", response}});
  }
  void send_piece(size_t, const Piece& piece) override {
    if (!piece.reasoning.empty()) send_delta(kReasoning, piece.reasoning);
    if (!piece.text.empty()) send_delta(kMessage, piece.text);
  }
  void send_finish(size_t, const Collected& collected, const Usage*) override {
    if (open_ == nullptr || open_ == &kReasoning) begin_item(kMessage);
    end_item(status_of(collected));
  }
  void close(const Usage& usage) override {
    const Json response = finished(usage, Json(items_));
    const std::string name = "response." + response["status"].get<std::string>();
    emit(name.c_str(), {{"response", response}});
  }
  Json whole(const Usage& usage) const override {
    const Collected& c = choices().front();
    Json output = Json::array();
    if (!c.reasoning.empty()) output.push_back(item_json(kReasoning, c.reasoning, "completed"));
    output.push_back(item_json(kMessage, c.text, status_of(c)));
    Json response = finished(usage, std::move(output));
    add_extras(response);
    return response;
  }

 private:
  struct Kind {
    const char *type, *id, *part, *event;
  };
  static constexpr Kind kReasoning{"reasoning", "rs_", "reasoning_text", "response.reasoning_text"};
  static constexpr Kind kMessage{"message", "msg_", "output_text", "response.output_text"};

  std::string id() const { return setup().exchange->request().id.substr(4); }

  Json response_json(const char* status, Json output) const {
    return {{"id", "resp_" + id()},
            {"object", "response"},
            {"created_at", created()},
            {"status", status},
            {"error", nullptr},
            {"incomplete_details", nullptr},
            {"instructions", nullptr},
            {"metadata", Json::object()},
            {"model", setup().model},
            {"output", std::move(output)},
            {"parallel_tool_calls", false},
            {"previous_response_id", nullptr},
            {"store", false},
            {"text", {{"format", {{"type", "text"}}}}},
            {"tool_choice", "none"},
            {"tools", Json::array()},
            {"truncation", "disabled"}};
  }
  static const char* status_of(const Collected& c) {
    return c.reason == FinishReason::Length ? "incomplete" : "completed";
  }
  Json finished(const Usage& u, Json output) const {
    const Collected& c = choices().front();
    Json response = response_json(status_of(c), std::move(output));
    if (c.reason == FinishReason::Length) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    response["usage"] = {{"input_tokens", u.n_prompt},
                         {"input_tokens_details", {{"cached_tokens", u.n_cached}}},
                         {"output_tokens", u.n_generated},
                         {"output_tokens_details", {{"reasoning_tokens", u.n_reasoning}}},
                         {"total_tokens", u.n_prompt + u.n_generated}};
    add_timings(response, u);
    return response;
  }
  static Json part_json(const Kind& kind, const std::string& text) {
    Json part = {{"type", kind.part}, {"text", text}};
    if (&kind == &kMessage) part["annotations"] = Json::array();
    return part;
  }
  Json item_json(const Kind& kind, const std::string& text, const char* status) const {
    Json item = {{"id", kind.id + id()}, {"type", kind.type}, {"status", status}};
    if (&kind == &kMessage) item["role"] = "assistant";
    if (&kind == &kReasoning) item["summary"] = Json::array();
    item["content"] = text.empty() && status == std::string_view("in_progress")
                          ? Json::array()
                          : Json::array({part_json(kind, text)});
    return item;
  }
  void emit(const char* name, const Json& event) {
    Json json = {{"type", name}, {"sequence_number", n_event_++}};
    json.update(event);
    send_event(name, json);
  }
  Json place() const {
    return {{"item_id", open_->id + id()}, {"output_index", items_.size()}, {"content_index", 0}};
  }
  void begin_item(const Kind& kind) {
    end_item("completed");
    open_ = &kind;
    emit("response.output_item.added",
         {{"output_index", items_.size()}, {"item", item_json(kind, "", "in_progress")}});
    Json part = place();
    part["part"] = part_json(kind, "");
    emit("response.content_part.added", part);
  }
  void send_delta(const Kind& kind, const std::string& text) {
    if (open_ != &kind) begin_item(kind);
    text_ += text;
    Json delta = place();
    delta["delta"] = text;
    emit((std::string(kind.event) + ".delta").c_str(), delta);
  }
  void end_item(const char* status) {
    if (!open_) return;
    Json done = place();
    done["text"] = text_;
    emit((std::string(open_->event) + ".done").c_str(), done);
    Json part = place();
    part["part"] = part_json(*open_, text_);
    emit("response.content_part.done", part);
    Json item = item_json(*open_, text_, status);
    emit("response.output_item.done", {{"output_index", items_.size()}, {"item", item}});
    items_.push_back(std::move(item));
    text_.clear();
    open_ = nullptr;
  }

  const Kind* open_ = nullptr;
  std::string text_;
  std::vector<Json> items_;
  int64_t n_event_ = 0;
};

}  // namespace

std::shared_ptr<Sink> make_responses_answer(AnswerSetup setup) {
  return std::make_shared<ResponsesAnswer>(std::move(setup));
}

}  // namespace sw::server
