// SPDX-License-Identifier: MIT
#include "engine/engine.h"

#include <algorithm>

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

CacheSpec cache_spec(const Model& model, const EngineOptions& options) {
  return Forward::cache_spec(model, context_of(model, options), options.cache_type, options.n_parallel,
                             options.forward.n_ubatch);
}

int experts_max(const Model& model, const EngineOptions& options) {
  return std::max(options.experts_max, experts_needed(model, options.default_policy));
}

}  // namespace

int experts_needed(const Model& model, const RoutingPolicy& policy) {
  if (model.moe_layers().empty()) return 0;
  int most = 0;
  for (const MoeLayer& layer : model.moe_layers()) most = std::max(most, layer.router.n_expert_used);
  for (const Phase phase : {Phase::Prefill, Phase::Decode}) {
    for (const ExpertCount& count : policy.experts(phase)) most = std::max(most, count.k);
  }
  return std::min(most, model.moe_layers().front().router.n_logits());
}

PolicyTable Engine::make_policies(const Model& model, const EngineOptions& options) {
  return PolicyTable(model.moe_layers(), model.hparams().n_layer, experts_max(model, options), kMaxPolicies);
}

PlanInput Engine::plan_input(const Model& model, const EngineOptions& options, const PolicyTable& policies) {
  const int64_t n_ctx = context_of(model, options);
  return {
      .forward = forward_options(options, n_ctx), .policies = &policies, .cache = cache_spec(model, options)};
}

Engine::Engine(const Model& model, const EngineOptions& options)
    : model_(model),
      n_ctx_(context_of(model, options)),
      n_parallel_(options.n_parallel),
      default_policy_(options.default_policy),
      policies_(make_policies(model, options)),
      forward_(model, policies_, forward_options(options, n_ctx_)),
      cache_(forward_.make_cache(cache_spec(model, options))),
      keep_last_(options.keep_last) {
  // A default policy that the model cannot do is refused now, not at the first request.
  check_policy(default_policy_);
  const auto n = static_cast<size_t>(options.forward.n_ubatch), p = static_cast<size_t>(options.n_parallel);
  batch_.reserve(n);
  rows_.reserve(p);
  tables_.reserve(p);
  sampled_.reserve(p);
  events_.reserve(2 * p);
  if (options.forward.placed && options.forward.placed->devices().size() > 1) warm_up();
}

/// A prompt and a generated token with the model's own routing, through the same calls as any other: a GPU
/// loads its kernels and records its step now, and takes what memory it needs for that.
void Engine::warm_up() {
  constexpr int64_t kPromptTokens = 64;
  const int64_t n = std::min({kPromptTokens, forward_.options().n_ubatch, n_ctx_ - 1});
  BlockTable table(cache_, n + 1);
  SW_ASSERT(table.resize(n + 1));
  BlockTable* tables[] = {&table};
  const int32_t last = static_cast<int32_t>(n) - 1, first = 0;
  for (int32_t i = 0; i < n; ++i) batch_.push_back({.pos = i});
  if (n > 0) forward_.step(batch_, tables, cache_, {&last, 1});
  batch_.assign(1, {.pos = static_cast<int32_t>(n)});
  forward_.step(batch_, tables, cache_, {&first, 1});
}

void Engine::check_policy(const RoutingPolicy& policy) {
  for (const Phase phase : {Phase::Prefill, Phase::Decode})
    policies_.release(policies_.resolve(policy, phase));
}

SequenceId Engine::submit(SequenceRequest request) {
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  if (n_prompt == 0)
    throw Error({.what = "the prompt is empty", .hint = "there must be at least one token to go on from"});
  if (n_prompt >= n_ctx_) {
    throw Error({.what = "the prompt does not fit in the context",
                 .expected = "fewer than " + std::to_string(n_ctx_) + " tokens",
                 .got = std::to_string(n_prompt),
                 .hint = "a larger context: -c"});
  }
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= model_.hparams().n_vocab) {
      throw Error({.what = "a token is not in the model's vocabulary",
                   .expected = "an id below " + std::to_string(model_.hparams().n_vocab),
                   .got = std::to_string(id)});
    }
  }
  if (static_cast<int>(sequences_.size()) >= n_parallel_)
    throw Error({.what = "every sequence is in use", .expected = "at most " + std::to_string(n_parallel_)});

  const RoutingPolicy policy = request.routing.value_or(default_policy_);
  const int64_t n_predict = request.n_predict < 0 ? n_ctx_ : request.n_predict;
  Sequence sequence(next_id_, std::move(request), cache_, n_ctx_, model_.hparams().n_vocab);
  sequence.max_token = std::min(n_ctx_, n_prompt + n_predict);
  sequence.prefill_policy = policies_.resolve(policy, Phase::Prefill);
  try {
    sequence.decode_policy = policies_.resolve(policy, Phase::Decode);
  } catch (...) {
    policies_.release(sequence.prefill_policy);
    throw;
  }
  try {
    reserve_pages(sequence);
  } catch (...) {
    policies_.release(sequence.prefill_policy);
    policies_.release(sequence.decode_policy);
    throw;
  }
  sequences_.push_back(std::move(sequence));
  return next_id_++;
}

