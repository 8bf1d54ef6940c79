// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include "base/rng.h"
#include "unit/engine/engine_support.h"

namespace sw {
namespace {

using BatchTest = EngineTest;
using Texts = std::map<SequenceId, std::vector<int32_t>>;

/// 16 policies of different meaning.
RoutingPolicy policy(int i) {
  RoutingPolicy p;
  p.experts_prefill = {{.k = 1 + i % 4}};
  p.experts_decode = {{.first = 1, .last = 1, .k = 1 + i / 4}};
  if (i % 3 == 0) p.grouped = false;
  if (i % 3 == 1) p.threshold = {.min_k = 1, .share = 0.6f};
  if (i % 5 == 0) p.masks = {{.layer = 2, .first = i, .last = i}};
  return p;
}

/// Alternately greedy and drawn, which shows any change of the logits.
SequenceRequest request_of(int i, int n_prompt, int64_t n_predict) {
  SequenceRequest request{.prompt = text(n_prompt, 1 + 7 * (i % 2)), .n_predict = n_predict};
  request.sampler = {.temperature = static_cast<float>(i % 2), .top_k = 0, .top_p = 1, .min_p = 0};
  request.sampler.seed = static_cast<uint64_t>(i);
  request.routing = policy(i % 16);
  return request;
}

TEST_F(BatchTest, SixteenPoliciesGiveEachWhatItGivesAlone) {
  // Room for the beginnings of nine, the whole of four: others wait, and some give their pages back.
  Engine engine(
      *model_,
      {.forward = {.n_ubatch = 48}, .n_ctx = 256, .n_parallel = 12, .n_waiting = 4, .n_cache_token = 9 * 64});
  std::vector<SequenceRequest> requests;
  std::map<SequenceId, int> number;
  for (int i = 0; i < 16; ++i) {
    requests.push_back(request_of(i, 20 + 3 * i, 110 + i));
    number[engine.submit(requests.back())] = i;
  }
  EXPECT_THROW(engine.submit(requests[0]), Error) << "twelve run and four wait";
  Texts got;
  std::map<SequenceId, Finish> finish;
  for (int step = 0; !engine.idle(); ++step) {
    for (const auto& [id, i] : number) {
      if (i % 5 == 2 && step == 20 + i) engine.cancel(id);
    }
    for (const StepEvent& event : engine.step()) {
      if (event.token >= 0) got[event.sequence].push_back(event.token);
      if (event.finish != Finish::None) finish[event.sequence] = event.finish;
    }
  }
  EXPECT_GT(engine.scheduler().n_preempted(), 2);
  EXPECT_EQ(finish.size(), 16u);
  for (const auto& [id, i] : number) {
    Engine one(*model_, {.n_ctx = 256});
    const SequenceId alone = one.submit(requests[static_cast<size_t>(i)]);
    std::vector<int32_t> expected = run(one)[alone];
    if (i % 5 == 2) {
      EXPECT_EQ(finish[id], Finish::Cancelled);
      EXPECT_LT(got[id].size(), expected.size());
      expected.resize(got[id].size());
    }
    EXPECT_EQ(got[id], expected) << i;
  }
  EXPECT_EQ(engine.cache().n_free_pages(), 9) << "every page came back";
}

TEST_F(BatchTest, RefusesWhatIsImpossibleBeforeItWaits) {
  Engine engine(*model_, {.n_ctx = 128, .n_waiting = 2});
  engine.submit(greedy(text(20), 100));
  engine.step();
  SequenceRequest request = greedy(text(20), 5);
  const auto refused = [&](auto&& wish) {
    request.routing = RoutingPolicy{};
    wish(*request.routing);
    EXPECT_THROW(engine.submit(request), Error);
  };
  refused([](RoutingPolicy& p) { p.masks = {{.layer = 2, .first = 0, .last = 15}}; });
  refused([](RoutingPolicy& p) { p.masks = {{.layer = 3, .first = 0, .last = 1}}; });
  refused([](RoutingPolicy& p) { p.experts_prefill = {{.k = 9}}; });
  refused([](RoutingPolicy& p) { p.experts_decode = {{.k = -1}}; });
  refused(
      [](RoutingPolicy& p) { p.threshold = {.min_k = 1, .share = std::numeric_limits<float>::quiet_NaN()}; });
  EXPECT_EQ(engine.scheduler().n_waiting(), 0);
  EXPECT_THROW(Engine(*model_, {.n_ctx = 128, .n_cache_token = 64}), Error) << "not even one sequence";
  const SequenceId waits = engine.submit(greedy(text(20), 5));
  EXPECT_EQ(engine.scheduler().n_waiting(), 1);
  engine.cancel(waits);
  EXPECT_EQ(engine.step()[0].finish, Finish::Cancelled);
  EXPECT_EQ(engine.scheduler().n_waiting(), 0);
}

/// Random requests, cancels and steps; what comes out is what each gives alone.
TEST_F(BatchTest, RandomSequencesOfCallsSpoilNothing) {
  constexpr int kKinds = 24, kSteps = 6000;
  Rng rng(11);
  std::vector<SequenceRequest> kinds;
  std::vector<std::vector<int32_t>> expected;
  for (int k = 0; k < kKinds; ++k) {
    const int n_prompt = 1 + static_cast<int>(rng.below(k % 4 == 0 ? 140 : 60));
    kinds.push_back(request_of(k % 3 == 0 ? 5 : k, n_prompt, static_cast<int64_t>(rng.below(160))));
    Engine engine(*model_, {.n_ctx = 192});
    const SequenceId id = engine.submit(kinds.back());
    expected.push_back(run(engine)[id]);
  }
  Engine engine(
      *model_,
      {.forward = {.n_ubatch = 32}, .n_ctx = 192, .n_parallel = 5, .n_waiting = 4, .n_cache_token = 6 * 64});
  std::map<SequenceId, size_t> kind_of;
  Texts got;
  int64_t n_ended = 0;
  for (int step = 0; step < kSteps || !engine.idle(); ++step) {
    if (step < kSteps && rng.below(4) == 0) {
      const size_t k = rng.below(kKinds);
      const bool full = engine.scheduler().n_running() + engine.scheduler().n_waiting() == 9;
      if (full) {
        EXPECT_THROW(engine.submit(kinds[k]), Error);
      } else {
        kind_of[engine.submit(kinds[k])] = k;
      }
    }
    if (!kind_of.empty() && rng.below(25) == 0)
      engine.cancel(std::next(kind_of.begin(), static_cast<int64_t>(rng.below(kind_of.size())))->first);
    for (const StepEvent& event : engine.step()) {
      ASSERT_TRUE(kind_of.contains(event.sequence)) << "nothing comes after the end";
      std::vector<int32_t>& tokens = got[event.sequence];
      if (event.token >= 0) tokens.push_back(event.token);
      const std::vector<int32_t>& wanted = expected[kind_of[event.sequence]];
      if (event.finish == Finish::None) continue;
      const bool whole = event.finish == Finish::Length;
      ASSERT_TRUE(whole ? tokens == wanted
                        : tokens.size() <= wanted.size() &&
                              std::equal(tokens.begin(), tokens.end(), wanted.begin()))
          << "step " << step;
      n_ended += whole;
      kind_of.erase(event.sequence);
    }
  }
  EXPECT_TRUE(kind_of.empty());
  EXPECT_GT(n_ended, 50);
  EXPECT_GT(engine.scheduler().n_preempted(), 20);
  EXPECT_EQ(engine.cache().n_free_pages(), 6);
}

}  // namespace
}  // namespace sw
