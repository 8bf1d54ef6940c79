// SPDX-License-Identifier: MIT
// The GPU's attention against the reference: the residual that it adds to and the cache that it appends to.
#include <gtest/gtest.h>

#include "unit/kernels/attention_case.h"

namespace sw {
namespace {

using namespace testing;

TEST(CudaAttention, EveryFormatAndBatch) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 0;
  for (const Type weights :
       {Type::F32, Type::F16, Type::BF16, Type::Q8_0, Type::Q4_0, Type::Q4_K, Type::Q5_K, Type::Q6_K}) {
    for (const Type cache : {Type::F16, Type::F32}) {
      for (size_t b = 0; b < kBatches.size(); ++b) {
        for (const bool extras : {false, true}) {
          SCOPED_TRACE(std::string(type_name(weights)) + ", cache " + type_name(cache) + ", batch " +
                       std::to_string(b) + (extras ? ", extras" : ""));
          const AttentionShape shape{
              .n_rot = extras ? 32 : 64, .neighbours = extras, .bias = extras, .qk_norm = extras};
          const AttentionCase c(shape, weights, cache, kBatches[b], ++seed);
          expect_like_reference(gpu, c, bound_of(weights, cache),
                                traits(weights).quantized && c.n_token() <= 8);
        }
      }
    }
  }
}

TEST(CudaAttention, EveryShape) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  const AttentionShape shapes[] = {
      {.n_head = 16, .n_head_kv = 4, .head_dim = 128, .n_rot = 64, .qk_norm = true},
      {.n_head = 32, .n_head_kv = 1, .head_dim = 16, .n_rot = 16, .neighbours = true},
      {.n_head = 32, .n_head_kv = 1, .head_dim = 256, .n_rot = 256},
      {.n_head = 2, .n_head_kv = 2, .head_dim = 256, .n_rot = 64, .bias = true},
      {.n_head = 4, .n_head_kv = 4, .head_dim = 72, .n_rot = 24, .bias = true, .qk_norm = true},
      {.n_head = 6, .n_head_kv = 2, .head_dim = 80, .n_rot = 80, .neighbours = true, .qk_norm = true},
      {.n_head = 10, .n_head_kv = 2, .head_dim = 200, .n_rot = 100},
      {.n_head = 7, .n_head_kv = 1, .head_dim = 24, .n_rot = 0, .bias = true},
      {.n_head = 1, .n_head_kv = 1, .head_dim = 136, .n_rot = 2},
  };
  uint64_t seed = 100;
  for (const AttentionShape& shape : shapes) {
    for (const Type cache : {Type::F16, Type::F32}) {
      for (size_t b = 0; b < kBatches.size(); ++b) {
        SCOPED_TRACE(std::to_string(shape.n_head) + " heads of " + std::to_string(shape.head_dim) +
                     ", cache " + type_name(cache) + ", batch " + std::to_string(b));
        expect_like_reference<AttentionCase>(gpu, {shape, Type::F32, cache, kBatches[b], ++seed},
                                             bound_of(Type::F32, cache));
      }
    }
  }
}

/// What single families have, each alone and all at once. Pages behind a window are gone.
TEST(CudaAttention, WhatFamiliesAdd) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  const AttentionShape shapes[] = {
      {.apart = true},
      {.bias = true, .apart = true},
      {.qk_norm = true, .apart = true},
      {.n_head = 6, .bias = true, .qk_norm = true, .apart = true, .all_heads = true},
      {.qk_norm = true, .all_heads = true},
      {.sinks = true},
      {.n_head = 2, .n_head_kv = 2, .head_dim = 16, .n_rot = 16, .window = 1, .sinks = true},
      {.n_head = 8, .n_head_kv = 1, .window = 5},
      {.n_head = 3, .n_head_kv = 1, .head_dim = 72, .window = 16},
      {.n_head_kv = 4, .head_dim = 136, .window = 17},
      {.window = 33, .sinks = true},
      {.window = 64},
      {.n_head = 5,
       .n_head_kv = 1,
       .head_dim = 256,
       .bias = true,
       .apart = true,
       .window = 100,
       .sinks = true},
      {.window = 1000, .sinks = true},
  };
  uint64_t seed = 300;
  for (const AttentionShape& shape : shapes) {
    const auto index = static_cast<size_t>(&shape - shapes);
    for (const Type weights : {Type::F32, Type::Q8_0}) {
      if (weights == Type::Q8_0 && !shape.apart) continue;
      for (size_t b = 0; b < kBatches.size(); ++b) {
        const Type cache = (index + b) % 2 == 0 ? Type::F16 : Type::F32;
        SCOPED_TRACE("shape " + std::to_string(index) + ", " + type_name(weights) + ", batch " +
                     std::to_string(b));
        expect_like_reference<AttentionCase>(gpu, {shape, weights, cache, kBatches[b], ++seed},
                                             bound_of(weights, cache));
      }
    }
  }
}