/// Takes the sequence's pages: those of the one kept, as far as it began with the same tokens under the
/// same routing, and free ones. Keys and values depend on the routing of earlier layers, so a token that
/// was generated under another policy than prompts have is not reused as part of a prompt.
void Engine::reserve_pages(Sequence& sequence) {
  if (!kept_.empty()) {
    Sequence& kept = kept_.front();
    const bool same_policies =
        kept.prefill_policy == sequence.prefill_policy && kept.decode_policy == sequence.decode_policy;
    const bool one_policy = sequence.prefill_policy == sequence.decode_policy;
    const int64_t usable = !same_policies ? 0
                           : one_policy   ? kept.n_cached
                                          : std::min(kept.n_cached, kept.n_prompt);
    // The last token of a prompt is always computed: its logits choose the next.
    const auto n = static_cast<size_t>(std::min(usable, sequence.n_prompt - 1));
    const auto end = kept.tokens.begin() + static_cast<std::ptrdiff_t>(n);
    sequence.n_cached =
        std::mismatch(kept.tokens.begin(), end, sequence.tokens.begin()).first - kept.tokens.begin();
    if (!kept.pages.can_resume(sequence.n_cached)) sequence.n_cached = 0;  // a window has moved on
    std::swap(sequence.pages, kept.pages);
    drop_kept();
  }
  if (!sequence.pages.resize(sequence.max_token)) {
    throw Error({.what = "the cache is full", .hint = "a smaller -n or a larger context: -c"});
  }
}

void Engine::drop_kept() {
  if (kept_.empty()) return;
  policies_.release(kept_.front().prefill_policy);
  policies_.release(kept_.front().decode_policy);
  kept_.clear();
}

void Engine::cancel(SequenceId id) {
  for (Sequence& s : sequences_) {
    if (s.id == id) s.cancelled = true;
  }
}

void Engine::retire(std::list<Sequence>::iterator sequence, Finish finish) {
  // What led to an error may stand in the cache: nothing goes on from there.
  if (keep_last_ && finish != Finish::Error) {
    drop_kept();
    kept_.splice(kept_.begin(), sequences_, sequence);
    return;
  }
  policies_.release(sequence->prefill_policy);
  policies_.release(sequence->decode_policy);
  sequences_.erase(sequence);
}

/// Fills the batch: first the sequences that decode, so that a long prompt never holds them up, then
/// prompts in order of arrival, as much as the u-batch holds.
void Engine::schedule() {
  batch_.clear();
  tables_.clear();
  sampled_.clear();
  rows_.clear();
  size_t room = static_cast<size_t>(forward_.options().n_ubatch);
  for (const bool decoding : {true, false}) {
    for (Sequence& s : sequences_) {
      if ((s.n_cached >= s.n_prompt) != decoding || room == 0) continue;
      const int64_t n = std::min(static_cast<int64_t>(room), s.n_token() - s.n_cached);
      const auto index = static_cast<int32_t>(tables_.size());
      tables_.push_back(&s.pages);
      for (int64_t i = s.n_cached; i < s.n_cached + n; ++i) {
        const uint16_t policy = i < s.n_prompt ? s.prefill_policy : s.decode_policy;
        batch_.push_back({s.tokens[static_cast<size_t>(i)], static_cast<int32_t>(i), index, policy});
      }
      room -= static_cast<size_t>(n);
      s.n_cached += n;
      if (s.n_cached == s.n_token()) {
        sampled_.push_back(&s);
        rows_.push_back(static_cast<int32_t>(batch_.size()) - 1);
      }
    }
  }
}

/// The forward pass of the batch, with the logits of as many rows as one call gives.
TensorView<const float> Engine::run(ForwardProbe* probe) {
  const auto slice = static_cast<size_t>(forward_.options().n_logit_row);
  return forward_.step(batch_, tables_, cache_, std::span(rows_).first(std::min(slice, rows_.size())), probe);
}

void Engine::sample_all(TensorView<const float> logits) {
  const auto slice = static_cast<size_t>(forward_.options().n_logit_row);
  for (size_t begin = 0; begin < rows_.size(); begin += slice) {
    const std::span rows = std::span(rows_).subspan(begin, std::min(slice, rows_.size() - begin));
    if (begin > 0) logits = forward_.logits(rows);
    for (size_t i = 0; i < rows.size(); ++i) {
      events_.push_back(sample(*sampled_[begin + i],
                               {logits.row(static_cast<int64_t>(i)), static_cast<size_t>(logits.n_cols())}));
    }
  }
}

StepEvent Engine::sample(Sequence& s, std::span<const float> logits) {
  try {
    const int32_t token = s.sampler.sample(logits);
    s.tokens.push_back(token);
    const auto& ends = s.request.end_ids;
    const bool stop = std::find(ends.begin(), ends.end(), token) != ends.end();
    return {s.id, token, stop ? Finish::Stop : s.n_token() >= s.max_token ? Finish::Length : Finish::None};
  } catch (const Error& e) {
    return {s.id, -1, Finish::Error, e.what()};
  }
}

std::span<const StepEvent> Engine::step(ForwardProbe* probe) {
  events_.clear();
  for (auto s = sequences_.begin(); s != sequences_.end();) {
    const auto next = std::next(s);
    const bool nothing_wanted = s->n_token() >= s->max_token;  // asked for 0 tokens
    if (s->cancelled || nothing_wanted) {
      const Finish finish = s->cancelled ? Finish::Cancelled : Finish::Length;
      events_.push_back({s->id, -1, finish});
      retire(s, finish);
    }
    s = next;
  }
  schedule();
  if (batch_.empty()) return events_;
  sample_all(run(probe));
  for (const StepEvent& event : events_) {
    if (event.finish == Finish::None) continue;
    const auto ended = std::find_if(sequences_.begin(), sequences_.end(),
                                    [&](const Sequence& s) { return s.id == event.sequence; });
    if (ended != sequences_.end()) retire(ended, event.finish);  // else it ended before this pass
  }
  return events_;
}

}  // namespace sw
