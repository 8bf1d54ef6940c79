// SPDX-License-Identifier: MIT
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/api_error.h"

/// What a client asks for, and what it is told: between the endpoints, which know JSON, and the engine's
/// thread, which knows sequences.
namespace sw::server {

using Clock = std::chrono::steady_clock;

/// The experts of one token in one layer.
struct TokenRouting {
  int layer = 0;  ///< as the Hugging Face config counts
  std::vector<int32_t> experts = {};
  std::vector<float> weights = {};
};

/// A token that was chosen.
struct TokenChoice {
  struct Alternative {
    int32_t id = 0;
    float logprob = 0;
  };
  int32_t id = 0;
  float logprob = 0;                       ///< natural logarithm, of the model's own distribution
  std::vector<Alternative> top = {};       ///< most probable first
  std::vector<TokenRouting> routing = {};  ///< by layer: of the pass that the token was chosen from
};

/// What came since the last piece of one answer.
struct Piece {
  std::string text = {}, reasoning = {};
  std::vector<TokenChoice> tokens = {};  ///< where logprobs or routing are wanted
  bool empty() const { return text.empty() && reasoning.empty(); }
};

enum class FinishReason : uint8_t { Stop, StopString, Length };

struct PromptProgress {
  int64_t n_prompt = 0, n_cached = 0, n_processed = 0;
  double ms = 0;
};

/// What an answer cost, all its choices together.
struct Usage {
  int64_t n_prompt = 0, n_cached = 0, n_generated = 0, n_reasoning = 0;
  double queue_ms = 0, prompt_ms = 0, first_token_ms = 0, decode_ms = 0;
  int64_t n_decoded = 0;  ///< tokens after each choice's first: those that decode_ms is for
};

/// Gets an answer as it comes, on the engine's thread. Ends with on_end() or on_error(), or is dropped
/// without a word where gone().
class Sink {
 public:
  virtual ~Sink() = default;
  virtual bool gone() const = 0;
  /// It has a place, to run or to wait. The first call, unless on_error() is.
  virtual void on_accepted() {}
  /// Once for each choice, before its first piece: how much of its prompt was in the cache.
  virtual void on_prompt(size_t /*choice*/, int64_t /*n_prompt*/, int64_t /*n_cached*/) {}
  virtual void on_progress(const PromptProgress& /*progress*/) {}
  /// As OnHidden of the engine.
  virtual void on_hidden(size_t /*choice*/, int64_t /*pos*/, std::span<const float> /*hidden*/) {}
  virtual void on_piece(size_t choice, Piece piece) = 0;
  virtual void on_finish(size_t choice, FinishReason reason, const std::string& stop_string) = 0;
  virtual void on_end(const Usage& usage) = 0;
  virtual void on_error(const ApiError& error) = 0;
};

/// One request: `n` texts for each prompt.
struct Generation {
  std::vector<std::vector<int32_t>> prompts = {};
  int n = 1;
  int64_t n_predict = -1;
  std::vector<std::string> stops = {};
  std::vector<int32_t> end_ids = {};
  SamplerParams sampler = {};
  RoutingPolicy policy = {};
  bool begins_reasoning = false, split_reasoning = true;
  int n_logprob = -1;  ///< -1: none wanted; else so many alternatives
  bool return_routing = false;
  bool return_progress = false;
  bool wants_hidden = false;  ///< on_hidden() for each prompt's tokens, and no text
  std::optional<Clock::time_point> deadline = {};
  Clock::time_point received = {};
  std::string id = {};
  std::shared_ptr<Sink> sink = {};

  size_t n_choice() const { return prompts.size() * static_cast<size_t>(n); }
};

}  // namespace sw::server
