// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/sampler/sampler.h"
#include "kv/paged_cache.h"
#include "router/policy_table.h"

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

/// A policy's id for as long as this lives.
class PolicyUse {
 public:
  /// Throws sw::Error where the model cannot do the policy.
  PolicyUse(PolicyTable& table, const RoutingPolicy& policy, Phase phase)
      : table_(&table), id_(table.resolve(policy, phase)) {}
  PolicyUse(PolicyUse&& other) noexcept : table_(std::exchange(other.table_, nullptr)), id_(other.id_) {}
  PolicyUse& operator=(PolicyUse&&) = delete;
  ~PolicyUse() {
    if (table_) table_->release(id_);
  }

  uint16_t id() const { return id_; }
  /// Adds what the policy means to a page's name: an id may mean something else tomorrow.
  void add_to(PageKey& key) const;

 private:
  PolicyTable* table_;
  uint16_t id_;
};

/// What is known about a request before it runs.
struct SequencePlan {
  SequenceId id = 0;
  int64_t n_ctx = 0, n_vocab = 0;
  PageKey page_root = {};  ///< where the names of all pages begin
};

/// One request on its way: its tokens, how many of them are in the cache, its pages and its sampler.
class Sequence {
 public:
  /// Throws sw::Error where the model cannot do the policy or a sampler's setting is out of range.
  Sequence(const SequencePlan& plan, SequenceRequest what, const RoutingPolicy& routing,
           PolicyTable& policies, PagedCache& cache);

  int64_t n_token() const { return std::ssize(tokens); }
  /// One token to compute, which gives the next.
  bool is_decoding() const { return n_token() - n_cached == 1; }
  /// The phase belongs to the token: it is kept when the token is computed again.
  const PolicyUse& policy_of(int64_t token) const {
    return token < n_prompt ? prefill_policy : decode_policy;
  }

  /// Begins with empty pages and takes what is in the cache already of the text before its last token, whose
  /// logits choose the next.
  void adopt_pages();
  /// Names the pages that became full, for others.
  void publish_pages();
  /// Gives all pages back; the tokens are to be computed again.
  void give_back_pages();

  SequenceId id;
  SequenceRequest request;
  std::vector<int32_t> tokens;  ///< prompt, then generated
  int64_t n_prompt;
  int64_t n_cached = 0;  ///< tokens whose keys and values are in the cache
  int64_t max_token;     ///< where it ends
  BlockTable pages;
  Sampler sampler;
  PolicyUse prefill_policy, decode_policy;
  Finish finish = Finish::None;  ///< otherwise it goes with the next sweep

 private:
  void name_pages();

  int64_t page_tokens_;
  std::vector<PageKey> page_names_;  // of the pages that its tokens fill
  PageKey page_root_, prefill_key_, decode_key_;
  size_t n_published_ = 0;
};

}  // namespace sw
