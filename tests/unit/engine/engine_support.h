// SPDX-License-Identifier: MIT
#pragma once
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
