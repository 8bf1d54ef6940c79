// SPDX-License-Identifier: MIT
#pragma once
// Ling against the outputs of its original Python: what the tests of each device share.
#include <algorithm>
#include <gtest/gtest.h>
#include <memory>

#include "engine/engine.h"
#include "eval/trace.h"
#include "formats/safetensors.h"
#include "support/closeness.h"
#include "support/converted_file.h"

namespace sw {

inline constexpr int64_t kAll = 512;

/// A golden model converted to f32, and what it should give.
struct Golden {
  explicit Golden(const std::filesystem::path& folder)
      : file(folder), expected(folder / "golden.safetensors"), model(std::make_unique<Model>(file.path())) {}
  std::vector<int32_t> ints(const std::string& name) const {
    return Safetensors::to_i32(expected.require(name));
  }
  std::vector<float> floats(const std::string& name) const {
    return Safetensors::to_f32(expected.require(name));
  }

  testing::ConvertedFile file;
  Safetensors expected;
  std::unique_ptr<Model> model;
};

/// What the model makes of `ids` with a policy.
inline Safetensors trace_ids(const Golden& golden, const std::vector<int32_t>& ids,
                             const ForwardOptions& options, const RoutingPolicy& policy = {}) {
  const Model& model = *golden.model;
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer,
                       experts_needed(model.moe_layers(), policy), 2);
  const uint16_t id = policies.resolve(policy, Phase::Prefill);
  Forward forward(model, policies, options);
  const std::filesystem::path out = golden.file.folder() / "trace.safetensors";
  write_trace(forward, model, ids, {.hidden = true, .policy = id}, out);
  return Safetensors(out);
}

inline Safetensors trace(const Golden& golden, const std::string& sequence, const ForwardOptions& options) {
  return trace_ids(golden, golden.ints(sequence + ".ids"), options);
}

inline void expect_same_experts(std::vector<int32_t> got, std::vector<int32_t> expected, size_t k,
                                const std::string& name) {
  ASSERT_EQ(got.size(), expected.size()) << name;
  for (size_t row = 0; row < got.size(); row += k) {
    std::sort(&got[row], &got[row] + k);
    std::sort(&expected[row], &expected[row] + k);
  }
  EXPECT_EQ(got, expected) << name;
}

/// How far a device may be from the Python. Ids are equal in any case.
struct Tolerance {
  float logits = 1e-4f;
  float weights = 1e-5f;  ///< times the router's scale
  float states = 2e-4f;   ///< hidden states and router logits, beside 1e-5 of the value
};

inline constexpr Tolerance kGpuTolerance{.logits = 1e-3f, .weights = 1e-4f, .states = 1e-3f};

/// Every key of the golden sequence against the trace.
inline void expect_golden(const Golden& golden, const std::string& sequence, const ForwardOptions& options,
                          const Tolerance& tolerance = {}) {
  const Safetensors got = trace(golden, sequence, options);
  const float scale = golden.model->hparams().moe.weights_scale;
  int n_compared = 0;
  for (const auto& named : golden.expected.tensors()) {
    const std::string& name = named.first;
    const StTensor& tensor = named.second;
    if (!name.starts_with(sequence + ".") || name.ends_with(".ids") ||
        name.find(".mtp.") != std::string::npos)
      continue;
    const std::string key = name.substr(sequence.size() + 1);
    const StTensor& ours = got.require(key);
    const auto error = [&](double relative = 0) {
      return testing::largest_error(Safetensors::to_f32(ours), Safetensors::to_f32(tensor), relative);
    };
    EXPECT_EQ(ours.shape, tensor.shape) << name;
    ++n_compared;
    if (key.ends_with("topk_ids")) {
      expect_same_experts(Safetensors::to_i32(ours), Safetensors::to_i32(tensor),
                          static_cast<size_t>(tensor.shape[1]), name);
    } else if (key.ends_with("topk_weights")) {
      EXPECT_LE(error(), tolerance.weights * scale) << name;
    } else if (key == "logits") {
      EXPECT_LE(error(), tolerance.logits) << name;
    } else {
      EXPECT_LE(error(1e-5), tolerance.states) << name;
    }
  }
  // Logits and their input, a hidden state per block, and what each router said: its logits only in the first
  // set of models.
  const bool has_router_logits = std::ranges::any_of(
      golden.expected.tensors(), [](const auto& named) { return named.first.ends_with("router_logits"); });
  EXPECT_EQ(n_compared, 2 + golden.model->hparams().n_run_block() +
                            (has_router_logits ? 3 : 2) * std::ssize(golden.model->moe_layers()));
}

/// What the model goes on with at temperature 0, as many tokens as the Python did.
inline std::vector<int32_t> greedy(const Golden& golden, const ForwardOptions& options) {
  Engine engine(*golden.model, {.forward = options, .cache_type = Type::F32});
  SequenceRequest request{.prompt = golden.ints("greedy.prompt"),
                          .n_predict = std::ssize(golden.ints("greedy.ids"))};
  request.sampler.temperature = 0;
  engine.submit(std::move(request));
  std::vector<int32_t> got;
  while (!engine.idle()) {
    for (const StepEvent& event : engine.step()) got.push_back(event.token);
  }
  return got;
}

}  // namespace sw
