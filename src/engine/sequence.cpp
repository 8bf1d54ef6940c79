// SPDX-License-Identifier: MIT
#include "engine/sequence.h"

namespace sw {

Sequence::Sequence(const SequencePlan& plan, SequenceRequest what, const RoutingPolicy& routing,
                   PolicyTable& policies, PagedCache& cache)
    : id(plan.id),
      request(std::move(what)),
      tokens(request.prompt),
      n_prompt(std::ssize(tokens)),
      max_token(request.n_predict < 0 ? plan.n_ctx : std::min(plan.n_ctx, n_prompt + request.n_predict)),
      pages(cache, plan.n_ctx),
      sampler(request.sampler, {.n_vocab = static_cast<size_t>(plan.n_vocab),
                                .n_ctx = static_cast<size_t>(plan.n_ctx),
                                .end_ids = request.end_ids,
                                .pieces = plan.pieces}),
      prefill_policy(policies, routing, Phase::Prefill),
      decode_policy(policies, routing, Phase::Decode),
      page_tokens_(cache.spec().page_tokens),
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

/// Keys and values depend on the routing of earlier layers, so each token stands in the name with its policy.
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

void Sequence::adopt_pages() {
  name_pages();
  n_cached = pages.adopt(std::span(page_names_).first(static_cast<size_t>((n_token() - 1) / page_tokens_)));
  n_published_ = static_cast<size_t>(n_cached / page_tokens_);
}

void Sequence::publish_pages() {
  if ((static_cast<int64_t>(n_published_) + 1) * page_tokens_ > n_cached) return;
  name_pages();
  for (; (static_cast<int64_t>(n_published_) + 1) * page_tokens_ <= n_cached; ++n_published_)
    pages.publish(static_cast<int64_t>(n_published_), page_names_[n_published_]);
}

void Sequence::give_back_pages() {
  if (draft) draft->begin_check(sampler, 0);
  pages.resize(0);
  n_cached = 0;
}

}  // namespace sw
