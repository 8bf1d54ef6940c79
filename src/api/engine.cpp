// SPDX-License-Identifier: MIT
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "api/edge.h"
#include "api/model_impl.h"
#include "api/options.h"
#include "chat/chat_template.h"
#include "chat/text_stream.h"
#include "runtime/runtime.h"

namespace switchyard {
namespace {

using sw::api::edge;

Finish to_public(sw::Finish finish) {
  switch (finish) {
    case sw::Finish::Stop:
      return Finish::Stop;
    case sw::Finish::Length:
      return Finish::Length;
    case sw::Finish::Cancelled:
      return Finish::Cancelled;
    case sw::Finish::Error:
      return Finish::Error;
    case sw::Finish::None:
      break;
  }
  return Finish::None;
}

}  // namespace

struct Engine::Impl {
  Impl(std::shared_ptr<const Model::Impl> model_impl, const EngineOptions& options)
      : model(std::move(model_impl)),
        runtime(model->model(), sw::api::to_runtime(options), sw::api::to_notes(options.on_note)) {}
  sw::Engine& engine() { return runtime.engine(); }

  /// The text side of a request that goes on.
  struct Text {
    Text(const sw::Tokenizer& tokenizer, const Request& request)
        : stream(
              tokenizer,
              {.stops = request.stops, .begins_reasoning = sw::begins_reasoning(tokenizer, request.prompt)},
              [this](std::string_view text, bool reasoning) {
                (reasoning ? new_reasoning : new_text) += text;
              }) {}

    std::string new_text = {}, new_reasoning = {};  // not yet told
    sw::TextStream stream;
  };

  RequestId submit(const Request& request) {
    auto text = std::make_unique<Text>(model->tokenizer, request);
    sw::SequenceRequest wanted{.prompt = request.prompt,
                               .n_predict = request.n_predict,
                               .end_ids = request.end_ids.value_or(model->tokenizer.end_of_generation()),
                               .sampler = sw::api::to_engine(request.sampler)};
    if (request.routing) wanted.routing = sw::api::to_engine(*request.routing);
    const RequestId id = engine().submit(std::move(wanted));
    texts.emplace(id, std::move(text));
    return id;
  }

  Event to_event(const sw::StepEvent& from) {
    Event event{
        .request = from.sequence, .token = from.token, .finish = to_public(from.finish), .error = from.error};
    const auto found = texts.find(from.sequence);
    Text& text = *found->second;
    const bool was_stopped = text.stream.stopped();
    if (from.token >= 0) {
      ++totals.n_token_generated;
      if (event.finish != Finish::Stop) text.stream.push(from.token);
    }
    if (event.finish != Finish::None) text.stream.finish();
    event.text = std::exchange(text.new_text, {});
    event.reasoning = std::exchange(text.new_reasoning, {});
    if (text.stream.stopped()) {
      if (!was_stopped) engine().cancel(from.sequence);  // the step after this one tells its end
      if (event.finish != Finish::None) event.finish = Finish::Stop;
    }
    if (event.finish != Finish::None) texts.erase(found);
    return event;
  }

  std::shared_ptr<const Model::Impl> model;
  sw::Runtime runtime;
  std::map<RequestId, std::unique_ptr<Text>> texts;
  std::vector<Event> events;
  Statistics totals;
};

Engine::Engine(const Model& model, const EngineOptions& options)
    : impl_(edge([&] { return std::make_unique<Impl>(model.impl_, options); })) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

RequestId Engine::submit(const Request& request) {
  return edge([&] { return impl_->submit(request); });
}

void Engine::cancel(RequestId request) {
  edge([&] { impl_->engine().cancel(request); });
}

std::span<const Event> Engine::step() {
  using Clock = std::chrono::steady_clock;
  return edge([&]() -> std::span<const Event> {
    const Clock::time_point start = Clock::now();
    const std::span<const sw::StepEvent> events = impl_->engine().step();
    ++impl_->totals.n_step;
    impl_->totals.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    impl_->totals.n_token_computed += impl_->engine().n_computed();
    impl_->events.clear();
    for (const sw::StepEvent& event : events) impl_->events.push_back(impl_->to_event(event));
    return impl_->events;
  });
}

bool Engine::idle() const { return impl_->engine().idle(); }
int64_t Engine::n_ctx() const { return impl_->engine().n_ctx(); }

Statistics Engine::statistics() const {
  Statistics s = impl_->totals;
  const sw::OpCounters& counters = impl_->engine().forward().counters();
  s.expert_bytes_read = counters.expert_bytes;
  s.dense_bytes_read = counters.dense_bytes;
  s.expert_flops = counters.expert_flops;
  s.dense_flops = counters.dense_flops;
  s.cache_bytes = impl_->engine().cache().plan().size_bytes();
  sw::Forward& forward = impl_->engine().forward();
  if (!forward.options().count_routing) return s;
  const sw::RoutingStats routing = forward.routing_stats();
  for (const sw::LayerStats& layer : routing.layers()) {
    s.routing.push_back(
        {.layer = layer.layer,
         .n_token = layer.n_tokens,
         .counts = layer.counts,
         .imbalance = layer.imbalance(),
         .entropy_bits = layer.n_tokens ? layer.entropy_bits / static_cast<double>(layer.n_tokens) : 0});
  }
  return s;
}

}  // namespace switchyard
