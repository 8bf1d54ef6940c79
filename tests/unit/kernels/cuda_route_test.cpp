// SPDX-License-Identifier: MIT
// The GPU's routing against sw::route: the very code of its kernel on the processor, then the kernel itself.
#include <array>
#include <barrier>
#include <gtest/gtest.h>
#include <thread>

#include "kernels/cuda/route.h"
#include "kernels/cuda/route_row.h"
#include "unit/kernels/gpu.h"
#include "unit/kernels/random_data.h"
#include "unit/kernels/route_cases.h"

namespace sw {
namespace {

using namespace testing;

/// One lane that does it all.
struct SoloTeam {
  int lane() const { return 0; }
  int size() const { return 1; }
  void sync() const {}
  uint32_t max(uint32_t x) const { return x; }
  uint32_t min(uint32_t x) const { return x; }
};

/// Lanes that are threads: they meet where a warp's lanes would.
constexpr int kLanes = 3;
struct Meeting {
  std::barrier<> barrier{kLanes};
  std::array<uint32_t, kLanes> offers = {};
};
struct ThreadTeam {
  Meeting* meeting;
  int index;

  int lane() const { return index; }
  int size() const { return kLanes; }
  void sync() const { meeting->barrier.arrive_and_wait(); }
  uint32_t max(uint32_t x) const {
    return offer(x, [](auto& all) { return *std::ranges::max_element(all); });
  }
  uint32_t min(uint32_t x) const {
    return offer(x, [](auto& all) { return *std::ranges::min_element(all); });
  }

 private:
  template <class Choose>
  uint32_t offer(uint32_t x, Choose choose) const {
    meeting->offers[static_cast<size_t>(index)] = x;
    sync();
    const uint32_t chosen = choose(meeting->offers);
    sync();
    return chosen;
  }
};

/// Routes rows by one lane or by lanes that are threads; memory and results start with every byte 0xFF or 77.
OwnedRouting route_by_team(const RouteCase& c, const RouteTable& t, const std::vector<float>& logits,
                           bool threads) {
  const auto n_row = std::ssize(t.policy_ids);
  OwnedRouting out(n_row, t.k_max);
  const int n_slot = std::min(t.k_max, c.spec.n_logits());
  std::vector<std::byte> memory(static_cast<size_t>(cuda::route_memory_bytes(c.spec, n_slot)));
  const auto route = [&](const auto& team) {
    for (int64_t row = 0; row < n_row; ++row) {
      team.sync();
      if (team.lane() == 0) std::ranges::fill(memory, std::byte{0xff});
      team.sync();
      const uint16_t id = t.policy_ids[static_cast<size_t>(row)];
      cuda::route_row(team, c.spec, t.table.at(id, RouteTable::kMoeLayer),
                      t.table.mask(id, RouteTable::kMoeLayer).data(), logits.data() + row * c.spec.n_logits(),
                      c.bias.empty() ? nullptr : c.bias.data(),
                      cuda::route_memory(memory.data(), c.spec, n_slot),
                      {out.view.ids.row(row), out.view.weights.row(row),
                       &out.n_active[static_cast<size_t>(row)], t.k_max});
    }
  };
  if (!threads) {
    route(SoloTeam());
    return out;
  }
  Meeting meeting;
  std::vector<std::jthread> lanes;
  for (int i = 0; i < kLanes; ++i) lanes.emplace_back([&, i] { route(ThreadTeam{&meeting, i}); });
  lanes.clear();
  return out;
}

TEST(CudaRouteRow, OneLaneGivesTheBitsOfRoute) {
  constexpr int kCases = 600;
  constexpr int64_t kRows = 100;
  Rng rng(20260802);
  for (int i = 0; i < kCases; ++i) {
    SCOPED_TRACE(i);
    const RouteCase c = random_route_case(rng);
    const RouteTable t(rng, c, kRows);
    const std::vector<float> logits = random_logits(rng, kRows, c.spec.n_logits());
    expect_same_bits(route_by_team(c, t, logits, false), route_on_cpu(c, t, logits));
    if (HasFatalFailure()) return;
  }
}

TEST(CudaRouteRow, LanesThatMeetGiveTheBitsOfRoute) {
  constexpr int kCases = 300;
  constexpr int64_t kRows = 4;
  Rng rng(20260803);
  for (int i = 0; i < kCases; ++i) {
    SCOPED_TRACE(i);
    const RouteCase c = random_route_case(rng);
    const RouteTable t(rng, c, kRows);
    const std::vector<float> logits = random_logits(rng, kRows, c.spec.n_logits());
    expect_same_bits(route_by_team(c, t, logits, true), route_on_cpu(c, t, logits));
    if (HasFatalFailure()) return;
  }
}

#ifdef SWITCHYARD_CUDA

/// The table's copy on the GPU.
PolicyRows put_table(Gpu& gpu, const PolicyTable& table) {
  return {gpu.put(table.rows()).data(), gpu.put(table.masks()).data(), table.n_moe_layer(),
          static_cast<int>(table.n_mask_words())};
}

/// Results on the GPU, poisoned.
struct GpuRouting {
  GpuRouting(Gpu& gpu, int64_t n_row, int64_t k_max)
      : view{.ids = {gpu.poisoned<int32_t>(n_row * k_max), n_row, k_max},
             .weights = {gpu.poisoned<float>(n_row * k_max), n_row, k_max},
             .n_active = {gpu.poisoned<int32_t>(n_row), static_cast<size_t>(n_row)}} {}

