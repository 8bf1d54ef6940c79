// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <string>

namespace sw::server {

/// What happened, counted: the names are in docs/server.md. Any thread may add; each call is an atomic
/// addition or a short lock.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// One request that ended well, its reason as OpenAI calls it.
  void count_success(const std::string& finish_reason);
  void count_rejection();
  void count_disconnect();
  void count_corrupted();
  void count_prefix(int64_t n_prompt, int64_t n_cached);
  void count_step(int64_t n_computed, int64_t n_prompt, int64_t n_generated);
  void time_to_first_token(double s);
  void inter_token_latency(double s);
  void request_latency(double s);
  void queue_time(double s);

  /// What is now, set before each text().
  struct Now {
    int64_t n_running = 0, n_waiting = 0;
    double cache_usage = 0, step_age_s = 0;
    int64_t n_slot_leaked = 0;
  };
  void set(const Now& now);
  void set_imbalance(int layer, double imbalance);
  /// All of it in Prometheus' text format.
  std::string text() const;

  struct Totals {
    int64_t prompt_tokens = 0, generation_tokens = 0, prefix_queries = 0, prefix_hits = 0;
  };
  Totals totals() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sw::server
