// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/sampler/sampler.h"
#include "kv/paged_cache.h"
#include "router/policy.h"

namespace sw {

using SequenceId = int64_t;

/// Why a sequence ended.
enum class Finish : uint8_t {
  None,    ///< it goes on
  Stop,    ///< an end token
  Length,  ///< the wanted number of tokens, or the context is full
  Cancelled,
  Error  ///< no token could be chosen: a logit that is no number, or every token forbidden
};

struct SequenceRequest {
  std::vector<int32_t> prompt = {};
  int64_t n_predict = -1;             ///< tokens to generate; -1: until the context is full
  std::vector<int32_t> end_ids = {};  ///< ids that end the sequence
  SamplerParams sampler = {};
  std::optional<RoutingPolicy> routing = {};
};

/// One request on its way: its tokens, how many of them are in the cache, its pages and its sampler.
struct Sequence {
  Sequence(SequenceId sequence_id, SequenceRequest what, PagedCache& cache, int64_t n_ctx, int64_t n_vocab)
      : id(sequence_id),
        request(std::move(what)),
        tokens(request.prompt),
        n_prompt(static_cast<int64_t>(tokens.size())),
        pages(cache, n_ctx),
        sampler(request.sampler, n_vocab, n_ctx) {
    tokens.reserve(static_cast<size_t>(n_ctx) + 1);
    for (const int32_t token : tokens) sampler.accept(token);
  }

  int64_t n_token() const { return static_cast<int64_t>(tokens.size()); }
  int64_t n_generated() const { return n_token() - n_prompt; }

  SequenceId id;
  SequenceRequest request;
  std::vector<int32_t> tokens;  ///< prompt, then generated
  int64_t n_prompt;
  int64_t n_cached = 0;  ///< tokens whose keys and values are in the cache
  int64_t max_token = 0;
  BlockTable pages;
  Sampler sampler;
  uint16_t prefill_policy = 0, decode_policy = 0;
  bool cancelled = false;
};

}  // namespace sw