  OwnedRouting get(Gpu& gpu) const {
    const int64_t n_row = view.n_tokens(), k_max = view.ids.n_cols();
    OwnedRouting out(n_row, static_cast<int>(k_max));
    std::ranges::copy(gpu.get(view.ids.data(), n_row * k_max), out.ids.begin());
    std::ranges::copy(gpu.get(view.weights.data(), n_row * k_max), out.weights.begin());
    std::ranges::copy(gpu.get(view.n_active.data(), n_row), out.n_active.begin());
    return out;
  }
  Routing view;
};

OwnedRouting route_on_gpu(Gpu& gpu, const RouteCase& c, const RouteTable& t,
                          const std::vector<float>& logits) {
  const auto n_row = std::ssize(t.policy_ids);
  GpuRouting out(gpu, n_row, t.k_max);
  cuda::route_rows(c.spec, put_table(gpu, t.table), RouteTable::kMoeLayer, gpu.put(t.policy_ids),
                   {gpu.put(logits), n_row, c.spec.n_logits()}, gpu.put(c.bias), out.view, gpu.queue());
  return out.get(gpu);
}

TEST(CudaRoute, AMillionRowsHaveTheBitsOfRoute) {
  SW_GPU_OR_SKIP();
  constexpr int kCases = 500;
  constexpr int64_t kRows = 2000;
  Gpu gpu;
  Rng rng(20260804);
  for (int i = 0; i < kCases; ++i) {
    SCOPED_TRACE(i);
    const RouteCase c = random_route_case(rng);
    const RouteTable t(rng, c, kRows);
    const std::vector<float> logits = random_logits(rng, kRows, c.spec.n_logits());
    expect_same_bits(route_on_gpu(gpu, c, t, logits), route_on_cpu(c, t, logits));
    if (HasFatalFailure()) return;
    gpu.clear();
  }
}

TEST(CudaRoute, TheLargestBatchWithGroupsAndNoRowAtAll) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  Rng rng(5);
  RouteCase c;
  c.spec = {.score = Score::Sigmoid, .n_expert = 256, .n_expert_used = 8, .n_group = 8, .n_group_used = 4};
  for (const int64_t n_row : {int64_t{0}, int64_t{1}, int64_t{70000}}) {
    const RouteTable t(rng, c, n_row);
    const std::vector<float> logits = random_logits(rng, n_row, c.spec.n_logits());
    expect_same_bits(route_on_gpu(gpu, c, t, logits), route_on_cpu(c, t, logits));
  }
}

/// The whole operation: its logits near the reference's, its routing what sw::route makes of its own logits.
void compare_whole_route(int64_t n_token, bool logit_bias) {
  constexpr int64_t kEmbd = 256;
  Gpu gpu;
  Rng rng(6);
  RouteCase c;
  c.spec = {.score = Score::Sigmoid,
            .n_expert = 64,
            .n_expert_used = 6,
            .n_group = 8,
            .n_group_used = 4,
            .renorm = true,
            .renorm_eps = 1e-20f};
  c.bias = random_floats(rng, c.spec.n_logits());
  const RouteTable t(rng, c, n_token);
  const std::vector<float> norm = random_floats(rng, kEmbd), x = random_floats(rng, n_token * kEmbd);
  const std::vector<std::byte> weights = encoded_weights(rng, Type::F32, c.spec.n_logits(), kEmbd);
  const Linear router{.weight = {Type::F32, {c.spec.n_logits(), kEmbd}, weights.data(), {}}};

  const std::vector<float> logit_biases = random_floats(rng, c.spec.n_logits());

  RouteDesc desc{.norm = norm.data(),
                 .rms_eps = 1e-6f,
                 .router = router,
                 .logit_bias = logit_bias ? logit_biases.data() : nullptr,
                 .bias = c.bias,
                 .spec = c.spec,
                 .moe_layer = RouteTable::kMoeLayer,
                 .policies = &t.table};
  std::vector<float> normed(static_cast<size_t>(n_token * kEmbd)),
      logits(static_cast<size_t>(n_token * c.spec.n_logits()));
  OwnedRouting want(n_token, t.k_max);
  ThreadPool pool(1);
  Scratch none;
  OpCounters counters;
  std::vector<RouteScratch> route_scratch(1, RouteScratch(c.spec));
  OpContext context{pool, none, counters, choose_vector(Isa::Scalar), route_scratch};
  bind_op(desc, {.limit = Isa::Scalar, .references = true})(
      {.batch = {.n_token = n_token, .policy = t.policy_ids.data()},
       .x = {x.data(), n_token, kEmbd},
       .normed = {normed.data(), n_token, kEmbd},
       .logits = {logits.data(), n_token, c.spec.n_logits()},
       .routing = want.view},
      context);

  desc.norm = gpu.put(norm);
  desc.router = gpu.put(router);
  desc.logit_bias = gpu.put(desc.logit_bias, c.spec.n_logits());
  desc.bias = gpu.put(desc.bias);
  desc.rows = put_table(gpu, t.table);
  GpuRouting got(gpu, n_token, t.k_max);
  const TensorView<float> got_normed(gpu.poisoned<float>(n_token * kEmbd), n_token, kEmbd);
  const TensorView<float> got_logits(gpu.poisoned<float>(std::ssize(logits)), n_token, c.spec.n_logits());
  gpu.run(bind_op(desc, kOnGpu),
          {.batch = {.n_token = n_token, .policy = gpu.put(t.policy_ids)},
           .x = {gpu.put(x), n_token, kEmbd},
           .normed = got_normed,
           .logits = got_logits,
           .routing = got.view},
          n_token);
  const std::vector<float> its_logits = gpu.get(got_logits.data(), std::ssize(logits));
  for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(its_logits[i], logits[i], 1e-4);
  expect_same_bits(got.get(gpu), route_on_cpu(c, t, its_logits));
}

TEST(CudaRoute, NormAndRouterAndRouting) {
  SW_GPU_OR_SKIP();
  for (const int64_t n_token : {1, 5, 33}) {
    for (const bool logit_bias : {false, true}) compare_whole_route(n_token, logit_bias);
  }
}

#else

TEST(CudaRoute, NeedsAGpu) { SW_GPU_OR_SKIP(); }

#endif

}  // namespace
}  // namespace sw
