// SPDX-License-Identifier: MIT
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "http/http.h"
#include "server/engine_loop.h"
#include "server/key_limits.h"
#include "server/metrics.h"
#include "server/slot_jobs.h"

namespace sw::server {

/// How many and how long; those of the connection are in http::Limits.
struct ServiceLimits {
  int n_queue = 512;  ///< texts that wait
  int n_choice = 16;  ///< texts of one request, all prompts together
  size_t n_stop = 16, stop_bytes = 256;
  double request_timeout_s = 0;  ///< 0: none
  double drain_s = 30;
  /// For the engine: see EngineOptions. Below the 1.5 that tests/load/stall.py asks for, as steps alike
  /// differ a little.
  double prefill_slowdown = 1.4;
  int64_t n_predict = -1;  ///< tokens for requests that say nothing; -1: until the context is full
};

struct ServerOptions {
  http::ServerOptions http = {};
  ServiceLimits limits = {};
  int n_parallel = 4;
  bool metrics = true, slots = true;
  std::string slot_folder = {};  ///< where slots are saved; empty: nowhere
  bool pool_last = false;        ///< embeddings are of the last token, not the mean of all
  std::string version = {};
  bool may_be_open = false;                     ///< without a key even where others can call
  std::vector<ApiKey> api_keys = {};            ///< none: nobody is asked
  std::vector<std::string> allowed_hosts = {};  ///< further names of this server in the Host header
  std::vector<std::string> cors_origins = {};   ///< other sites whose pages may call
};

/// A model that is ready.
struct ServedModel {
  Runtime& runtime;
  const Tokenizer& tokenizer;
  SamplerParams sampler = {};           ///< for requests that say nothing else
  RoutingPolicy policy = {};            ///< likewise
  std::vector<std::string> names = {};  ///< that requests may call it; the first is shown
  std::string path = {};
  std::string title = {};  ///< name and format, for people
};

/// What exists once the model is loaded.
struct Ready {
  Ready(const ServedModel& served, const ServerOptions& options, Metrics& metrics);

  const Engine& engine() const { return served.runtime.engine(); }
  const Model& model() const { return served.runtime.model(); }

  ServedModel served;
  std::optional<ChatTemplate> chat;
  std::string no_chat = {};  ///< why there is no chat template
  int experts_max;
  EngineLoop loop;
  SlotJobs slots;
};

/// What the routes' handlers work with.
struct Service {
  explicit Service(ServerOptions options_in) : options(std::move(options_in)), key_limits(options.api_keys) {}

  /// Throws ApiError (503, with the progress of loading) before the model is ready.
  Ready& ready();

  ServerOptions options;
  KeyLimits key_limits;
  Metrics metrics;
  std::atomic<Ready*> ready_now = nullptr;
  std::atomic<double> load_progress = 0;  ///< 0 to 1
};

}  // namespace sw::server
