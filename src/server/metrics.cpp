// SPDX-License-Identifier: MIT
#include "server/metrics.h"

#include <map>
#include <mutex>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace sw::server {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

using Buckets = Histogram::BucketBoundaries;
const Buckets kFirstToken = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600};
const Buckets kGap = {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1,
                      0.15,  0.2,   0.3,   0.5,  1,    2.5,  5,    10};
const Buckets kWhole = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800};

Counter& counter(Registry& registry, const char* name, const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry).Add({});
}
Gauge& gauge(Registry& registry, const char* name, const char* help) {
  return BuildGauge().Name(name).Help(help).Register(registry).Add({});
}
Histogram& histogram(Registry& registry, const char* name, const char* help, const Buckets& buckets) {
  return BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

}  // namespace

/// References are kept: looking a metric up takes a lock.
struct Metrics::Impl {
  Registry registry;
  Gauge& running = gauge(registry, "switchyard:num_requests_running", "sequences that run");
  Gauge& waiting = gauge(registry, "switchyard:num_requests_waiting", "sequences that wait for a place");
  Gauge& cache =
      gauge(registry, "switchyard:kv_cache_usage_perc", "share of the cache's pages in use, 0 to 1");
  Gauge& step_age = gauge(registry, "switchyard:step_watchdog_age_seconds", "since the step under way began");
  Gauge& slots_leaked =
      gauge(registry, "switchyard:slots_leaked", "places in use that no request has; must be 0");
  Counter& prefix_queries =
      counter(registry, "switchyard:prefix_cache_queries", "prompt tokens looked for in the cache");
  Counter& prefix_hits = counter(registry, "switchyard:prefix_cache_hits", "prompt tokens found there");
  Counter& prompt = counter(registry, "switchyard:prompt_tokens_total", "prompt tokens computed");
  Counter& generation = counter(registry, "switchyard:generation_tokens_total", "tokens generated");
  Counter& iteration = counter(registry, "switchyard:iteration_tokens_total", "tokens computed by all steps");
  Counter& rejections = counter(registry, "switchyard:admission_rejections", "requests refused: queue full");
  Counter& corrupted =
      counter(registry, "switchyard:corrupted_requests", "requests that met a logit that is no number");
  Counter& disconnects = counter(registry, "switchyard:client_disconnects_total", "clients that went early");
  Histogram& first_token = histogram(registry, "switchyard:time_to_first_token_seconds",
                                     "from a request's arrival to its first token", kFirstToken);
  Histogram& gap =
      histogram(registry, "switchyard:inter_token_latency_seconds", "between tokens of a text", kGap);
  Histogram& whole =
      histogram(registry, "switchyard:e2e_request_latency_seconds", "from arrival to the last token", kWhole);
  Histogram& queue =
      histogram(registry, "switchyard:request_queue_time_seconds", "from arrival to a place", kWhole);
  Family<Counter>& success_family = BuildCounter()
                                        .Name("switchyard:request_success_total")
                                        .Help("texts that came to their end")
                                        .Register(registry);
  Counter& stopped = success_family.Add({{"finished_reason", "stop"}});
  Counter& full = success_family.Add({{"finished_reason", "length"}});
  Family<Gauge>& imbalance_family = BuildGauge()
                                        .Name("switchyard:expert_load_imbalance")
                                        .Help("largest load of an expert over the mean, by layer")
                                        .Register(registry);
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::count_success(const std::string& finish_reason) {
  (finish_reason == "length" ? impl_->full : impl_->stopped).Increment();
}
void Metrics::count_rejection() { impl_->rejections.Increment(); }
void Metrics::count_disconnect() { impl_->disconnects.Increment(); }
void Metrics::count_corrupted() { impl_->corrupted.Increment(); }
void Metrics::count_prefix(int64_t n_prompt, int64_t n_cached) {
  impl_->prefix_queries.Increment(static_cast<double>(n_prompt));
  impl_->prefix_hits.Increment(static_cast<double>(n_cached));
}
void Metrics::count_step(int64_t n_computed, int64_t n_prompt, int64_t n_generated) {
  impl_->iteration.Increment(static_cast<double>(n_computed));
  impl_->prompt.Increment(static_cast<double>(n_prompt));
  impl_->generation.Increment(static_cast<double>(n_generated));
}
void Metrics::time_to_first_token(double s) { impl_->first_token.Observe(s); }
void Metrics::inter_token_latency(double s) { impl_->gap.Observe(s); }
void Metrics::request_latency(double s) { impl_->whole.Observe(s); }
void Metrics::queue_time(double s) { impl_->queue.Observe(s); }

void Metrics::set(const Now& now) {
  impl_->running.Set(static_cast<double>(now.n_running));
  impl_->waiting.Set(static_cast<double>(now.n_waiting));
  impl_->cache.Set(now.cache_usage);
  impl_->step_age.Set(now.step_age_s);
  impl_->slots_leaked.Set(static_cast<double>(now.n_slot_leaked));
}
void Metrics::set_imbalance(int layer, double imbalance) {
  impl_->imbalance_family.Add({{"layer", std::to_string(layer)}}).Set(imbalance);
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

Metrics::Totals Metrics::totals() const {
  const auto whole = [](const Counter& c) { return static_cast<int64_t>(c.Value()); };
  return {.prompt_tokens = whole(impl_->prompt),
          .generation_tokens = whole(impl_->generation),
          .prefix_queries = whole(impl_->prefix_queries),
          .prefix_hits = whole(impl_->prefix_hits)};
}

}  // namespace sw::server
