// SPDX-License-Identifier: MIT
// A model whose layers keep states: prefixes taken from the cache, preemption and drafts change no logit.
#include "unit/engine/engine_support.h"

namespace sw {
namespace {

class StatesTest : public testing::TinyLfm2 {
 protected:
  static SequenceRequest greedy(std::vector<int32_t> prompt, int64_t n) {
    SequenceRequest request{.prompt = std::move(prompt), .n_predict = n};
    request.sampler.temperature = 0;
    return request;
  }
};

TEST_F(StatesTest, ARequestThatBeginsLikeOneBeforeGoesOnFromItsState) {
  Engine engine(*model_, {.forward = {.n_ubatch = 48, .invariant = true}, .n_ctx = 512});
  const SequenceRequest first = greedy(text(200), 8);
  EXPECT_EQ(n_computed(engine, first), 200 + 8 - 1);
  std::vector<int32_t> prompt = text(196);
  for (const int32_t id : {400, 3, 401, 9, 402}) prompt.push_back(id);
  const SequenceRequest second = greedy(prompt, 30);
  const SequenceId id = engine.submit(second);
  Answers got;
  int64_t n = 0;
  while (!engine.idle()) {
    step_into(engine, got);
    n += engine.n_computed();
  }
  // The state was kept behind the last whole page before the first prompt's last token.
  EXPECT_EQ(n, 201 - 192 + 30 - 1);
  got[id].expect_is(answer_alone(*model_, second, 512));
}

TEST_F(StatesTest, PreemptionChangesNoLogit) {
  for (const bool drafts : {false, true}) {
    for (const int64_t n_ubatch : {4, 512}) {
      SCOPED_TRACE(::testing::Message() << n_ubatch << " tokens a pass, drafts: " << drafts);
      Engine engine(*model_, {.forward = {.n_ubatch = n_ubatch, .invariant = true},
                              .n_ctx = 320,
                              .n_parallel = 2,
                              .n_cache_token = 6 * 64,
                              .n_draft = 3});
      SequenceRequest younger = greedy(text(250, 9), 40);
      if (drafts) younger.draft = {.n_expert = 1, .n_token = 3};
      const SequenceRequest older = greedy(text(60, 3), 100);
      const SequenceId first = engine.submit(older), id = engine.submit(younger);
      Answers got;
      while (!engine.idle()) step_into(engine, got);
      EXPECT_GT(engine.scheduler().n_preempted(), 0);
      got[first].expect_is(answer_alone(*model_, older, 320));
      got[id].expect_is(answer_alone(*model_, younger, 320));
    }
  }
}

TEST_F(StatesTest, WithDraftsTheTextIsTheSame) {
  SequenceRequest request = greedy(text(30), 80);
  request.sampler.repeat_penalty = 1.3f;
  const Answer expected = answer_alone(*model_, request, 512);
  for (const int n_expert : {1, 2, 3}) {
    for (const int n_token : {1, 3, 8}) {
      SCOPED_TRACE(::testing::Message() << n_expert << " experts, " << n_token << " tokens");
      Engine engine(*model_, {.forward = {.invariant = true}, .n_ctx = 512, .n_draft = 8});
      request.draft = {.n_expert = n_expert, .n_token = n_token};
      const SequenceId id = engine.submit(request);
      Answers got;
      while (!engine.idle()) step_into(engine, got);
      got[id].expect_is(expected);
      EXPECT_GT(engine.draft_counts().n_drafted, 30);
      if (n_expert == 1) {
        EXPECT_LT(engine.draft_counts().n_accepted, engine.draft_counts().n_drafted);
      }
    }
  }
}

TEST_F(StatesTest, MoreDraftsThanThereIsRoomForAreRefused) {
  Engine engine(*model_, {.n_ctx = 64, .n_draft = 2});
  SequenceRequest request = greedy(text(5), 4);
  request.draft = {.n_expert = 1, .n_token = 3};
  EXPECT_THROW(engine.submit(request), Error);
}

}  // namespace
}  // namespace sw
