// SPDX-License-Identifier: MIT
// The GPU's latent attention against the reference: the residual that it adds to and the cache that it
// appends to.
#include <gtest/gtest.h>

#include "unit/kernels/mla_case.h"

namespace sw {
namespace {

using namespace testing;

TEST(CudaMla, EveryFormatAndBatch) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  uint64_t seed = 0;
  for (const Type weights :
       {Type::F32, Type::F16, Type::BF16, Type::Q8_0, Type::Q4_0, Type::Q4_K, Type::Q6_K}) {
    for (const Type cache : {Type::F16, Type::F32}) {
      for (size_t b = 0; b < kBatches.size(); ++b) {
        SCOPED_TRACE(std::string(type_name(weights)) + ", cache " + type_name(cache) + ", batch " +
                     std::to_string(b));
        // Rows of every matrix are whole blocks, of 256 in some formats.
        const MlaShape shape = traits(weights).block_elems == 256
                                   ? MlaShape{.n_head = 2, .nope_dim = 256, .value_dim = 128, .kv_rank = 256}
                                   : MlaShape{.q_rank = 96, .neighbours = true};
        expect_like_reference<MlaCase>(gpu, {shape, weights, cache, kBatches[b], ++seed},
                                       bound_of(weights, cache));
      }
    }
  }
}

/// Few heads and more than a block takes, narrow and wide latents, and the widths of DeepSeek-V3.
TEST(CudaMla, EveryShape) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  const MlaShape shapes[] = {
      {.n_head = 4, .nope_dim = 16, .n_rot = 8, .value_dim = 16, .kv_rank = 16, .q_rank = 32},
      {.n_head = 1, .nope_dim = 8, .n_rot = 8, .value_dim = 8, .kv_rank = 8, .neighbours = true},
      {.n_head = 16, .nope_dim = 24, .n_rot = 16, .value_dim = 40, .kv_rank = 72},
      {.n_head = 21, .nope_dim = 40, .n_rot = 64, .value_dim = 24, .kv_rank = 264, .q_rank = 50},
      {.n_head = 18, .nope_dim = 128, .n_rot = 64, .value_dim = 128, .kv_rank = 512, .neighbours = true},
  };
  uint64_t seed = 100;
  for (const MlaShape& shape : shapes) {
    for (size_t b = 0; b < kBatches.size(); ++b) {
      const Type cache = (static_cast<size_t>(&shape - shapes) + b) % 2 == 0 ? Type::F16 : Type::F32;
      SCOPED_TRACE(std::to_string(shape.n_head) + " heads, latents of " + std::to_string(shape.kv_rank) +
                   ", batch " + std::to_string(b));
      expect_like_reference<MlaCase>(gpu, {shape, Type::F32, cache, kBatches[b], ++seed},
                                     bound_of(Type::F32, cache));
    }
  }
}

/// Splits of a long context, and more tokens than are attended at once.
TEST(CudaMla, LongContextsAndLargeBatches) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  const MlaShape shape{.n_head = 2, .nope_dim = 16, .n_rot = 8, .value_dim = 16, .kv_rank = 32};
  uint64_t seed = 200;
  for (const std::vector<TokenRun>& runs :
       std::vector<std::vector<TokenRun>>{{{0, 8191, 1}},
                                          {{0, 3000, 2}, {1, 1023, 1}},
                                          {{0, 300, 300}},
                                          {{0, 0, 200}, {1, 7, 60}, {2, 90, 260}}})
    expect_like_reference<MlaCase>(gpu, {shape, Type::F32, Type::F32, runs, ++seed},
                                   bound_of(Type::F32, Type::F32));
}

TEST(CudaMla, SameInputSameBits) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  for (const std::vector<TokenRun>& runs : kBatches) {
    const MlaCase c({}, Type::F32, Type::F16, runs, 5);
    const Result first = run_on_gpu(gpu, c), second = run_on_gpu(gpu, c);
    EXPECT_EQ(first.x, second.x);
    EXPECT_EQ(first.cache, second.cache);
  }
}

TEST(CudaMla, NoTokens) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  const MlaCase c({}, Type::F32, Type::F16, {{0, 0, 1}}, 7);
  gpu.run(bind_op(gpu.put_weights(c.desc), kOnGpu),
          {.batch = {}, .kv = c.kv_at(gpu.put(c.cache)), .x = {gpu.put(c.x), 0, CachedCase::kEmbd}}, 0);
}

#ifdef SWITCHYARD_CUDA
TEST(CudaMlaBinding, RefusesWhatItCannotDo) {
  for (const MlaShape& shape : {MlaShape{.kv_rank = 520}, MlaShape{.n_rot = 72}, MlaShape{.nope_dim = 12},
                                MlaShape{.value_dim = 20}}) {
    const MlaCase c(shape, Type::F32, Type::F16, {{0, 0, 1}}, 8);
    EXPECT_THROW(bind_op(c.desc, kOnGpu), Error);
  }
}
#endif

}  // namespace
}  // namespace sw
