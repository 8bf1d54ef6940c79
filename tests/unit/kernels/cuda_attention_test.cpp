// SPDX-License-Identifier: MIT
// The GPU's attention against the reference: the residual that it adds to and the cache that it appends to.
#include <cmath>
#include <gtest/gtest.h>

#include "unit/kernels/attention_case.h"
#include "unit/kernels/gpu.h"

namespace sw {
namespace {

using namespace testing;

struct Result {
  std::vector<float> x;
  std::vector<std::byte> cache;
};

Result run_reference(const AttentionCase& c) {
  Result r{c.x, c.cache};
  const std::vector<const int32_t*> tables = c.tables();
  const TokenBatch batch{.n_token = c.n_token(),
                         .pos = c.pos.data(),
                         .seq = c.seq.data(),
                         .block_tables = tables.data(),
                         .rope_cos = c.rope_cos.data(),
                         .rope_sin = c.rope_sin.data()};
  ThreadPool pool(1);
  Scratch none;
  OpCounters counters;
  OpContext context{pool, none, counters, choose_vector(Isa::Scalar), {}};
  bind_op(c.desc, {.limit = Isa::Scalar, .references = true})(
      {.batch = batch, .kv = c.kv_at(r.cache.data()), .x = {r.x.data(), c.n_token(), AttentionCase::kEmbd}},
      context);
  return r;
}

AttentionDesc put_desc(Gpu& gpu, const AttentionDesc& host) {
  AttentionDesc desc = host;
  desc.norm = gpu.put(host.norm, host.qkv.n_in());
  desc.qkv = gpu.put(host.qkv);
  desc.qkv_bias = gpu.put(host.qkv_bias, host.qkv.n_out());
  desc.q_norm = gpu.put(host.q_norm, host.head_dim);
  desc.k_norm = gpu.put(host.k_norm, host.head_dim);
  desc.out = gpu.put(host.out);
  return desc;
}

Result run_on_gpu(Gpu& gpu, const AttentionCase& c) {
  std::vector<const int32_t*> tables;
  for (const std::vector<int32_t>& pages : c.block_tables) tables.push_back(gpu.put(pages));
  const TokenBatch batch{.n_token = c.n_token(),
                         .pos = gpu.put(c.pos),
                         .seq = gpu.put(c.seq),
                         .block_tables = gpu.put(tables),
                         .rope_cos = gpu.put(c.rope_cos),
                         .rope_sin = gpu.put(c.rope_sin)};
  std::byte* cache = gpu.put(c.cache);
  float* x = gpu.put(c.x);
  gpu.run(bind_op(put_desc(gpu, c.desc), kOnGpu),
          {.batch = batch, .kv = c.kv_at(cache), .x = {x, c.n_token(), AttentionCase::kEmbd}}, c.n_token());
  Result r{gpu.get(x, std::ssize(c.x)), gpu.get(cache, std::ssize(c.cache))};
  gpu.clear();
  return r;
}

/// The error's share of the power, as a root; NaN must meet NaN.
double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0, power = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    const double difference = static_cast<double>(got[i]) - want[i];
    error += difference * difference;
    power += static_cast<double>(want[i]) * want[i];
  }
  return std::sqrt(error / power);
}

/// What attention added to the residual, so that the residual itself hides nothing.
std::vector<float> added(const AttentionCase& c, const Result& r) {
  std::vector<float> y = r.x;
  for (size_t i = 0; i < y.size(); ++i) y[i] -= c.x[i];
  return y;
}

void expect_like_reference(Gpu& gpu, const AttentionCase& c, double bound) {
  const Result want = run_reference(c), got = run_on_gpu(gpu, c);
  EXPECT_LE(relative_error(c.decoded(got.cache), c.decoded(want.cache)), bound);
  EXPECT_LE(relative_error(added(c, got), added(c, want)), bound);
}

/// A GPU may round activations of quantized weights to 8 bits; a cache of f16 may round the other way.
double bound_of(Type weights, Type cache) {
  if (traits(weights).quantized) return 0.02;
  return cache == Type::F32 ? 2e-5 : 3e-4;
}

/// One token and a few (split keys), and many (tiles), that begin, end and cross pages and tiles; in the
/// last, sequences change within a tile and one's tokens come in two runs.
const std::vector<std::vector<TokenRun>> kBatches = {
    {{0, 0, 1}},
    {{0, 77, 1}},
    {{0, 0, 1}, {2, 40, 1}, {1, 203, 1}},
    {{1, 0, 5}, {0, 30, 11}, {2, 99, 1}},
    {{0, 0, 130}},
    {{0, 10, 60}, {1, 300, 1}, {2, 0, 1}, {3, 63, 66}, {4, 15, 2}, {1, 301, 1}},
};

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
          expect_like_reference(gpu, {shape, weights, cache, kBatches[b], ++seed}, bound_of(weights, cache));
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
        expect_like_reference(gpu, {shape, Type::F32, cache, kBatches[b], ++seed},
                              bound_of(Type::F32, cache));
      }
    }
  }
}

TEST(CudaAttention, LongContexts) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  for (const Type cache : {Type::F16, Type::F32}) {
    const AttentionShape shape{.n_head = 4, .n_head_kv = 1, .head_dim = 32, .n_rot = 32};
    expect_like_reference(gpu, {shape, Type::F32, cache, {{0, 32767, 1}}, 1}, bound_of(Type::F32, cache));
    expect_like_reference(gpu, {shape, Type::F32, cache, {{0, 5000, 2}, {1, 2047, 1}}, 2},
                          bound_of(Type::F32, cache));
    expect_like_reference(gpu, {shape, Type::F32, cache, {{0, 2000, 130}}, 3}, bound_of(Type::F32, cache));
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
  expect_like_reference(gpu, {shape, Type::F32, Type::F32, runs, 4}, bound_of(Type::F32, Type::F32));
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
  gpu.run(bind_op(put_desc(gpu, c.desc), kOnGpu),
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
