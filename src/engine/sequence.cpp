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
      page_root_(plan.page_root),
      prefill_key_(plan.page_root),
      decode_key_(plan.page_root) {
  tokens.reserve(static_cast<size_t>(plan.n_ctx) + 1);
  page_names_.reserve(tokens.capacity() / static_cast<size_t>(page_tokens_));
  for (const int32_t token : tokens) sampler.accept(token, Origin::Prompt);
  prefill_policy.add_to(prefill_key_);
  decode_policy.add_to(decode_key_);
  if (request.draft) draft.emplace(*request.draft, routing, policies, plan.n_vocab);
}

/// Keys, values and states depend on the routing of earlier layers, so each token stands in the name with its
/// policy.
void Sequence::name_pages() {
  for (auto n = std::ssize(page_names_); (n + 1) * page_tokens_ <= n_token(); ++n) {
    PageKey name = page_names_.empty() ? page_root_ : page_names_.back();
    for (int64_t i = n * page_tokens_; i < (n + 1) * page_tokens_; ++i) {
      const PageKey& policy = i < n_prompt ? prefill_key_ : decode_key_;
      name.add(static_cast<uint64_t>(tokens[static_cast<size_t>(i)]));
      name.add(policy.a);
      name.add(policy.b);
    }
    page_names_.push_back(name);
  }
}

void Sequence::reuse_prefix() {
  name_pages();
  if (request.on_hidden) return;
  n_cached =
      cache.reuse_prefix(std::span(page_names_).first(static_cast<size_t>((n_token() - 1) / page_tokens_)));
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
  if ((static_cast<int64_t>(n_published_) + 1) * page_tokens_ <= n_cached) name_pages();
  for (; (static_cast<int64_t>(n_published_) + 1) * page_tokens_ <= n_cached; ++n_published_)
    cache.publish(static_cast<int64_t>(n_published_), page_names_[n_published_]);
  cache.settle(n_cached);
}

void Sequence::give_back() {
  if (draft) draft->drop(sampler);
  cache.clear();
  n_cached = 0;
}

}  // namespace sw
