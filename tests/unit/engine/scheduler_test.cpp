// SPDX-License-Identifier: MIT
#include "engine/scheduler.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>

#include "base/error.h"
#include "base/rng.h"

namespace sw {
namespace {

constexpr int64_t kContext = 60;
constexpr int kPage = 4, kWindow = 6, kUbatch = 7;

/// Stands for a model: its "keys" of a token are a chain over all that they depend on, and every token reads
/// those of all tokens that it sees. What a sequence sees in its pages must be its own text.
class Memory {
 public:
  explicit Memory(const CacheSpec& spec) : spec_(spec), stands_(static_cast<size_t>(spec.n_group())) {}

  void run(const StepBatch& batch) {
    for (const StepBatch::Part& part : batch.parts) {
      Sequence& s = *part.sequence;
      s.pages.slide(s.n_cached, s.n_cached + part.n_token);
      for (int64_t i = s.n_cached; i < s.n_cached + part.n_token; ++i) write(s, i);
      for (int64_t i = s.n_cached; i < s.n_cached + part.n_token; ++i) check(s, i);
    }
  }

 private:
  /// The text up to and with a token, each with the phase's number of experts.
  static PageKey name(const Sequence& s, int64_t last) {
    PageKey key;
    for (int64_t i = 0; i <= last; ++i) {
      key.add(static_cast<uint64_t>(s.tokens[static_cast<size_t>(i)]));
      const auto& counts =
          i < s.n_prompt ? s.request.routing->experts_prefill : s.request.routing->experts_decode;
      key.add(static_cast<uint64_t>(counts[0].k));
    }
    return key;
  }
  PageKey& slot(const Sequence& s, CacheGroup group, int64_t token) {
    const int32_t page = s.pages.pages(group)[token / kPage];
    EXPECT_GE(page, 0) << "token " << token;
    return stands_[group][page * kPage + token % kPage];
  }
  void write(const Sequence& s, int64_t token) {
    for (int g = 0; g < spec_.n_group(); ++g) slot(s, static_cast<CacheGroup>(g), token) = name(s, token);
  }
  void check(const Sequence& s, int64_t token) {
    for (int g = 0; g < spec_.n_group(); ++g) {
      const int64_t first = g == kWindowGroup ? std::max<int64_t>(0, token - kWindow + 1) : 0;
      for (int64_t i = first; i <= token; ++i)
        ASSERT_EQ(slot(s, static_cast<CacheGroup>(g), i), name(s, i)) << "group " << g << ", token " << i;
    }
  }

  CacheSpec spec_;
  std::vector<std::map<int64_t, PageKey>> stands_;
};

SequenceRequest random_request(Rng& rng) {
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
  return request;
}

void run_random(const CacheSpec& spec, int n_parallel, int n_waiting) {
  PagedCache cache(spec);
  PolicyTable policies({{.layer = 0, .router = {.n_expert = 4, .n_expert_used = 2}}}, 1, 2, 8);
  Scheduler scheduler(cache, kUbatch, n_parallel, n_waiting);
  Memory memory(spec);
  StepBatch batch;
  Rng rng(3);
  SequenceId next = 1;
  int64_t n_ended = 0;
  for (int step = 0; step < 6000 || !scheduler.idle(); ++step) {
    if (step < 6000 && rng.below(4) == 0 &&
        scheduler.n_running() + scheduler.n_waiting() < n_parallel + n_waiting) {
      SequenceRequest request = random_request(rng);
      const RoutingPolicy routing = *request.routing;
      scheduler.add(Sequence({.id = next++, .n_ctx = kContext, .n_vocab = 8}, std::move(request), routing,
                             policies, cache));
    }
    scheduler.for_each([&](Sequence& s) {
      if (s.n_token() >= s.max_token) s.finish = Finish::Length;
      if (rng.below(300) == 0) s.finish = Finish::Cancelled;
    });
    scheduler.sweep([&](const Sequence& s) { n_ended += s.finish == Finish::Length; });
    scheduler.schedule(batch);
    ASSERT_LE(std::ssize(batch.tokens), kUbatch);
    ASSERT_EQ(batch.tokens.empty(), scheduler.idle()) << "there is always something to do";
    memory.run(batch);
    if (::testing::Test::HasFatalFailure()) return;
    scheduler.computed(batch);
    for (const StepBatch::Sampled& s : batch.sampled)
      s.sequence->tokens.push_back(static_cast<int32_t>(rng.below(2)));
    scheduler.publish(batch);
  }
  EXPECT_GT(n_ended, 300);
  EXPECT_GT(scheduler.n_preempted(), 100);
  for (int g = 0; g < spec.n_group(); ++g) {
    const auto group = static_cast<CacheGroup>(g);
    EXPECT_EQ(cache.n_free_pages(group), spec.n_page(group)) << "no page is lost";
  }
}

CacheSpec tiny_spec() {
  return {.n_layer = 2,
          .n_head_kv = 1,
          .head_dim = 8,
          .n_token = 80,
          .page_tokens = kPage,
          .n_seq = 6,
          .max_token = kContext,
          .n_ahead = kUbatch};
}

TEST(Scheduler, RandomCallsLoseNoPageAndMixNoTexts) { run_random(tiny_spec(), 6, 5); }

TEST(Scheduler, SoWithWindows) {
  CacheSpec spec = tiny_spec();
  spec.window = kWindow;
  spec.windowed = {0, 1};
  run_random(spec, 6, 5);
}

}  // namespace
}  // namespace sw
