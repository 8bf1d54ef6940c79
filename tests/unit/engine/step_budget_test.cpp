// SPDX-License-Identifier: MIT
#include "engine/step_budget.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>

namespace sw {
namespace {

constexpr int64_t kUbatch = 512;
constexpr double kSlowdown = 1.4;

/// Seconds of a step with so many tokens that are decoded, and so many of prompts.
using Machine = std::function<double(int64_t n_decode, int64_t n_prompt)>;

/// Each token costs the same.
double by_token(int64_t n_decode, int64_t n_prompt) {
  return 1e-4 + 1e-3 * static_cast<double>(n_decode + n_prompt);
}
/// Weights are read once for all.
double by_weights(int64_t n_decode, int64_t n_prompt) {
  return 0.1 + 1e-4 * static_cast<double>(n_decode) + 5e-4 * static_cast<double>(n_prompt);
}
/// The first token of a prompt costs as much as all that is decoded, as where that is a recorded step.
double by_kind(int64_t n_decode, int64_t n_prompt) {
  return (n_decode > 0 ? 3e-3 : 0) + (n_prompt > 0 ? 3e-3 + 3e-5 * static_cast<double>(n_prompt) : 0);
}

class Steps {
 public:
  explicit Steps(Machine machine, double slowdown = kSlowdown)
      : machine_(std::move(machine)), budget_(slowdown, kUbatch) {
    budget_.note(0, kUbatch, machine_(0, kUbatch));  // the first prompt of all
  }
  /// Tokens of prompts of the next step, which takes `factor` times as long as the machine says.
  int64_t step(int64_t n_decoding, int64_t n_prefilling = 1, double factor = 1) {
    const int64_t n = budget_.prompt_tokens(
        {.n_decode_token = n_decoding, .n_decoding = n_decoding, .n_prefilling = n_prefilling});
    budget_.note(n_decoding, n, factor * machine_(n_decoding, n));
    return n;
  }
  int64_t steps(int count, int64_t n_decoding, int64_t n_prefilling = 1) {
    int64_t last = 0;
    for (int i = 0; i < count; ++i) last = std::max(last, step(n_decoding, n_prefilling));
    return last;
  }
  double slowdown(int64_t n_decoding, int64_t n_prompt) const {
    return machine_(n_decoding, n_prompt) / machine_(n_decoding, 0);
  }
  Machine machine_;
  StepBudget budget_;
};

TEST(StepBudget, NobodyDecodesOrNoLimit) {
  StepBudget budget(kSlowdown, kUbatch), unlimited(0, kUbatch);
  EXPECT_EQ(budget.prompt_tokens({.n_prefilling = 3}), kUbatch);
  EXPECT_EQ(unlimited.prompt_tokens({.n_decode_token = 4, .n_decoding = 4, .n_prefilling = 1}), kUbatch);
}

TEST(StepBudget, AStepWithoutPromptsComesFirst) {
  Steps steps(by_token);
  EXPECT_EQ(steps.step(4), 0);
  EXPECT_GT(steps.step(4), 0);
  EXPECT_EQ(steps.step(5), 0) << "one more decodes: what that takes is not known";
  EXPECT_GT(steps.step(5), 0);
}

/// Once it has learned, no step is slower than granted, and few are much faster.
TEST(StepBudget, StepsTakeAsLongAsGranted) {
  for (const Machine& machine : {Machine(by_token), Machine(by_weights)}) {
    for (const int64_t n_decoding : {4, 30}) {
      Steps steps(machine);
      steps.steps(60, n_decoding);
      const int64_t most = steps.steps(60, n_decoding);
      EXPECT_LE(steps.slowdown(n_decoding, most), kSlowdown + 1e-9);
      EXPECT_GE(steps.slowdown(n_decoding, most + 1), kSlowdown * 0.98);
    }
  }
}

TEST(StepBudget, ItBeginsSmallAndGrows) {
  Steps steps(by_weights);
  steps.step(4);
  EXPECT_LE(steps.step(4), 4);
  int64_t last = 0;
  for (int i = 0; i < 60; ++i) {
    const int64_t n = steps.step(4);
    if (n == 0) continue;
    EXPECT_LE(n, 2 * std::max<int64_t>(last, 8)) << "step " << i;
    last = n;
  }
}

/// Where even one token costs more than granted, a prompt still comes in at an eighth of its full speed.
TEST(StepBudget, APromptIsNotStarved) {
  Steps steps(by_kind);
  steps.steps(100, 4);
  const int64_t n = steps.steps(20, 4);
  EXPECT_GT(steps.slowdown(4, n), kSlowdown);
  const double full = kUbatch / by_kind(0, kUbatch), beside = static_cast<double>(n) / by_kind(4, n);
  EXPECT_NEAR(beside / full, 1.0 / 8, 0.02);
}

/// Few that decode do not keep many from beginning: those behind the first prompt share the time with them,
/// and weigh four times as much.
TEST(StepBudget, ManyPromptsGetTheirShare) {
  Steps one(by_token), few(by_token);
  const int64_t usual = (one.steps(200, 20, 1), one.steps(40, 20, 1));
  EXPECT_EQ((few.steps(200, 20, 2), few.steps(40, 20, 2)), usual);
  for (const int64_t n_prefilling : {6, 11, 21}) {
    Steps many(by_token);
    const int64_t n = (many.steps(200, 20, n_prefilling), many.steps(40, 20, n_prefilling));
    EXPECT_NEAR(many.slowdown(20, n), 1 + 4 * static_cast<double>(n_prefilling - 1) / 20, 0.2);
  }
  Steps crowd(by_token);
  crowd.steps(300, 2, 200);
  EXPECT_LE(crowd.slowdown(2, crowd.steps(40, 2, 200)), 9.5);
}

/// Who decodes while a crowd comes in notices it step by step.
TEST(StepBudget, ACrowdComesInStepByStep) {
  Steps steps(by_token);
  int64_t before = (steps.steps(100, 20), steps.steps(40, 20));
  for (int i = 0; i < 100; ++i) {
    const int64_t n = steps.step(20, 60);
    if (n == 0) continue;
    EXPECT_LE(by_token(20, n), (kSlowdown + 0.01) * by_token(20, before)) << "step " << i;
    before = std::max(before, n);
  }
  EXPECT_GT(steps.slowdown(20, before), 3);
}

/// As where texts become long, or another program takes a core.
TEST(StepBudget, AMachineThatChangesIsNoticed) {
  double speed = 1;
  Steps steps([&](int64_t n_decode, int64_t n_prompt) { return by_weights(n_decode, n_prompt) / speed; });
  const int64_t before = (steps.steps(100, 4), steps.steps(40, 4));
  speed = 0.25;
  steps.budget_.note(0, kUbatch, steps.machine_(0, kUbatch));
  steps.steps(900, 4);
  EXPECT_NEAR(static_cast<double>(steps.steps(40, 4)), static_cast<double>(before),
              0.2 * static_cast<double>(before))
      << "all is slower alike: the same share";
}

TEST(StepBudget, OneSlowStepChangesLittle) {
  Steps steps(by_weights);
  const int64_t usual = (steps.steps(100, 4), steps.steps(40, 4));
  steps.step(4, 1, 50);
  for (int i = 0; i < 40; ++i) EXPECT_LE(steps.step(4), 2 * usual);
  while (steps.step(4, 1) != 0) {
  }
  steps.budget_.note(4, 0, 50 * by_weights(4, 0));
  EXPECT_LE(steps.step(4), 2 * usual);
}

}  // namespace
}  // namespace sw
