// SPDX-License-Identifier: MIT
#include "engine/speculate.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace sw {
namespace {

RoutingPolicy draft_policy(RoutingPolicy routing, int n_expert) {
  routing.experts_decode = {{.k = n_expert}};
  return routing;
}

/// Null where it is none of them, which is to say that its probability is 0.
const Candidate* find(std::span<const Candidate> candidates, int32_t id) {
  const auto found =
      std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& c) { return c.id == id; });
  return found == candidates.end() ? nullptr : &*found;
}

}  // namespace

void check_draft(const DraftParams& draft, int64_t n_ubatch) {
  // Further drafts than kMaxRollback hardly ever stay, and each keeps a distribution.
  const int64_t most = std::min(static_cast<int64_t>(kMaxRollback), n_ubatch - 1);
  if (most < 1)
    throw Error({.what = "a check of drafts does not fit in one pass",
                 .where = "-ub",
                 .expected = "at least 2",
                 .got = std::to_string(n_ubatch)});
  if (draft.n_token < 1 || draft.n_token > most) {
    throw Error({.what = "the number of drafted tokens is out of range",
                 .where = "--draft-tokens",
                 .expected = "1 to " + std::to_string(most) + " (a check is one pass: -ub)",
                 .got = std::to_string(draft.n_token)});
  }
}

Speculation::Speculation(const DraftParams& params, const RoutingPolicy& routing, PolicyTable& policies,
                         int64_t n_vocab)
    : policy_(policies, draft_policy(routing, params.n_expert), Phase::Decode),
      weights_(static_cast<size_t>(params.n_token)),
      drafted_p_(static_cast<size_t>(n_vocab)) {
  drafts_.reserve(weights_.size());
  for (std::vector<Candidate>& weights : weights_) weights.reserve(drafted_p_.size());
}

void Speculation::add(Sampler& sampler, std::span<const float> logits) {
  const std::vector<Candidate>& q = sampler.weigh(logits).items();
  weights_[drafts_.size()].assign(q.begin(), q.end());
  drafts_.push_back(sampler.draw());
  ++n_sampled_;
}

void Speculation::begin_check(Sampler& sampler, size_t n) {
  sampler.rollback(std::exchange(n_sampled_, 0));
  drafts_.resize(n);
  counts_.n_drafted += static_cast<int64_t>(n);
  n_checked_ = 0;
}

void Speculation::drop(Sampler& sampler) { begin_check(sampler, 0); }

int32_t Speculation::choose(Sampler& sampler, std::span<const float> logits) {
  const Candidates& p = sampler.weigh(logits);
  if (n_checked_ == drafts_.size()) {
    drafts_.clear();
    n_checked_ = 0;
    return sampler.draw();
  }
  const std::span<const Candidate> q = weights_[n_checked_];
  const int32_t id = drafts_[n_checked_];
  const Candidate *by_p = find(p.items(), id), *by_q = find(q, id);  // by_q: it was drawn from there
  if (sampler.uniform() * by_q->p < (by_p ? by_p->p : 0.0f)) {
    ++n_checked_;
    ++counts_.n_accepted;
    sampler.take(*by_p);
    return id;
  }
  drafts_.clear();
  n_checked_ = 0;
  return draw_rest(sampler, p, q);
}

/// A draw from max(0, p - q), scaled to a sum of 1.
int32_t Speculation::draw_rest(Sampler& sampler, const Candidates& p, std::span<const Candidate> q) {
  for (const Candidate& c : q) drafted_p_[static_cast<size_t>(c.id)] = c.p;
  const auto rest = [&](const Candidate& c) {
    return std::max(0.0, static_cast<double>(c.p) - drafted_p_[static_cast<size_t>(c.id)]);
  };
  double sum = 0;
  for (const Candidate& c : p.items()) sum += rest(c);
  const double draw = sampler.uniform() * sum;
  const Candidate* chosen = &p.items().front();  // what is left where rounding makes the sum 0
  double below = 0;
  for (const Candidate& c : p.items()) {
    if (rest(c) == 0) continue;
    chosen = &c;
    below += rest(c);
    if (draw < below) break;
  }
  for (const Candidate& c : q) drafted_p_[static_cast<size_t>(c.id)] = 0;
  sampler.take(*chosen);
  return chosen->id;
}

}  // namespace sw
