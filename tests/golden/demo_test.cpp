// SPDX-License-Identifier: MIT
// The demo's story, here of a fixed length, judged by the f32 model.
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

#include "base/cpu.h"
#include "engine/engine.h"
#include "eval/perplexity.h"
#include "support/cache_rig.h"
#include "support/converted_file.h"
#include "support/process.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

constexpr int kStoryTokens = 200;
constexpr size_t kRepeatSpan = 20;

/// exp(mean negative log likelihood) of ids 1 .. n-1 given what stands before them.
double own_perplexity(const Model& model, const std::vector<int32_t>& ids) {
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model.moe_layers(), {}),
                       1);
  Forward forward(model, policies, {.n_thread = cpu_facts().n_core, .n_logit_row = 512});
  const auto n = static_cast<int64_t>(ids.size());
  testing::CacheRig cache(forward, Forward::cache_plan(model, n, Type::F32));
  std::vector<BatchToken> batch;
  for (int32_t i = 0; i < n; ++i) batch.push_back({ids[static_cast<size_t>(i)], i, 0, 0});
  cache.run(batch);
  std::vector<int32_t> rows(ids.size() - 1);
  std::iota(rows.begin(), rows.end(), 0);
  const TensorView<const float> logits = forward.logits(rows);
  double sum = 0;
  for (const int32_t row : rows) {
    sum += negative_log_likelihood({logits.row(row), static_cast<size_t>(logits.n_cols())},
                                   ids[static_cast<size_t>(row) + 1]);
  }
  return std::exp(sum / static_cast<double>(rows.size()));
}

bool repeats_a_span(const std::vector<int32_t>& ids) {
  std::set<std::vector<int32_t>> seen;
  for (size_t i = 0; i + kRepeatSpan <= ids.size(); ++i) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(i);
    if (!seen.insert(std::vector<int32_t>(begin, begin + kRepeatSpan)).second) return true;
  }
  return false;
}

TEST(Demo, TheStoryHoldsTogether) {
  const testing::ProcessResult r = testing::run_switchyard(
      {"run", "--chat", "-p", "Tell me a story about a fox.", "-n", std::to_string(kStoryTokens), "--seed",
       "1", "--temp", "0.8", "--top-p", "0.95", "--ignore-eos"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const Tokenizer tokenizer =
      Tokenizer::from_gguf(GgufFile(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf"));
  const std::vector<int32_t> ids = tokenizer.encode(r.out);
  EXPECT_GE(ids.size(), size_t{kStoryTokens - 10}) << r.out;
  EXPECT_FALSE(repeats_a_span(ids)) << r.out;
  SW_DATA_OR_SKIP(folder, "models/fable-ling");
  const testing::ConvertedFile f32(folder);
  const double perplexity = own_perplexity(Model(f32.path()), ids);
  RecordProperty("perplexity", std::to_string(perplexity));
  EXPECT_LE(perplexity, 60) << r.out;
}

}  // namespace
}  // namespace sw
