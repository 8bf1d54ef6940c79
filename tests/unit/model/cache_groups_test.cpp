// SPDX-License-Identifier: MIT
#include "model/cache_groups.h"

#include <gtest/gtest.h>

#include "support/refusal.h"

namespace sw {
namespace {

using testing::expect_refused;

CacheGroup heads_of(int head_dim) { return {.n_head_kv = 2, .head_dim = head_dim, .blocks = {0}}; }

CacheGroup latents_of(int width) {
  return {.kind = CacheKind::Latent, .n_head_kv = 1, .head_dim = width, .blocks = {0}};
}

TEST(PlanCache, RefusesRowsThatATypeCannotHold) {
  const auto plan = [](CacheGroup group, CacheType type) {
    return [=] { plan_cache({group}, {.n_token = 64, .type = type}); };
  };
  expect_refused(
      plan(heads_of(80), Type::Q8_0),
      "the KV cache cannot keep the model's keys in q8_0: -ctk: expected rows of a multiple of 32, got "
      "rows of 80 (these can: f32, f16, bf16)");
  expect_refused(plan(heads_of(80), {Type::F16, Type::IQ4_NL}),
                 "the model's values in iq4_nl: -ctv: expected rows of a multiple of 32, got rows of 80");
  expect_refused(plan(latents_of(40), Type::Q4_0),
                 "the model's latents in q4_0: -ctk: expected rows of a multiple of 32, got rows of 40");
  expect_refused(plan(heads_of(256), Type::Q4_K),
                 "the model's keys in q4_k: -ctk (these can: f32, f16, bf16, q8_0");
  for (const Type type : kCacheTypes) plan(heads_of(64), type)();
  for (const Type type : {Type::F32, Type::F16, Type::BF16}) plan(heads_of(21), type)();
}

TEST(PlanCache, ValuesThatAreNotThereHaveTheTypeOfKeys) {
  const CacheType mixed{Type::Q8_0, Type::Q4_0};
  EXPECT_EQ(plan_cache({latents_of(64)}, {.n_token = 64, .type = mixed}).type, CacheType(Type::Q8_0));
  EXPECT_EQ(plan_cache({heads_of(64)}, {.n_token = 64, .type = mixed}).type, mixed);
  // What no value must fit is not checked either.
  EXPECT_EQ(plan_cache({latents_of(40)}, {.n_token = 64, .type = {Type::F16, Type::Q4_0}}).type,
            CacheType(Type::F16));
}

}  // namespace
}  // namespace sw
