// SPDX-License-Identifier: MIT
#include <utility>

#include "server/answer.h"

namespace sw::server {
namespace {

/// As /v1/messages of Anthropic: blocks of thinking and of text.
class MessagesAnswer : public Answer {
 public:
  using Answer::Answer;

 protected:
  void open() override {}  // message_start has the usage, which is known when the prompt is computed
  void on_prompt(size_t, int64_t n_prompt, int64_t n_cached) override {
    if (!setup().stream) return;
    Json message = head();
    message["content"] = Json::array();
    message["stop_reason"] = message["stop_sequence"] = nullptr;
    message["usage"] = usage_of({.n_prompt = n_prompt, .n_cached = n_cached});
    add_extras(message);
    send_event("message_start", {{"type", "message_start"}, {"message", std::move(message)}});
  }
  void send_piece(size_t, const Piece& piece) override {
    if (!piece.reasoning.empty()) send_delta("thinking", piece.reasoning);
    if (!piece.text.empty()) send_delta("text", piece.text);
  }
  void send_finish(size_t, const Collected& collected, const Usage* usage) override {
    if (block_.empty()) send_delta("text", "");  // clients expect at least one block
    end_block();
    send_event("message_delta", {{"type", "message_delta"},
                                 {"delta", stop_json(collected)},
                                 {"usage", usage ? usage_of(*usage) : Json::object()}});
  }
  void close(const Usage& /*usage*/) override { send_event("message_stop", {{"type", "message_stop"}}); }
  std::string error_frame(const ApiError& error) const override {
    return "event: error\ndata: " + dump(error.body()) + "\n\n";
  }
  Json whole(const Usage& usage) const override {
    const Collected& c = choices().front();
    Json message = head();
    message["content"] = Json::array();
    if (!c.reasoning.empty())
      message["content"].push_back({{"type", "thinking"}, {"thinking", c.reasoning}, {"signature", ""}});
    message["content"].push_back({{"type", "text"}, {"text", c.text}});
    message.update(stop_json(c));
    message["usage"] = usage_of(usage);
    add_timings(message, usage);
    add_extras(message);
    return message;
  }

 private:
  Json head() const {
    return {{"id", "msg_" + setup().exchange->request().id.substr(4)},
            {"type", "message"},
            {"role", "assistant"},
            {"model", setup().model}};
  }
  static Json stop_json(const Collected& c) {
    if (c.reason == FinishReason::StopString)
      return {{"stop_reason", "stop_sequence"}, {"stop_sequence", c.stop_string}};
    return {{"stop_reason", c.reason == FinishReason::Length ? "max_tokens" : "end_turn"},
            {"stop_sequence", nullptr}};
  }
  /// Anthropic counts what was in the cache apart.
  static Json usage_of(const Usage& u) {
    return {{"input_tokens", u.n_prompt - u.n_cached},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", u.n_cached},
            {"output_tokens", u.n_generated}};
  }
  /// `kind`: text or thinking; another than the last opens a block.
  void send_delta(const std::string& kind, const std::string& text) {
    if (block_ != kind) {
      end_block();
      block_ = kind;
      Json block = {{"type", kind}, {kind, ""}};
      if (kind == "thinking") block["signature"] = "";
      send_event("content_block_start",
                 {{"type", "content_block_start"}, {"index", n_block_}, {"content_block", std::move(block)}});
    }
    if (text.empty()) return;
    send_event("content_block_delta", {{"type", "content_block_delta"},
                                       {"index", n_block_},
                                       {"delta", {{"type", kind + "_delta"}, {kind, text}}}});
  }
  void end_block() {
    if (block_.empty()) return;
    send_event("content_block_stop", {{"type", "content_block_stop"}, {"index", n_block_++}});
    block_.clear();
  }

  std::string block_;  // the kind of the open block
  int n_block_ = 0;
};

}  // namespace

std::shared_ptr<Sink> make_messages_answer(AnswerSetup setup) {
  return std::make_shared<MessagesAnswer>(std::move(setup));
}

}  // namespace sw::server
