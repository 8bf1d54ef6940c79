// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <ctime>
#include <fmt/format.h>

#include "server/answer.h"
#include "server/handlers.h"
#include "server/moe_json.h"
#include "server/openapi.h"
#include "server/read_request.h"

namespace sw::server {
namespace {

constexpr int kLeastInterval_ms = 50, kMostInterval_ms = 60000, kUsualInterval_ms = 500;

Json limits_json(const ServerOptions& options) {
  const http::Limits& h = options.http.limits;
  const ServiceLimits& s = options.limits;
  return {{"header_bytes", h.header_bytes},
          {"headers", h.n_header},
          {"body_bytes", h.body_bytes},
          {"bodies_bytes", h.bodies_bytes},
          {"connections", h.n_connection},
          {"header_time_s", h.header_time.count()},
          {"body_time_s", h.body_time.count()},
          {"idle_time_s", h.idle_time.count()},
          {"write_stall_s", h.write_stall.count()},
          {"ping_interval_s", h.ping_interval.count()},
          {"json_depth", 64},
          {"queue", s.n_queue},
          {"n", s.n_choice},
          {"stop", s.n_stop},
          {"stop_bytes", s.stop_bytes},
          {"prefill_slowdown", s.prefill_slowdown},
          {"request_timeout_s", s.request_timeout_s},
          {"shutdown_timeout_s", s.drain_s}};
}

/// Null for values that the model does not keep.
Json cache_json(const CachePlan& plan) {
  const Json values = plan.has_values() ? Json(cache_type_name(plan.type.v)) : Json();
  return {{"type_k", cache_type_name(plan.type.k)}, {"type_v", values}, {"size_bytes", plan.size_bytes()}};
}

Json sampler_json(const SamplerParams& params) {
  Json json = Json::object();
  for (const SamplerSetting& setting : sampler_settings()) {
    const std::string name = sampler_field(setting);
    if (const auto* as_float = std::get_if<float SamplerParams::*>(&setting.field)) {
      json[name] = in_short(params.**as_float);
    } else {
      json[name] = params.*std::get<int SamplerParams::*>(setting.field);
    }
  }
  return json;
}

Json slot_json(const EngineLoop& loop, int slot, int64_t n_ctx, const Ready& ready) {
  const Choice* choice = loop.in_slot(slot);
  Json json = {{"id", slot}, {"is_processing", choice != nullptr}, {"n_ctx", n_ctx}};
  if (!choice) {
    json["n_text"] = loop.slot_text(slot).tokens.size();
    return json;
  }
  json["request_id"] = choice->running().request.id;
  json["n_prompt"] = choice->prompt().size();
  json["n_cached"] = std::max<int64_t>(0, choice->n_cached());
  json["n_decoded"] = choice->n_token();
  json["moe"] = resolved_policy(choice->running().request.policy, ready.model(), ready.experts_max);
  return json;
}

Json moe_json(Service& service, Ready& ready) {
  const Metrics::Now now = ready.loop.now();
  const Metrics::Totals totals = service.metrics.totals();
  return {{"object", "moe.statistics"},
          {"time", static_cast<int64_t>(std::time(nullptr))},
          {"layers", layers_json(ready.loop.engine().forward().routing_stats())},
          {"server",
           {{"n_running", now.n_running},
            {"n_waiting", now.n_waiting},
            {"n_parallel", ready.loop.n_slot()},
            {"prompt_tokens_total", totals.prompt_tokens},
            {"generation_tokens_total", totals.generation_tokens},
            {"kv_cache_usage", now.cache_usage},
            {"prefix_cache_hits", totals.prefix_hits},
            {"prefix_cache_queries", totals.prefix_queries}}}};
}

/// The statistics again and again, until the client goes or the server ends.
struct MoeStream {
  http::ExchangePtr exchange;
  explicit MoeStream(http::ExchangePtr e) : exchange(std::move(e)) { exchange->begin_events(); }
  ~MoeStream() {
    exchange->end();
    log_request(*exchange);
  }
  MoeStream(const MoeStream&) = delete;
  MoeStream& operator=(const MoeStream&) = delete;
};

int read_interval_ms(const http::Request& request) {
  const std::string_view text = request.query_value("interval_ms");
  if (text.empty()) return kUsualInterval_ms;
  int ms = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error != std::errc() || rest != text.data() + text.size() || ms < kLeastInterval_ms ||
      ms > kMostInterval_ms)
    refuse_field("interval_ms", fmt::format("an integer from {} to {}", kLeastInterval_ms, kMostInterval_ms),
                 std::string(text));
  return ms;
}

/// Answers on the engine's thread.
void answer_between_steps(Ready& ready, const http::ExchangePtr& exchange,
                          std::function<http::Response()> make) {
  ready.loop.between_steps([exchange, m = std::move(make)] {
    exchange->respond(m());
    log_request(*exchange);
  });
}

}  // namespace

