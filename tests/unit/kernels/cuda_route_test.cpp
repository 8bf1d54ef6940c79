// SPDX-License-Identifier: MIT
// The GPU's routing against sw::route: the very code of its kernel on the CPU, then the kernel itself.
#include <array>
#include <atomic>
#include <barrier>
#include <gtest/gtest.h>
#include <numeric>
#include <thread>

#include "kernels/cuda/route/route.h"
#include "kernels/cuda/route/route_row.h"
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
  template <class T>
  T sum(T x) const {
    return x;
  }
  uint32_t place(bool wanted, uint32_t& n) const { return wanted ? n++ : n; }
  template <class Find>
  float once(Find&& find) const {
    return find();
  }
  void count(uint64_t& counter) const { ++counter; }
  void add(double& total, double x) const { total += x; }
};

/// Lanes that are threads: they meet where a warp's lanes would.
constexpr int kLanes = 3;
struct Meeting {
  std::barrier<> barrier{kLanes};
  std::array<std::array<double, kLanes>, 2> offers = {};  // which hold any uint32_t exactly
};
struct ThreadTeam {
  Meeting* meeting;
  int index;
  mutable size_t turn = 0;  // offers are made in two arrays by turns, so that one meeting each is enough

  int lane() const { return index; }
  int size() const { return kLanes; }
  void sync() const { meeting->barrier.arrive_and_wait(); }
  uint32_t max(uint32_t x) const { return static_cast<uint32_t>(*std::ranges::max_element(offer(x))); }
  template <class T>
  T sum(T x) const {
    const auto& all = offer(x);
    return static_cast<T>(std::accumulate(all.begin(), all.end(), 0.0));
  }
  uint32_t place(bool wanted, uint32_t& n) const {
    const auto& all = offer(wanted);
    const double at = std::accumulate(all.begin(), all.begin() + index, static_cast<double>(n));
    n = static_cast<uint32_t>(std::accumulate(all.begin() + index, all.end(), at));
    return static_cast<uint32_t>(at);
  }
  template <class Find>
  float once(Find&& find) const {
    const float value = find();
    sync();
    return value;
  }
  void count(uint64_t& counter) const { std::atomic_ref(counter).fetch_add(1); }
  void add(double& total, double x) const { std::atomic_ref(total).fetch_add(x); }

 private:
  const std::array<double, kLanes>& offer(double x) const {
    auto& all = meeting->offers[++turn % 2];
    all[static_cast<size_t>(index)] = x;
    sync();
    return all;
  }
};

/// Routes rows by one lane or by lanes that are threads; memory and results start with every byte 0xFF or 77.
OwnedRouting route_by_team(const RouteCase& c, const RouteTable& t, const std::vector<float>& logits,
                           bool threads, const RouteCounts& counts = {}) {
  const auto n_row = std::ssize(t.policy_ids);
  OwnedRouting out(n_row, t.k_max);
  const int n_slot = std::min(t.k_max, c.spec.n_logits());
  const cuda::RouteShape shape(c.spec);
  std::vector<std::byte> memory(static_cast<size_t>(cuda::route_memory_bytes(shape, n_slot)));
  const auto route = [&](const auto& team) {
    for (int64_t row = 0; row < n_row; ++row) {
      team.sync();
      if (team.lane() == 0) std::ranges::fill(memory, std::byte{0xff});
      team.sync();
      const uint16_t id = t.policy_ids[static_cast<size_t>(row)];
      cuda::route_row(team, shape, t.table.at(id, RouteTable::kMoeLayer),
                      t.table.mask(id, RouteTable::kMoeLayer).data(), logits.data() + row * c.spec.n_logits(),
                      c.bias.empty() ? nullptr : c.bias.data(),
                      cuda::route_memory(memory.data(), shape, n_slot),
                      {out.view.ids.row(row), out.view.weights.row(row),
                       &out.n_active[static_cast<size_t>(row)], t.k_max},
                      counts);
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
    const OwnedCounts counts(c.spec, t.k_max);
    const OwnedRouting want = route_on_cpu(c, t, logits);
    expect_same_bits(route_by_team(c, t, logits, false, counts.view), want);
    expect_same_counts(counts.read(), stats_of(c.spec, want.view));
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
    const OwnedCounts counts(c.spec, t.k_max);
    const OwnedRouting want = route_on_cpu(c, t, logits);
    expect_same_bits(route_by_team(c, t, logits, true, counts.view), want);
    expect_same_counts(counts.read(), stats_of(c.spec, want.view));
    if (HasFatalFailure()) return;
  }
}

#ifdef SWITCHYARD_CUDA

/// The table's copy on the GPU.
PolicyRows put_table(Gpu& gpu, const PolicyTable& table) {
  return {gpu.put(table.rows()).data(), gpu.put(table.masks()).data(), table.n_moe_layer(),
          static_cast<int>(table.n_mask_words())};
}

/// A layer's counts on the GPU, zero.
struct GpuCounts {
  GpuCounts(Gpu& gpu, const RouterSpec& spec, int k_max)
      : host(spec, k_max),
        memory(gpu.put(host.memory)),
        view(counts_in(reinterpret_cast<std::byte*>(memory), spec, k_max)) {}

  LayerStats read(Gpu& gpu) {
    host.memory = gpu.get(memory, std::ssize(host.memory));
    return host.read();
  }
  OwnedCounts host;
  uint64_t* memory;
  RouteCounts view;
};

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

/// Held against sw::route, its counts too.
void compare_with_route(Gpu& gpu, const RouteCase& c, const RouteTable& t, const std::vector<float>& logits) {
  const auto n_row = std::ssize(t.policy_ids);
  GpuRouting out(gpu, n_row, t.k_max);
  GpuCounts counts(gpu, c.spec, t.k_max);
  cuda::route_rows(c.spec, put_table(gpu, t.table), RouteTable::kMoeLayer, gpu.put(t.policy_ids),
                   {gpu.put(logits), n_row, c.spec.n_logits()}, gpu.put(c.bias), out.view, counts.view,
                   gpu.queue());
  const OwnedRouting want = route_on_cpu(c, t, logits);
  expect_same_bits(out.get(gpu), want);
  expect_same_counts(counts.read(gpu), stats_of(c.spec, want.view));
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
    compare_with_route(gpu, c, t, logits);
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
    compare_with_route(gpu, c, t, logits);
  }
}

