// SPDX-License-Identifier: MIT
#include "engine/scheduler.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/rng.h"

namespace sw {
namespace {

constexpr int64_t kContext = 60, kVocab = 8, kDrafts = 3;
constexpr double kSlowdown = 1.5;
constexpr int kPage = 4, kWindow = 6, kUbatch = 7, kParallel = 6, kWaiting = 5;

/// Stands for a model. Its "keys" of a token are a chain over all that they depend on, and every token reads
/// those of all tokens that it sees; its "state" is the same chain, and is only known from the one before.
/// What a sequence sees in its pages and finds in its state must be its own text.
class Memory {
 public:
  Memory(const CachePlan& plan, const PolicyTable& policies)
      : plan_(plan), policies_(policies), stands_(plan.groups.size()) {}

  void run(const StepBatch& batch) {
    for (const StepBatch::Part& part : batch.parts) note_reuse(*part.sequence);
    for (const BatchToken& token : batch.tokens) {
      const auto seq = static_cast<size_t>(token.seq);
      const Sequence& s = *batch.parts[seq].sequence;
      const bool begins = &token == batch.tokens.data() || (&token)[-1].seq != token.seq;
      first_draft_ = batch.parts[seq].n_token > 0 ? std::numeric_limits<int64_t>::max() : s.n_token() - 1;
      for (int g = 0; g < plan_.n_group(); ++g) {
        if (plan_.group(g).is_state()) {
          advance(s, *batch.caches[seq], g, token, begins);
        } else {
          page_of(*batch.caches[seq], g, token.pos) = name(s, token.pos);
          check(s, *batch.caches[seq], g, token.pos);
        }
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }

  /// A pass that fails leaves anything behind.
  void spoil(const StepBatch& batch) {
    PageKey nonsense;
    nonsense.add(77);
    for (const BatchToken& token : batch.tokens) {
      const SequenceCache& cache = *batch.caches[static_cast<size_t>(token.seq)];
      for (int g = 0; g < plan_.n_group(); ++g) {
        if (!plan_.group(g).is_state()) {
          page_of(cache, g, token.pos) = nonsense;
        } else if (cache.state_to(g, token.pos) >= 0) {
          stands_[static_cast<size_t>(g)][cache.state_to(g, token.pos)] = nonsense;
        }
      }
    }
  }

  /// After the step: where each sequence is now.
  void note(const Sequence& s) { n_cached_[s.id] = s.n_cached; }
  int64_t n_reused() const { return n_reused_; }

 private:
  void note_reuse(const Sequence& s) {
    const auto before = n_cached_.find(s.id);
    n_reused_ += s.n_cached > 0 && (before == n_cached_.end() || before->second != s.n_cached);
  }
  static void add(PageKey& key, int32_t token, int n_expert) {
    key.add(static_cast<uint64_t>(token));
    key.add(static_cast<uint64_t>(n_expert));
  }
  /// The text up to and with a token, each with its number of experts: its phase's, or the drafts'.
  PageKey name(const Sequence& s, int64_t last) const {
    PageKey key;
    for (int64_t i = 0; i <= last; ++i) {
      const RoutingPolicy& routing = *s.request.routing;
      const auto& counts = i < s.n_prompt ? routing.experts_prefill : routing.experts_decode;
      add(key, s.token_at(i), i < first_draft_ ? counts[0].k : 1);
    }
    return key;
  }
  PageKey& page_of(const SequenceCache& cache, int g, int64_t token) {
    const int32_t page = cache.pages(g)[token / kPage];
    EXPECT_GE(page, 0) << "token " << token;
    return stands_[static_cast<size_t>(g)][page * kPage + token % kPage];
  }
  void check(const Sequence& s, const SequenceCache& cache, int g, int64_t token) {
    const bool windowed = plan_.group(g).kind == CacheKind::Window;
    for (int64_t i = windowed ? std::max<int64_t>(0, token - kWindow + 1) : 0; i <= token; ++i)
      ASSERT_EQ(page_of(cache, g, i), name(s, i)) << "group " << g << ", token " << i;
  }
  /// The operation of a block that keeps states.
  void advance(const Sequence& s, const SequenceCache& cache, int g, const BatchToken& token, bool begins) {
    std::map<int64_t, PageKey>& states = stands_[static_cast<size_t>(g)];
    PageKey& state = running_[g];
    if (begins) {
      const int32_t from = cache.state_from(g);
      ASSERT_EQ(from < 0, token.pos == 0);
      state = from < 0 ? PageKey{} : states[from];
    }
    add(state, token.id, policies_.at(token.policy, 0).k);
    ASSERT_EQ(state, name(s, token.pos)) << "state after token " << token.pos;
    const int32_t to = cache.state_to(g, token.pos);
    if (to < 0) return;
    ASSERT_NE(to, cache.state_from(g)) << "what is read is not written";
    states[to] = state;
  }

  CachePlan plan_;
  const PolicyTable& policies_;
  std::vector<std::map<int64_t, PageKey>> stands_;  // by group
  std::map<int, PageKey> running_;                  // by group
  std::map<SequenceId, int64_t> n_cached_;
  int64_t first_draft_ = 0, n_reused_ = 0;
};

SequenceRequest random_request(Rng& rng, bool drafts) {
  SequenceRequest request;
  // Texts that often begin alike, under routings that often differ.
  const uint64_t kind = rng.below(3);
  const auto n = static_cast<int64_t>(1 + rng.below(40));
  for (int64_t i = 0; i < n; ++i)
    request.prompt.push_back(static_cast<int32_t>(i / 9 == 2 ? rng.below(2) : kind));
  request.n_predict = static_cast<int64_t>(rng.below(30));
  request.routing = RoutingPolicy{};
  request.routing->experts_prefill = {{.k = 1 + static_cast<int>(rng.below(2))}};
  request.routing->experts_decode = {{.k = 1 + static_cast<int>(rng.below(2))}};
  if (drafts && rng.below(2) == 0) {
    request.draft = {.n_expert = 1, .n_token = 1 + static_cast<int>(rng.below(kDrafts))};
  }
  return request;
}

/// As the engine does, with logits from nowhere.
void choose(const StepBatch::Sampled& what, const BatchToken& after, Rng& rng) {
  Sequence& s = *what.sequence;
  const bool is_last = after.pos + 1 == s.n_token() && after.id == s.tokens.back();
  if (s.finish != Finish::None || (!what.drafts && !is_last)) return;
  if (rng.below(400) == 0) {
    s.finish = Finish::Error;
    s.drop_names();
    return;
  }
  std::vector<float> logits(kVocab, -100.0f);
  for (int i = 0; i < 2; ++i) logits[static_cast<size_t>(i)] = static_cast<float>(rng.uniform());
  if (what.drafts) return s.draft->add(s.sampler, logits);
  s.n_cached = s.n_token();
  s.tokens.push_back(s.draft ? s.draft->choose(s.sampler, logits) : s.sampler.sample(logits));
  if (s.n_token() >= s.max_token) s.finish = Finish::Length;
}

class Run {
 public:
  Run(const CachePlan& plan, bool drafts)
      : plan_(plan),
        drafts_(drafts),
        policies_({{.layer = 0, .router = {.n_expert = 4, .n_expert_used = 2}}}, 1, 2, 8),
        cache_(plan),
        scheduler_(cache_, kUbatch, kParallel, kWaiting, drafts ? 0 : kSlowdown),
        memory_(plan, policies_) {}

  void run() {
    for (int i = 0; i < 6000 || !scheduler_.idle(); ++i) {
      if (i < 6000 && rng_.below(4) == 0 &&
          scheduler_.n_running() + scheduler_.n_waiting() < kParallel + kWaiting)
        submit();
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    EXPECT_GT(n_ended_, 300);
    EXPECT_GT(n_failed_, 30);
    EXPECT_GT(scheduler_.n_preempted(), 100);
    EXPECT_GT(memory_.n_reused(), 100);
    EXPECT_EQ(n_accepted_ > 300, drafts_);
    for (int g = 0; g < plan_.n_group(); ++g)
      EXPECT_EQ(cache_.n_free_pages(g), plan_.n_page(g)) << "no page is lost";
  }

 private:
  void submit() {
    SequenceRequest request = random_request(rng_, drafts_);
    const RoutingPolicy routing = *request.routing;
    scheduler_.add(Sequence({.id = next_++, .n_ctx = kContext, .n_vocab = kVocab}, std::move(request),
                            routing, policies_, cache_));
  }
  void step() {
    scheduler_.for_each([&](Sequence& s) {
      if (s.n_token() >= s.max_token) s.finish = Finish::Length;
      if (rng_.below(300) == 0) s.finish = Finish::Cancelled;
    });
    scheduler_.sweep([&](const Sequence& s) {
      n_ended_ += s.finish == Finish::Length;
      if (s.draft) n_accepted_ += s.draft->counts().n_accepted;
    });
    scheduler_.schedule(batch_);
    ASSERT_LE(std::ssize(batch_.tokens), kUbatch);
    ASSERT_EQ(batch_.tokens.empty(), scheduler_.idle()) << "there is always something to do";
    if (rng_.below(100) == 0) {
      memory_.spoil(batch_);
      scheduler_.abandon();
      ++n_failed_;
      return;
    }
    memory_.run(batch_);
    if (::testing::Test::HasFatalFailure()) return;
    scheduler_.computed(batch_);
    for (size_t i = 0; i < batch_.sampled.size(); ++i)
      choose(batch_.sampled[i], batch_.tokens[static_cast<size_t>(batch_.rows[i])], rng_);
    scheduler_.publish(batch_);
    scheduler_.took(batch_, rng_.uniform());
    scheduler_.for_each([&](const Sequence& s) { memory_.note(s); });
  }

  CachePlan plan_;
  bool drafts_;
  PolicyTable policies_;
  Cache cache_;
  Scheduler scheduler_;
  Memory memory_;
  StepBatch batch_;
  Rng rng_{3};
  SequenceId next_ = 1;
  int64_t n_ended_ = 0, n_failed_ = 0, n_accepted_ = 0;
};

/// Models whose blocks keep these, one of each.
void run_random(std::initializer_list<CacheKind> kinds, bool drafts) {
  CachePlan plan{.page_tokens = kPage,
                 .n_token = 80,
                 .n_seq = kParallel,
                 .max_token = kContext,
                 .n_ahead = kUbatch,
                 .n_draft = drafts ? kDrafts : 0,
                 .n_snapshot = 1,
                 .snapshot_tokens = 2 * kPage};
  for (const CacheKind kind : kinds) {
    plan.groups.push_back({.kind = kind,
                           .n_head_kv = 1,
                           .head_dim = 8,
                           .window = kind == CacheKind::Window ? kWindow : 0,
                           .state_floats = 4,
                           .blocks = {plan.n_group()}});
  }
  SCOPED_TRACE(drafts ? "with drafts" : "without drafts");
  Run(plan, drafts).run();
}

/// Random calls lose no page and mix no texts.
class SchedulerTest : public ::testing::TestWithParam<bool> {};

TEST_P(SchedulerTest, OfKeys) { run_random({CacheKind::Pages}, GetParam()); }
TEST_P(SchedulerTest, OfLatents) { run_random({CacheKind::Latent}, GetParam()); }
TEST_P(SchedulerTest, OfKeysAndWindows) { run_random({CacheKind::Pages, CacheKind::Window}, GetParam()); }
TEST_P(SchedulerTest, OfKeysAndStates) { run_random({CacheKind::Pages, CacheKind::State}, GetParam()); }
TEST_P(SchedulerTest, OfKeysWindowsAndStates) {
  run_random({CacheKind::Pages, CacheKind::Window, CacheKind::State}, GetParam());
}
TEST_P(SchedulerTest, OfLatentsAndTwoStates) {
  run_random({CacheKind::State, CacheKind::Latent, CacheKind::State}, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Drafts, SchedulerTest, ::testing::Bool());

}  // namespace
}  // namespace sw
