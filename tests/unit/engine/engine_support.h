// SPDX-License-Identifier: MIT
#pragma once
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "support/tiny_model.h"

namespace sw {

/// Engines over a tiny BailingMoeV2.
class EngineTest : public testing::TinyLing {
 protected:
  static SequenceRequest greedy(std::vector<int32_t> prompt, int64_t n) {
    SequenceRequest request{.prompt = std::move(prompt), .n_predict = n};
    request.sampler.temperature = 0;
    return request;
  }
  static std::map<SequenceId, std::vector<int32_t>> run(Engine& engine) {
    std::map<SequenceId, std::vector<int32_t>> tokens;
    while (!engine.idle()) {
      for (const StepEvent& event : engine.step()) {
        if (event.token >= 0) tokens[event.sequence].push_back(event.token);
      }
    }
    return tokens;
  }
  std::vector<int32_t> alone(const SequenceRequest& request) {
    Engine engine(*model_, {});
    const SequenceId id = engine.submit(request);
    return run(engine)[id];
  }
};

/// The tokens of a text and what each was chosen from.
struct Answer {
  std::vector<int32_t> tokens = {};
  std::vector<std::vector<float>> logits = {};

  /// Its tokens are the first of `whole`, and their logits equal to the bit.
  void expect_begins(const Answer& whole) const {
    ASSERT_LE(tokens.size(), whole.tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      ASSERT_EQ(tokens[i], whole.tokens[i]) << "token " << i;
      ASSERT_EQ(std::memcmp(logits[i].data(), whole.logits[i].data(), logits[i].size() * sizeof(float)), 0)
          << "logits of token " << i;
    }
  }
  void expect_is(const Answer& whole) const {
    expect_begins(whole);
    EXPECT_EQ(tokens.size(), whole.tokens.size());
  }
};
using Answers = std::map<SequenceId, Answer>;

/// One step, what it gave added to `answers`.
inline std::span<const StepEvent> step_into(Engine& engine, Answers& answers) {
  return engine.step(nullptr, [&](const StepEvent& event, std::span<const float> logits) {
    Answer& answer = answers[event.sequence];
    answer.tokens.push_back(event.token);
    answer.logits.emplace_back(logits.begin(), logits.end());
  });
}

/// What a request gives with a model for itself and without drafts.
inline Answer answer_alone(const Model& model, SequenceRequest request, int64_t n_ctx,
                           const ForwardOptions& forward = {.invariant = true}, CacheType cache_type = {}) {
  request.draft.reset();
  Engine engine(model, {.forward = forward, .n_ctx = n_ctx, .cache_type = cache_type});
  const SequenceId id = engine.submit(std::move(request));
  Answers answers;
  while (!engine.idle()) step_into(engine, answers);
  return std::move(answers[id]);
}

/// What a request computes in all, to its end.
inline int64_t n_computed(Engine& engine, const SequenceRequest& request,
                          std::vector<int32_t>* answer = nullptr) {
  int64_t n = 0;
  engine.submit(request);
  while (!engine.idle()) {
    for (const StepEvent& event : engine.step()) {
      if (answer && event.token >= 0) answer->push_back(event.token);
    }
    n += engine.n_computed();
  }
  return n;
}

inline std::vector<int32_t> text(int n, int first = 1) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

}  // namespace sw