/// The whole operation: its logits near the reference's, its routing what sw::route makes of its own logits.
void compare_whole_route(int64_t n_embd, int64_t n_token, bool logit_bias) {
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
  const std::vector<float> norm = random_floats(rng, n_embd), x = random_floats(rng, n_token * n_embd);
  const std::vector<std::byte> weights = encoded_weights(rng, Type::F32, c.spec.n_logits(), n_embd);
  const Linear router{.weight = {Type::F32, {c.spec.n_logits(), n_embd}, weights.data(), {}}};

  const std::vector<float> logit_biases = random_floats(rng, c.spec.n_logits());

  RouteDesc desc{
      .norm = {norm.data(), n_embd},
      .rms_eps = 1e-6f,
      .router = router,
      .logit_bias = {logit_bias ? logit_biases.data() : nullptr, logit_bias ? c.spec.n_logits() : 0},
      .bias = {c.bias.data(), std::ssize(c.bias)},
      .spec = c.spec,
      .moe_layer = RouteTable::kMoeLayer};
  std::vector<float> normed(static_cast<size_t>(n_token * n_embd)),
      logits(static_cast<size_t>(n_token * c.spec.n_logits()));
  OwnedRouting want(n_token, t.k_max);
  ThreadPool pool(1);
  Scratch none;
  OpCounters counters;
  std::vector<RouteScratch> route_scratch(1, RouteScratch(c.spec));
  OpContext context{pool, none, counters, choose_vector(Isa::Scalar), route_scratch};
  bind_op(desc, {.limit = Isa::Scalar, .references = true})(
      {.batch = {.n_token = n_token, .policy = t.policy_ids.data()},
       .x = {x.data(), n_token, n_embd},
       .normed = {normed.data(), n_token, n_embd},
       .logits = {logits.data(), n_token, c.spec.n_logits()},
       .routing = want.view,
       .policies = t.table.view()},
      context);

  desc = gpu.put_weights(desc);
  GpuRouting got(gpu, n_token, t.k_max);
  GpuCounts counts(gpu, c.spec, t.k_max);
  const TensorView<float> got_normed(gpu.poisoned<float>(n_token * n_embd), n_token, n_embd);
  const TensorView<float> got_logits(gpu.poisoned<float>(std::ssize(logits)), n_token, c.spec.n_logits());
  gpu.run(bind_op(desc, kOnGpu),
          {.batch = {.n_token = n_token, .policy = gpu.put(t.policy_ids)},
           .x = {gpu.put(x), n_token, n_embd},
           .normed = got_normed,
           .logits = got_logits,
           .routing = got.view,
           .policies = put_table(gpu, t.table),
           .counts = counts.view},
          n_token);
  const std::vector<float> its_logits = gpu.get(got_logits.data(), std::ssize(logits));
  for (size_t i = 0; i < logits.size(); ++i)
    ASSERT_NEAR(its_logits[i], logits[i], std::max(1e-4, 2e-7 * static_cast<double>(n_embd)));
  const OwnedRouting its_routing = route_on_cpu(c, t, its_logits);
  expect_same_bits(got.get(gpu), its_routing);
  expect_same_counts(counts.read(gpu), stats_of(c.spec, its_routing.view));
}

/// Numbers of tokens on each side of every border between kernels; widths that are ragged in quads, in chunks
/// of 32, and not at all.
TEST(CudaRoute, NormAndRouterAndRouting) {
  SW_GPU_OR_SKIP();
  for (const int64_t n_embd : {256, 260, 250, 2560}) {
    for (const int64_t n_token : {1, 2, 3, 33, 128, 129, 200}) {
      SCOPED_TRACE(::testing::Message() << n_embd << " wide, " << n_token << " tokens");
      compare_whole_route(n_embd, n_token, n_token % 2 != 0);
      if (HasFatalFailure()) return;
    }
  }
}

#endif

}  // namespace
}  // namespace sw
