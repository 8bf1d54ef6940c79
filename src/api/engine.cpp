// SPDX-License-Identifier: MIT
#include "engine/engine.h"

#include <chrono>
#include <map>

#include "api/edge.h"
#include "api/model_impl.h"
#include "api/wishes.h"
#include "base/topology.h"
#include "router/stats.h"
#include "tokenizer/stream_decoder.h"

namespace switchyard {
namespace {

using sw::api::edge;

class CountRouting : public sw::ForwardProbe {
 public:
  CountRouting(const sw::Model& model, int experts_max) : stats_(model.moe_layers(), experts_max) {}
  void on_routing(int moe_layer, sw::TensorView<const float>, const sw::Routing& routing) override {
    stats_.add(moe_layer, routing);
  }
  const sw::RoutingStats& stats() const { return stats_; }

 private:
  sw::RoutingStats stats_;
};

sw::EngineOptions to_engine(const EngineOptions& options) {
  return {.forward = {.n_thread = options.n_thread > 0 ? options.n_thread : sw::topology().n_core,
                      .n_ubatch = options.n_ubatch,
                      .invariant = options.invariant},
          .n_ctx = options.n_ctx,
          .n_parallel = options.n_parallel,
          .experts_max = options.experts_max,
          .default_policy = sw::api::to_engine(options.default_policy)};
}

/// Room for these is taken from the options, so they must make sense before it is.
void check(const EngineOptions& options) {
  const auto require = [](bool good, const char* name, const char* expected, int64_t got) {
    if (!good)
      throw sw::Error(
          {.what = "option out of range", .where = name, .expected = expected, .got = std::to_string(got)});
  };
  require(options.n_ctx >= 0 && options.n_ctx <= 1 << 24, "n_ctx", "0 to 16777216", options.n_ctx);
  require(options.n_parallel >= 1 && options.n_parallel <= 4096, "n_parallel", "1 to 4096",
          options.n_parallel);
  require(options.n_thread >= 0 && options.n_thread <= 1024, "n_thread", "0 to 1024", options.n_thread);
  require(options.n_ubatch >= 1 && options.n_ubatch <= 65536, "n_ubatch", "1 to 65536", options.n_ubatch);
  require(options.experts_max >= 0 && options.experts_max <= 65536, "experts_max", "0 to 65536",
          options.experts_max);
}

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
      : model(std::move(model_impl)) {
    check(options);
    sw::EngineOptions wanted = to_engine(options);
    wanted.pieces = [&tokenizer = model->tokenizer](int32_t id) { return tokenizer.piece(id); };
    const sw::PolicyTable policies = sw::Engine::make_policies(model->model, wanted);
    const sw::PlanInput input = sw::Engine::plan_input(model->model, wanted, policies);
    devices = sw::open_devices(options.device);
    placed = std::make_unique<sw::PlacedModel>(model->model, devices,
                                               sw::choose_placement(model->model, devices, {}, input));
    wanted.forward.placed = placed.get();
    engine = std::make_unique<sw::Engine>(model->model, wanted);
    if (options.count_routing)
      routing = std::make_unique<CountRouting>(model->model, engine->policies().experts_max());
  }

  Event to_event(const sw::StepEvent& from) {
    Event event{
        .request = from.sequence, .token = from.token, .finish = to_public(from.finish), .error = from.error};
    const auto text = texts.find(from.sequence);
    if (from.token >= 0) {
      ++totals.n_token_generated;
      if (event.finish != Finish::Stop) event.text = text->second.push(from.token);
    }
    if (event.finish != Finish::None) {
      event.text += text->second.finish();
      texts.erase(text);
    }
    return event;
  }

  std::shared_ptr<const Model::Impl> model;
  sw::Devices devices;
  std::unique_ptr<sw::PlacedModel> placed;
  std::unique_ptr<sw::Engine> engine;
  std::unique_ptr<CountRouting> routing;
  std::map<RequestId, sw::StreamDecoder> texts;  // of the requests that go on
  std::vector<Event> events;
  Statistics totals;
};

Engine::Engine(const Model& model, const EngineOptions& options)
    : impl_(edge([&] { return std::make_unique<Impl>(model.impl_, options); })) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

RequestId Engine::submit(const Request& request) {
  return edge([&] {
    sw::SequenceRequest wanted{
        .prompt = request.prompt,
        .n_predict = request.n_predict,
        .end_ids = request.end_ids.value_or(impl_->model->tokenizer.end_of_generation()),
        .sampler = sw::api::to_engine(request.sampler)};
    if (request.routing) wanted.routing = sw::api::to_engine(*request.routing);
    const RequestId id = impl_->engine->submit(std::move(wanted));
    impl_->texts.emplace(id, sw::StreamDecoder(impl_->model->tokenizer, true));
    return id;
  });
}

void Engine::cancel(RequestId request) {
  edge([&] { impl_->engine->cancel(request); });
}

std::span<const Event> Engine::step() {
  using Clock = std::chrono::steady_clock;
  return edge([&]() -> std::span<const Event> {
    const Clock::time_point start = Clock::now();
    const std::span<const sw::StepEvent> events = impl_->engine->step(impl_->routing.get());
    ++impl_->totals.n_step;
    impl_->totals.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    impl_->totals.n_token_computed += impl_->engine->n_computed();
    impl_->events.clear();
    for (const sw::StepEvent& event : events) impl_->events.push_back(impl_->to_event(event));
    return impl_->events;
  });
}

bool Engine::idle() const { return impl_->engine->idle(); }
int64_t Engine::n_ctx() const { return impl_->engine->n_ctx(); }

Statistics Engine::statistics() const {
  Statistics s = impl_->totals;
  const sw::OpCounters& counters = impl_->engine->forward().counters();
  s.expert_bytes_read = counters.expert_bytes;
  s.dense_bytes_read = counters.dense_bytes;
  s.expert_flops = counters.expert_flops;
  s.dense_flops = counters.dense_flops;
  s.cache_bytes = impl_->engine->cache().spec().size_bytes();
  if (!impl_->routing) return s;
  for (const sw::LayerStats& layer : impl_->routing->stats().layers()) {
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
