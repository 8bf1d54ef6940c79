// SPDX-License-Identifier: MIT
// The GPU's attention over a cache in F16, where products run on the tensor cores: every kernel, every width
// that one is made for, and the borders of their tiles, splits and stretches of tokens.
#include <gtest/gtest.h>

#include "unit/kernels/attention_case.h"
#include "unit/kernels/mla_case.h"

namespace sw {
namespace {

using namespace testing;

using Runs = std::vector<TokenRun>;

const double kBound = bound_of(Type::F32, Type::F16);

void expect_attention(Gpu& gpu, const AttentionShape& shape, const Runs& runs, uint64_t seed) {
  expect_like_reference<AttentionCase>(gpu, {shape, Type::F32, Type::F16, runs, seed}, kBound);
}

/// A token that is alone: positions around units of 16 keys and splits of 256, and many splits.
TEST(CudaFlash, OneTokenAtEveryBorder) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 500;
  for (const int head_dim : {64, 128, 256}) {
    for (const int32_t pos : {0, 1, 15, 16, 17, 63, 255, 256, 511, 512, 1023, 5000, 20000}) {
      SCOPED_TRACE("heads of " + std::to_string(head_dim) + ", position " + std::to_string(pos));
      expect_attention(gpu, {.n_head = 8, .n_head_kv = 2, .head_dim = head_dim, .qk_norm = true},
                       {{0, pos, 1}}, ++seed);
    }
  }
}

/// Groups that are less than one tile of 16 heads, one and several.
TEST(CudaFlash, EveryGroup) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 600;
  for (const int group : {1, 3, 8, 15, 16, 17, 32}) {
    for (const Runs& runs : {Runs{{0, 700, 1}}, Runs{{0, 300, 1}, {1, 2, 1}}, Runs{{0, 300, 50}}}) {
      SCOPED_TRACE("group of " + std::to_string(group) + ", tokens " + std::to_string(runs[0].n));
      expect_attention(gpu, {.n_head = 2 * group, .n_head_kv = 2, .head_dim = 64}, runs, ++seed);
    }
  }
}

/// Sequences that decode stand before chunks of prompts; drafts are no chunk and not alone.
TEST(CudaFlash, DecodingBesidePrompts) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 700;
  for (const Runs& runs :
       {Runs{{3, 400, 1}, {1, 0, 1}, {0, 100, 90}}, Runs{{0, 900, 4}}, Runs{{0, 300, 1}, {1, 600, 5}},
        Runs{{0, 500, 3}, {1, 20, 3}, {2, 0, 3}}, Runs{{0, 7, 1}, {1, 9, 1}, {0, 8, 1}}}) {
    for (const int head_dim : {64, 128, 200}) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      expect_attention(gpu, {.n_head = 8, .n_head_kv = 2, .head_dim = head_dim}, runs, ++seed);
      expect_attention(gpu, {.n_head = 8, .n_head_kv = 2, .head_dim = head_dim, .window = 100, .sinks = true},
                       runs, ++seed);
    }
  }
}

/// As many sequences as fill the GPU without splits, and fewer, at very different positions.
TEST(CudaFlash, ManySequences) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 800;
  for (const int n : {5, 33, 100}) {
    Runs runs;
    for (int s = 0; s < n; ++s) runs.push_back({s, s * 37 % 1000, 1});
    expect_attention(gpu, {.n_head = 4, .n_head_kv = 2, .head_dim = 128, .qk_norm = true}, runs, ++seed);
  }
}

/// Prompts over long contexts, whose keys are split over blocks where tokens are few.
TEST(CudaFlash, LongPrompts) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 900;
  for (const int head_dim : {64, 128, 256}) {
    for (const int window : {0, 130}) {
      for (const Runs& runs :
           {Runs{{0, 5000, 40}}, Runs{{0, 0, 600}}, Runs{{0, 1000, 129}, {1, 2000, 127}}}) {
        SCOPED_TRACE("heads of " + std::to_string(head_dim) + ", window " + std::to_string(window));
        expect_attention(gpu, {.n_head = 4, .n_head_kv = 1, .head_dim = head_dim, .window = window}, runs,
                         ++seed);
      }
    }
  }
}

/// Merging leaves its counters at zero: the second run of a case gives the bits of the first.
TEST(CudaFlash, SameInputSameBits) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  for (const Runs& runs :
       {Runs{{0, 9000, 1}}, Runs{{0, 3000, 1}, {1, 2000, 1}}, Runs{{0, 4000, 6}}, Runs{{0, 100, 300}}}) {
    const AttentionCase c({.n_head = 8, .n_head_kv = 2, .head_dim = 128}, Type::F32, Type::F16, runs, 5);
    const Result first = run_on_gpu(gpu, c), second = run_on_gpu(gpu, c);
    EXPECT_EQ(first.x, second.x);
    EXPECT_EQ(first.cache, second.cache);
  }
}

/// Few heads, a tile of them, several; tokens alone, in prompts, and both.
TEST(CudaFlash, Latents) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 1000;
  for (const int n_head : {3, 16, 40, 70}) {
    for (const Runs& runs : {Runs{{0, 3000, 1}}, Runs{{0, 65, 1}, {1, 700, 1}, {2, 0, 1}},
                             Runs{{0, 500, 100}}, Runs{{0, 90, 1}, {1, 10, 20}, {2, 300, 3}}}) {
      for (const int kv_rank : {72, 512}) {
        SCOPED_TRACE(std::to_string(n_head) + " heads, latents of " + std::to_string(kv_rank));
        const MlaShape shape{
            .n_head = n_head, .nope_dim = 32, .n_rot = 64, .value_dim = 16, .kv_rank = kv_rank};
        expect_like_reference<MlaCase>(gpu, {shape, Type::F32, Type::F16, runs, ++seed}, kBound);
      }
    }
  }
}

}  // namespace
}  // namespace sw
