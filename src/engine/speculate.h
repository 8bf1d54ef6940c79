// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/policy_use.h"
#include "engine/sampler/sampler.h"

namespace sw {

/// How a request decodes speculatively: the model drafts with fewer experts of its own.
struct DraftParams {
  int n_expert = 1;  ///< experts per token while drafting, in every layer
  int n_token = 4;   ///< drafted before each check
};

/// Throws sw::Error where the number of drafts is out of range, or a pass has no room for a check.
void check_draft(const DraftParams& draft, int64_t n_ubatch);

/// Drafts and their sums, for the acceptance rate.
struct DraftCounts {
  int64_t n_drafted = 0;   ///< tokens that were drafted and checked
  int64_t n_accepted = 0;  ///< of them, those that stayed in the text
};

/// The drafts of one sequence. Tokens are drafted one by one with few experts, then one pass with the
/// sequence's own policy runs over all of them, which overwrites their keys and values and starts again from
/// the cached state before them, and tells what would have come at each place. A draft x stays with
/// probability min(1, p(x) / q(x)), p being the full model's distribution after all samplers and q the
/// drafting one's; the first that does not is replaced by a draw from max(0, p - q), and what stood behind it
/// is dropped. So every token is distributed as by p alone (Leviathan, Kalman, Matias 2023, theorem 3.5); at
/// temperature 0 it is p's best. That holds for samplers with a state too, since p is weighed in the state
/// that the text so far gives: a check begins with the sampler's state before the drafts, and each token that
/// stays moves it by p. What a sampler draws for itself, as XTC does, belongs to the token's place in the
/// text and is the same for p and q: the theorem holds for each outcome.
class Speculation {
 public:
  /// Throws sw::Error where the model cannot do the policy.
  Speculation(const DraftParams& params, const RoutingPolicy& routing, PolicyTable& policies,
              int64_t n_vocab);

  uint16_t policy_id() const { return policy_.id(); }
  int64_t most_drafts() const { return std::ssize(weights_); }
  const std::vector<int32_t>& drafts() const { return drafts_; }
  const DraftCounts& counts() const { return counts_; }

  /// Draws one more draft from the drafting model's logits.
  void add(Sampler& sampler, std::span<const float> logits);
  /// A check of the first `n` drafts follows; the others are dropped. The sampler takes all back.
  void begin_check(Sampler& sampler, size_t n);
  /// Drops all drafts, whether a check of them has begun or not.
  void drop(Sampler& sampler);
  /// The next token of the text, from the full model's logits: the next draft, or what takes its place;
  /// behind the last draft, and where there are none, simply a draw.
  int32_t choose(Sampler& sampler, std::span<const float> logits);

 private:
  int32_t draw_rest(Sampler& sampler, const Candidates& p, std::span<const Candidate> q);

  PolicyUse policy_;
  std::vector<int32_t> drafts_;
  std::vector<std::vector<Candidate>> weights_;  // [most_drafts()] the distribution that each was drawn from
  size_t n_sampled_ = 0;                         // drafts that the sampler takes for text
  size_t n_checked_ = 0;
  std::vector<float> drafted_p_;  // [n_vocab] zero but within draw_rest()
  DraftCounts counts_;
};

}  // namespace sw
