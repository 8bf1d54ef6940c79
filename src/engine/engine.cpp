// SPDX-License-Identifier: MIT
#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "base/error.h"

namespace sw {
namespace {

constexpr int kMaxPolicies = 256;

int64_t context_of(const Model& model, const EngineOptions& options) {
  return options.n_ctx > 0 ? options.n_ctx : std::max(1, model.hparams().n_ctx_train);
}

/// The forward pass of an engine knows what the engine's sequences may need.
ForwardOptions forward_options(const EngineOptions& options, int64_t n_ctx) {
  ForwardOptions forward = options.forward;
  forward.n_ctx = n_ctx;
  forward.n_seq = options.n_parallel;
  return forward;
}

CachePlan cache_plan(const Model& model, const EngineOptions& options) {
  const int64_t n_ctx = context_of(model, options);
  CachePlan plan =
      Forward::cache_plan(model, n_ctx, options.cache_type, options.n_parallel, options.forward.n_ubatch);
  plan.n_draft = options.n_draft;
  plan.n_snapshot = options.n_snapshot;
  if (options.n_cache_token == 0) return plan;
  if (options.n_cache_token < n_ctx) {
    throw Error({.what = "the cache has no room for one whole sequence",
                 .expected = "at least " + std::to_string(n_ctx) + " tokens",
                 .got = std::to_string(options.n_cache_token)});
  }
  plan.max_token = plan.n_token / options.n_parallel;
  plan.n_token = options.n_cache_token;
  return plan;
}

/// Nobody outside shall know it: see PageKey.
PageKey random_root() {
  std::random_device device;
  PageKey root;
  for (int i = 0; i < 4; ++i) root.add(device());
  return root;
}

int experts_max(const Model& model, const EngineOptions& options) {
  return std::max(options.experts_max, experts_needed(model.moe_layers(), options.default_policy));
}

}  // namespace

PlanInput plan_input(const Model& model, const EngineOptions& options) {
  return {.forward = forward_options(options, context_of(model, options)),
          .experts_max = experts_max(model, options),
          .policies = PolicyTable::sizes(model.moe_layers(), kMaxPolicies),
          .cache = cache_plan(model, options)};
}

Engine::Engine(const Model& model, const EngineOptions& options)
    : model_(model),
      n_ctx_(context_of(model, options)),
      default_policy_(options.default_policy),
      pieces_(options.pieces),
      policies_(model.moe_layers(), model.hparams().n_layer, experts_max(model, options), kMaxPolicies),
      forward_(model, policies_, forward_options(options, n_ctx_)),
      cache_(forward_.make_cache(cache_plan(model, options))),
      page_root_(random_root()),
      scheduler_(cache_, options.forward.n_ubatch, options.n_parallel, options.n_waiting,
                 options.prefill_slowdown) {
  // A default policy that the model cannot do is refused now, not at the first request.
  check_policy(default_policy_);
  const auto n = static_cast<size_t>(options.forward.n_ubatch), p = static_cast<size_t>(options.n_parallel);
  batch_.reserve(n, p);
  events_.reserve(n + p + static_cast<size_t>(options.n_waiting));
  if (options.forward.placed && options.forward.placed->devices().size() > 1) warm_up();
}

/// A prompt and a generated token with the model's own routing, through the same calls as any other: a GPU
/// loads its kernels and records its step now, and takes what memory it needs for that.
void Engine::warm_up() {
  constexpr int64_t kPromptTokens = 64;
  const int64_t n = std::min({kPromptTokens, forward_.options().n_ubatch, n_ctx_ - 1});
  SequenceCache cache(cache_, n + 1);
  const SequenceCache* const caches[] = {&cache};
  const int32_t last = static_cast<int32_t>(n) - 1, first = 0;
  std::vector<BatchToken>& tokens = batch_.tokens;
  for (int32_t i = 0; i < n; ++i) tokens.push_back({.pos = i});
  if (n > 0) {
    SW_ASSERT(cache.prepare(0, n));
    forward_.step(tokens, caches, cache_, {&last, 1});
  }
  tokens.assign(1, {.pos = static_cast<int32_t>(n)});
  SW_ASSERT(cache.prepare(n, n + 1));
  forward_.step(tokens, caches, cache_, {&first, 1});
  if (forward_.options().count_routing) forward_.reset_routing_stats();
}

void Engine::check_policy(const RoutingPolicy& policy) {
  for (const Phase phase : {Phase::Prefill, Phase::Decode}) PolicyUse(policies_, policy, phase);
}

void Engine::check_drafts(const DraftParams& draft) const {
  sw::check_draft(draft, forward_.options().n_ubatch);
  if (!cache_.plan().has_states() || draft.n_token <= cache_.plan().n_draft) return;
  throw Error({.what = "the cache has too few states for so many drafts",
               .where = "--draft-tokens",
               .expected = "at most " + std::to_string(cache_.plan().n_draft),
               .got = std::to_string(draft.n_token)});
}

void Engine::check_draft(const DraftParams& draft, const RoutingPolicy& policy) {
  check_drafts(draft);
  Speculation(draft, policy, policies_, model_.hparams().n_vocab);
}

void Engine::check_prompt(std::span<const int32_t> prompt) const {
  if (prompt.empty())
    throw Error({.what = "the prompt is empty", .hint = "there must be at least one token to go on from"});
  if (std::ssize(prompt) >= n_ctx_) {
    throw Error({.what = "the prompt does not fit in the context",
                 .expected = "fewer than " + std::to_string(n_ctx_) + " tokens",
                 .got = std::to_string(prompt.size()),
                 .hint = "a larger context: -c"});
  }
  for (const int32_t id : prompt) {
    if (id >= 0 && id < model_.hparams().n_vocab) continue;
    throw Error({.what = "a token is not in the model's vocabulary",
                 .expected = "an id below " + std::to_string(model_.hparams().n_vocab),
                 .got = std::to_string(id)});
  }
}

SequenceId Engine::submit(SequenceRequest request) {
  check_prompt(request.prompt);
  if (request.draft) check_drafts(*request.draft);
  scheduler_.check_place();
  const RoutingPolicy routing = request.routing.value_or(default_policy_);
  const SequencePlan plan{.id = next_id_,
                          .n_ctx = n_ctx_,
                          .n_vocab = model_.hparams().n_vocab,
                          .page_root = page_root_,
                          .pieces = pieces_};
  scheduler_.add(Sequence(plan, std::move(request), routing, policies_, cache_));
  return next_id_++;
}

void Engine::cancel(SequenceId id) {
  scheduler_.for_each([&](Sequence& s) {
    if (s.id == id) s.finish = Finish::Cancelled;
  });
}

CachedText Engine::cached(const RoutedText& text) {
  PageNames names(page_root_, PolicyUse(policies_, text.routing, Phase::Prefill),
                  PolicyUse(policies_, text.routing, Phase::Decode), text.n_prompt,
                  cache_.plan().page_tokens);
  names.extend(text.tokens);
  return {std::move(names), cache_, forward_.placed()};
}

int64_t Engine::n_to_compute() {
  int64_t n = 0;
  scheduler_.for_each([&](const Sequence& s) { n += s.n_token() - s.n_cached; });
  return n;
}

/// The forward pass of the batch, with the logits of as many rows as one call gives.
TensorView<const float> Engine::run(ForwardProbe* probe) {
  const auto slice = static_cast<size_t>(forward_.options().n_logit_row);
  return forward_.step(batch_.tokens, batch_.caches, cache_,
                       std::span(batch_.rows).first(std::min(slice, batch_.rows.size())), probe);
}

void Engine::sample_all(TensorView<const float> logits, const OnToken& on_token) {
  const auto slice = static_cast<size_t>(forward_.options().n_logit_row);
  for (size_t begin = 0; begin < batch_.rows.size(); begin += slice) {
    const std::span rows = std::span(batch_.rows).subspan(begin, std::min(slice, batch_.rows.size() - begin));
    if (begin > 0) logits = forward_.logits(rows);
    show_hidden(begin, rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      choose(batch_.sampled[begin + i], batch_.tokens[static_cast<size_t>(rows[i])],
             {logits.row(static_cast<int64_t>(i)), static_cast<size_t>(logits.n_cols())}, on_token);
    }
  }
}

/// Those of the rows [begin, begin + n) that somebody wants, whose logits were computed last.
void Engine::show_hidden(size_t begin, size_t n) {
  const auto wants = [](const StepBatch::Sampled& what) { return bool(what.sequence->request.on_hidden); };
  const std::span sampled = std::span(batch_.sampled).subspan(begin, n);
  if (std::ranges::none_of(sampled, wants)) return;
  const TensorView<const float> hidden = forward_.final_norm();
  for (size_t i = 0; i < n; ++i) {
    Sequence& s = *sampled[i].sequence;
    if (!wants(sampled[i]) || s.finish != Finish::None) continue;
    const int64_t pos = batch_.tokens[static_cast<size_t>(batch_.rows[begin + i])].pos;
    s.request.on_hidden(pos, {hidden.row(static_cast<int64_t>(i)), static_cast<size_t>(hidden.n_cols())});
    if (pos + 1 < s.n_token()) continue;
    s.finish = Finish::Length;
    events_.push_back({s.id, -1, s.finish});
  }
}

/// What the logits behind a token of the batch are for: a draft, or the text's next token.
void Engine::choose(const StepBatch::Sampled& what, const BatchToken& after, std::span<const float> logits,
                    const OnToken& on_token) {
  Sequence& s = *what.sequence;
  if (s.request.on_hidden) return;  // shown already
  // Behind a draft that did not stay, and behind the end, the pass computed what nobody asks for.
  const bool is_last = after.pos + 1 == s.n_token() && after.id == s.tokens.back();
  if (s.finish != Finish::None || (!what.drafts && !is_last)) return;
  try {
    if (what.drafts) return s.draft->add(s.sampler, logits);
    s.n_cached = s.n_token();  // the drafts that stayed are in the cache, computed as the text
    const int32_t token = s.draft ? s.draft->choose(s.sampler, logits) : s.sampler.sample(logits);
    s.tokens.push_back(token);
    const auto& ends = s.request.end_ids;
    if (s.n_token() >= s.max_token) s.finish = Finish::Length;
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) s.finish = Finish::Stop;
    events_.push_back({s.id, token, s.finish});
  } catch (const Error& e) {
    s.finish = Finish::Error;
    s.drop_names();  // what led to the error may stand there: nothing goes on from it
    events_.push_back({s.id, -1, s.finish, e.what()});
    return;
  }
  if (on_token) on_token(events_.back(), logits);
}

std::span<const StepEvent> Engine::step(ForwardProbe* probe, const OnToken& on_token) {
  events_.clear();
  scheduler_.for_each([](Sequence& s) {
    const bool nothing_wanted = s.n_token() >= s.max_token;  // asked for 0 tokens
    if (nothing_wanted && s.finish == Finish::None) s.finish = Finish::Length;
  });
  const auto count_drafts = [&](const Sequence& s) {
    if (!s.draft) return;
    draft_counts_.n_drafted += s.draft->counts().n_drafted;
    draft_counts_.n_accepted += s.draft->counts().n_accepted;
  };
  scheduler_.sweep([&](const Sequence& s) {
    events_.push_back({s.id, -1, s.finish});
    count_drafts(s);
  });
  const auto begin = std::chrono::steady_clock::now();
  scheduler_.schedule(batch_);
  if (batch_.tokens.empty()) return events_;
  try {
    const TensorView<const float> logits = run(probe);
    scheduler_.computed(batch_);
    sample_all(logits, on_token);
    scheduler_.publish(batch_);
    scheduler_.took(batch_, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  } catch (...) {
    scheduler_.abandon();
    throw;
  }
  scheduler_.sweep(count_drafts);  // their events were their last tokens
  return events_;
}

}  // namespace sw
