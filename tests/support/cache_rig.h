// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include "base/error.h"
#include "model/forward.h"

namespace sw::testing {

/// A cache for passes through a model, and what each sequence has of it. A pass allocates nothing here.
class CacheRig {
 public:
  /// As many sequences as the plan says, each with its share of the tokens.
  CacheRig(Forward& forward, const CachePlan& plan) : forward_(forward), cache_(forward.make_cache(plan)) {
    tables_.reserve(static_cast<size_t>(plan.n_seq));
    for (int64_t s = 0; s < plan.n_seq; ++s)
      sequences_.push_back(&tables_.emplace_back(cache_, plan.n_token / plan.n_seq));
  }
  CacheRig(const CacheRig&) = delete;
  CacheRig& operator=(const CacheRig&) = delete;

  /// Forward::run() with the cache prepared for its tokens.
  void run(std::span<const BatchToken> tokens, ForwardProbe* probe = nullptr) {
    prepare(tokens);
    forward_.run(tokens, sequences_, cache_, probe);
  }
  /// Forward::step(), likewise.
  TensorView<const float> step(std::span<const BatchToken> tokens, std::span<const int32_t> rows,
                               ForwardProbe* probe = nullptr) {
    prepare(tokens);
    return forward_.step(tokens, sequences_, cache_, rows, probe);
  }
  /// Logits [1, n_vocab] of one token.
  TensorView<const float> step(const BatchToken& token, ForwardProbe* probe = nullptr) {
    constexpr int32_t kRow = 0;
    return step({&token, 1}, {&kRow, 1}, probe);
  }

 private:
  void prepare(std::span<const BatchToken> tokens) {
    for (size_t s = 0; s < tables_.size(); ++s) {
      int32_t begin = std::numeric_limits<int32_t>::max(), end = 0;
      for (const BatchToken& token : tokens) {
        if (token.seq != static_cast<int32_t>(s)) continue;
        begin = std::min(begin, token.pos);
        end = std::max(end, token.pos + 1);
      }
      if (begin < end) SW_ASSERT(tables_[s].prepare(begin, end));
    }
  }

  Forward& forward_;
  Cache cache_;
  std::vector<SequenceCache> tables_;
  std::vector<const SequenceCache*> sequences_;
};

}  // namespace sw::testing
