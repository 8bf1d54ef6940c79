// SPDX-License-Identifier: MIT
#include "engine/sequence.h"

#include "base/error.h"

namespace sw {

Sequence::Sequence(const SequencePlan& plan, SequenceRequest what, const RoutingPolicy& routing,
                   PolicyTable& policies, Cache& cache_memory)
    : id(plan.id),
      request(std::move(what)),
      tokens(request.prompt),
      n_prompt(std::ssize(tokens)),
      max_token(request.n_predict < 0 ? plan.n_ctx : std::min(plan.n_ctx, n_prompt + request.n_predict)),
      cache(cache_memory, plan.n_ctx),
      sampler(request.sampler, {.n_vocab = static_cast<size_t>(plan.n_vocab),
                                .n_ctx = static_cast<size_t>(plan.n_ctx),
                                .end_ids = request.end_ids,
                                .pieces = plan.pieces}),
      prefill_policy(policies, routing, Phase::Prefill),
      decode_policy(policies, routing, Phase::Decode),
      page_tokens_(cache_memory.plan().page_tokens),
      snapshot_tokens_(cache_memory.plan().snapshot_tokens),
      names_(plan.page_root, prefill_policy, decode_policy, n_prompt, page_tokens_) {
  tokens.reserve(static_cast<size_t>(plan.n_ctx) + 1);
  names_.reserve(tokens.capacity());
  for (const int32_t token : tokens) sampler.accept(token, Origin::Prompt);
  if (request.draft) draft.emplace(*request.draft, routing, policies, plan.n_vocab);
}

void Sequence::reuse_prefix() {
  names_.extend(tokens);
  if (request.on_hidden) return;
  n_cached = cache.reuse_prefix(names_.all().first(static_cast<size_t>((n_token() - 1) / page_tokens_)));
  n_published_ = static_cast<size_t>(n_cached / page_tokens_);
}

void Sequence::prepare(int64_t begin, int64_t end) {
  // A pass for a further draft begins behind those that there are, a check has them at its end.
  PassDrafts drafts{.n_before = begin - n_cached};
  if (drafts.n_before == 0) drafts.n_within = std::max<int64_t>(0, end - n_token());
  SW_ASSERT(cache.prepare(begin, end, drafts));
}

void Sequence::keep_snapshots(int64_t end) {
  const int64_t of_prompt = (n_prompt - 1) / page_tokens_ * page_tokens_;
  for (int64_t n = (n_cached / page_tokens_ + 1) * page_tokens_; n <= end; n += page_tokens_) {
    if (n == of_prompt || n % snapshot_tokens_ == 0) cache.keep_snapshot(n);
  }
}

void Sequence::publish() {
  if ((static_cast<int64_t>(n_published_) + 1) * page_tokens_ <= n_cached) names_.extend(tokens);
  for (; (static_cast<int64_t>(n_published_) + 1) * page_tokens_ <= n_cached; ++n_published_)
    cache.publish(static_cast<int64_t>(n_published_), names_.all()[n_published_]);
  cache.settle(n_cached);
}

void Sequence::give_back() {
  if (draft) draft->drop(sampler);
  cache.clear();
  n_cached = 0;
}

}  // namespace sw
