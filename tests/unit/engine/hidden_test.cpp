// SPDX-License-Identifier: MIT
#include <cmath>

#include "unit/engine/engine_support.h"

namespace sw {
namespace {

/// Hidden states by position.
using Rows = std::vector<std::vector<float>>;

/// A request for them; `rows` outlives it.
SequenceRequest hidden_of(std::vector<int32_t> prompt, Rows& rows) {
  return {.prompt = std::move(prompt), .on_hidden = [&rows](int64_t pos, std::span<const float> hidden) {
            if (pos == 0) rows.clear();
            EXPECT_EQ(pos, std::ssize(rows));
            rows.emplace_back(hidden.begin(), hidden.end());
          }};
}

std::vector<int32_t> some_prompt(int n) {
  std::vector<int32_t> prompt(static_cast<size_t>(n));
  std::iota(prompt.begin(), prompt.end(), 3);
  return prompt;
}

/// The residual behind the last layer.
class LastHidden : public ForwardProbe {
 public:
  explicit LastHidden(int layer) : layer_(layer) {}
  void on_hidden(int layer, TensorView<const float> hidden) override {
    if (layer != layer_) return;
    for (int64_t i = 0; i < hidden.n_rows(); ++i)
      rows.emplace_back(hidden.row(i), hidden.row(i) + hidden.n_cols());
  }
  Rows rows = {};

 private:
  int layer_;
};

TEST_F(EngineTest, HiddenStatesAreTheFinalNormOfEachToken) {
  Rows rows;
  LastHidden last(model_->hparams().n_layer - 1);
  Engine engine(*model_, {.forward = {.n_logit_row = 4}});
  engine.submit(hidden_of(some_prompt(11), rows));
  const std::span<const StepEvent> events = engine.step(&last);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].token, -1);
  EXPECT_EQ(events[0].finish, Finish::Length);
  EXPECT_TRUE(engine.idle());
  ASSERT_EQ(rows.size(), 11u);
  const float* weight = model_->vector(Role::OutputNorm);
  for (size_t i = 0; i < rows.size(); ++i) {
    double squares = 0;
    for (const float x : last.rows[i]) squares += static_cast<double>(x) * x;
    const double scale =
        1 / std::sqrt(squares / static_cast<double>(rows[i].size()) + model_->hparams().rms_eps);
    for (size_t j = 0; j < rows[i].size(); ++j)
      EXPECT_NEAR(rows[i][j], last.rows[i][j] * scale * weight[j], 1e-4) << i << " " << j;
  }
}

/// Cut into u-batches, beside texts, computed again where pages were short: the same, and the texts too.
TEST_F(EngineTest, HiddenStatesDependOnNothingElse) {
  Rows alone, beside[2];
  {
    Engine engine(*model_, {.forward = {.invariant = true}});
    engine.submit(hidden_of(some_prompt(150), alone));
    while (!engine.idle()) engine.step();
  }
  const Answer text = answer_alone(*model_, greedy({9, 8, 7}, 90), 256);
  Engine engine(
      *model_,
      {.forward = {.n_ubatch = 16, .invariant = true}, .n_ctx = 256, .n_parallel = 3, .n_cache_token = 320});
  Answers answers;
  const SequenceId first = engine.submit(greedy({9, 8, 7}, 90));
  for (Rows& rows : beside) engine.submit(hidden_of(some_prompt(150), rows));
  while (!engine.idle()) step_into(engine, answers);
  for (const Rows& rows : beside) EXPECT_EQ(rows, alone);
  engine.submit(hidden_of(some_prompt(150), beside[0]));  // its pages are in the cache now
  while (!engine.idle()) engine.step();
  EXPECT_EQ(beside[0], alone);
  answers[first].expect_is(text);
}

}  // namespace
}  // namespace sw