/// More units of keys than splits, fewer, and none behind the window; sinks that take all and nothing.
TEST(CudaAttention, WindowsAndSinksOverLongContexts) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 400;
  for (const int window : {1, 128, 500, 4000}) {
    for (const std::vector<TokenRun>& runs : std::vector<std::vector<TokenRun>>{
             {{0, 6001, 1}}, {{0, 5000, 2}, {1, 2047, 1}}, {{0, 2000, 130}}, {{0, 3000, 70}, {1, 3, 70}}}) {
      SCOPED_TRACE("window " + std::to_string(window) + ", from " + std::to_string(runs[0].first_pos));
      AttentionCase c(
          {.n_head = 4, .n_head_kv = 1, .head_dim = 32, .n_rot = 32, .window = window, .sinks = true},
          Type::F32, Type::F32, runs, ++seed);
      const float sinks[] = {-200.0f, 0.5f, 6.0f, 40.0f};
      c.desc.sinks = {sinks, std::ssize(sinks)};
      expect_like_reference(gpu, c, bound_of(Type::F32, Type::F32));
    }
  }
}

TEST(CudaAttention, LongContexts) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  for (const Type cache : {Type::F16, Type::F32}) {
    const AttentionShape shape{.n_head = 4, .n_head_kv = 1, .head_dim = 32, .n_rot = 32};
    expect_like_reference<AttentionCase>(gpu, {shape, Type::F32, cache, {{0, 32767, 1}}, 1},
                                         bound_of(Type::F32, cache));
    expect_like_reference<AttentionCase>(gpu, {shape, Type::F32, cache, {{0, 5000, 2}, {1, 2047, 1}}, 2},
                                         bound_of(Type::F32, cache));
    expect_like_reference<AttentionCase>(gpu, {shape, Type::F32, cache, {{0, 2000, 130}}, 3},
                                         bound_of(Type::F32, cache));
  }
}

/// As many tokens as a u-batch may have: the grid holds them, and the first and last are right.
TEST(CudaAttention, TheLargestBatch) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  constexpr int32_t kToken = 16384, kLength = 64;
  std::vector<TokenRun> runs;
  for (int32_t s = 0; s < kToken / kLength; ++s) runs.push_back({s, 0, kLength});
  const AttentionShape shape{.n_head = 2, .n_head_kv = 1, .head_dim = 16, .n_rot = 16};
  expect_like_reference<AttentionCase>(gpu, {shape, Type::F32, Type::F32, runs, 4},
                                       bound_of(Type::F32, Type::F32));
}

TEST(CudaAttention, SameInputSameBits) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  for (const std::vector<TokenRun>& runs : kBatches) {
    const AttentionCase c({.n_head = 8, .n_head_kv = 2}, Type::F32, Type::F16, runs, 5);
    const Result first = run_on_gpu(gpu, c), second = run_on_gpu(gpu, c);
    EXPECT_EQ(first.x, second.x);
    EXPECT_EQ(first.cache, second.cache);
  }
}

/// A sequence whose hidden state is NaN leaves the others of its tile alone.
TEST(CudaAttention, NanStaysInItsSequence) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  AttentionCase c({}, Type::F32, Type::F16, kBatches.back(), 6);
  const Result healthy = run_on_gpu(gpu, c);
  for (int64_t t = 0; t < c.n_token(); ++t) {
    if (c.seq[static_cast<size_t>(t)] == 1)
      std::fill_n(c.x.begin() + t * AttentionCase::kEmbd, AttentionCase::kEmbd, std::nanf(""));
  }
  const Result hit = run_on_gpu(gpu, c);
  for (size_t i = 0; i < c.x.size(); ++i) {
    if (c.seq[i / AttentionCase::kEmbd] == 1) {
      ASSERT_TRUE(std::isnan(hit.x[i]));
    } else {
      ASSERT_EQ(hit.x[i], healthy.x[i]);
    }
  }
}

TEST(CudaAttention, NoTokens) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  AttentionCase c({}, Type::F32, Type::F16, {{0, 0, 1}}, 7);
  gpu.run(bind_op(gpu.put_weights(c.desc), kOnGpu),
          {.batch = {}, .kv = c.kv_at(gpu.put(c.cache)), .x = {gpu.put(c.x), 0, AttentionCase::kEmbd}}, 0);
}

#ifdef SWITCHYARD_CUDA
TEST(CudaAttentionBinding, RefusesWhatItCannotDo) {
  const auto refused = [](const AttentionShape& shape, int value_dim) {
    AttentionCase c(shape, Type::F32, Type::F16, {{0, 0, 1}}, 8);
    c.desc.value_dim = value_dim;
    EXPECT_THROW(bind_op(c.desc, kOnGpu), Error);
  };
  refused({}, 32);
  refused({.head_dim = 264}, 264);
  refused({.head_dim = 68}, 68);
  refused({.n_head = 33, .n_head_kv = 1, .head_dim = 16, .n_rot = 16}, 16);
}
#endif

}  // namespace
}  // namespace sw