void check_on(bool on, const char* flag) {
  if (!on)
    throw ApiError({.status = 404, .message = fmt::format("switched off by {}", flag), .code = "not_found"});
}

void handle_props(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  respond_json(*exchange,
               {{"model", ready.served.names.front()},
                {"model_path", ready.served.path},
                {"title", ready.served.title},
                {"version", service.options.version},
                {"n_ctx", ready.engine().n_ctx()},
                {"cache", cache_json(ready.engine().cache().plan())},
                {"n_parallel", service.options.n_parallel},
                {"n_waiting_max", service.options.limits.n_queue},
                {"default_generation_settings", sampler_json(ready.served.sampler)},
                {"chat_template", ready.served.tokenizer.chat_template()},
                {"limits", limits_json(service.options)},
                {"moe",
                 {{"layers", routers_json(ready.model())},
                  {"experts_max", ready.experts_max},
                  {"default", resolved_policy(ready.served.policy, ready.model(), ready.experts_max)}}}});
}

void handle_slots(Service& service, const http::ExchangePtr& exchange) {
  check_on(service.options.slots, "--no-slots");
  Ready& ready = service.ready();
  answer_between_steps(ready, exchange, [&ready] {
    Json slots = Json::array();
    for (int i = 0; i < ready.loop.n_slot(); ++i)
      slots.push_back(slot_json(ready.loop, i, ready.engine().n_ctx(), ready));
    return http::Response{.body = dump(slots)};
  });
}

void handle_metrics(Service& service, const http::ExchangePtr& exchange) {
  check_on(service.options.metrics, "--no-metrics");
  Ready& ready = service.ready();
  answer_between_steps(ready, exchange, [&service, &ready] {
    service.metrics.set(ready.loop.now());
    const RoutingStats stats = ready.loop.engine().forward().routing_stats();
    for (const LayerStats& l : stats.layers()) service.metrics.set_imbalance(l.layer, l.imbalance());
    return http::Response{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                          .body = service.metrics.text()};
  });
}

void handle_moe(Service& service, const http::ExchangePtr& exchange) {
  Ready& ready = service.ready();
  const http::Request& request = exchange->request();
  const std::string_view wanted = request.query_value("stream");
  if (!wanted.empty() && wanted != "true" && wanted != "false")
    refuse_field("stream", "true or false", std::string(wanted));
  const bool streams = wanted == "true" || request.header("accept").starts_with("text/event-stream");
  if (!streams) {
    return answer_between_steps(ready, exchange, [&service, &ready] {
      return http::Response{.body = dump(moe_json(service, ready))};
    });
  }
  const int interval_ms = read_interval_ms(request);
  const auto stream = std::make_shared<MoeStream>(exchange);
  ready.loop.every(interval_ms / 1000.0, [&service, &ready, stream] {
    if (stream->exchange->gone()) return false;
    stream->exchange->send("data: " + dump(moe_json(service, ready)) + "\n\n");
    return true;
  });
}

void handle_openapi(Service& service, const http::ExchangePtr& exchange) {
  respond_json(*exchange, openapi(service.options.version));
}

}  // namespace sw::server
