// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/page_names.h"
#include "engine/sampler/sampler.h"
#include "engine/speculate.h"
#include "kv/sequence_cache.h"

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

/// Gets the final norm's output [n_embd] of a prompt's token, in rising position; from position 0 again where
/// the sequence had to give its pages back. Valid during the call.
using OnHidden = std::function<void(int64_t pos, std::span<const float> hidden)>;

struct SequenceRequest {
  std::vector<int32_t> prompt = {};
  int64_t n_predict = -1;             ///< tokens to generate; -1: until the context is full
  std::vector<int32_t> end_ids = {};  ///< ids that end the sequence
  SamplerParams sampler = {};
  std::optional<RoutingPolicy> routing = {};
  std::optional<DraftParams> draft = {};  ///< the same text (the same distribution) in fewer full passes
  /// The request is for the hidden states of its prompt: it takes none of it from the cache, and ends with
  /// Finish::Length and no token. Its tokens go through the output matrix too, for nothing.
  OnHidden on_hidden = {};
};

/// What is known about a request before it runs.
struct SequencePlan {
  SequenceId id = 0;
  int64_t n_ctx = 0, n_vocab = 0;
  PageKey page_root = {};  ///< where the names of all pages begin
  TokenPieces pieces = {};
};

/// One request on its way: its tokens, how many of them are in the cache, what it has of the cache,
/// and its sampler.
class Sequence {
 public:
  /// Throws sw::Error where the model cannot do the policy or a sampler's setting is out of range.
  Sequence(const SequencePlan& plan, SequenceRequest what, const RoutingPolicy& routing,
           PolicyTable& policies, Cache& cache);

  int64_t n_token() const { return std::ssize(tokens); }
  /// One token to compute, which gives the next.
  bool is_decoding() const { return n_token() - n_cached == 1; }
  int64_t n_draft() const { return draft ? std::ssize(draft->drafts()) : 0; }
  /// Tokens that may be drafted behind the text as it is: the check gives one token more. None behind a
  /// prompt, however short: the pass that ends it is prefill, and gives one token.
  int64_t most_drafts() const {
    if (!draft || !is_decoding() || n_token() == n_prompt) return 0;
    return std::clamp<int64_t>(max_token - n_token() - 1, 0, draft->most_drafts());
  }
  /// Token i of the text and the drafts behind it.
  int32_t token_at(int64_t i) const {
    return i < n_token() ? tokens[static_cast<size_t>(i)]
                         : draft->drafts()[static_cast<size_t>(i - n_token())];
  }
  /// The phase belongs to the token: it is kept when the token is computed again.
  const PolicyUse& policy_of(int64_t token) const {
    return token < n_prompt ? prefill_policy : decode_policy;
  }

  /// Begins with nothing of the cache and takes what it has already of the text before its last token, whose
  /// logits choose the next.
  void reuse_prefix();
  /// Takes what a pass over the tokens [begin, end) needs: those from n_cached on, or one from which the next
  /// draft is drawn.
  void prepare(int64_t begin, int64_t end);
  /// Once every sequence of the pass is prepared: keeps states within [n_cached, end) that later requests may
  /// go on from, where there is room for more. They are at the last page end before the prompt's last token,
  /// for a request with the same prompt or a longer one, and every CachePlan::snapshot_tokens.
  void keep_snapshots(int64_t end);
  /// Names the pages that became full and the snapshots, for others; all other states but the text's go.
  void publish();
  /// Nobody shall go on from what it has computed.
  void drop_names() { cache.drop_names(names_.all()); }
  /// Gives back all that it has of the cache; the tokens are to be computed again, drafts are dropped.
  void give_back();

  SequenceId id;
  SequenceRequest request;
  std::vector<int32_t> tokens;  ///< prompt, then generated
  int64_t n_prompt;
  int64_t n_cached = 0;  ///< tokens that are in the cache
  int64_t max_token;     ///< where it ends
  SequenceCache cache;
  Sampler sampler;
  PolicyUse prefill_policy, decode_policy;
  std::optional<Speculation> draft;
  Finish finish = Finish::None;  ///< otherwise it goes with the next sweep

 private:
  int64_t page_tokens_, snapshot_tokens_;
  PageNames names_;
  size_t n_published_ = 0;
};

}  // namespace sw
