// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <vector>

#include "base/rng.h"
#include "kernels/ops.h"
#include "tensor/buffer.h"

/// What tests of the coarse operations share.
namespace sw::testing {

/// Random weights and what an operation runs with.
class Rig {
 public:
  explicit Rig(int n_thread = 2) : pool(n_thread), scratch_memory(size_t{4} << 20) {
    poison_scratch(scratch_memory.size_bytes());
    for (int i = 0; i < n_thread; ++i) route_scratch.emplace_back(kMostLogits, 4);
  }
  /// With just the scratch that the operation plans, poisoned.
  template <class Desc>
  OpContext context(const BoundOp<Desc>& op, int64_t n_token) {
    poison_scratch(op.scratch_bytes(n_token, pool.size()));
    return context();
  }
  OpContext context() { return {pool, scratch, counters, choose_vector(isa_limit()), route_scratch}; }

  std::vector<float>& values(int64_t n) {
    std::vector<float>& v = kept_.emplace_back(static_cast<size_t>(n));
    for (float& x : v) x = static_cast<float>(rng.uniform() * 2 - 1);
    return v;
  }
  Values vector(int64_t n) { return {values(n).data(), n}; }
  TensorView<float> matrix(int64_t n_rows, int64_t n_cols) {
    return {values(n_rows * n_cols).data(), n_rows, n_cols};
  }
  Linear linear(Type type, const Shape& shape) {
    // Outputs of about the size of the inputs, as in a trained model: softmax must not blow up rounding.
    std::vector<float>& v = values(shape.n_elements());
    for (float& x : v) x /= std::sqrt(static_cast<float>(shape.n_cols()));
    std::vector<std::byte>& bytes =
        bytes_.emplace_back(row_bytes(type, shape.n_cols()) * static_cast<size_t>(shape.n_rows()));
    encode_rows(type, v.data(), shape.n_rows(), shape.n_cols(), bytes.data());
    return {.weight = {type, shape, bytes.data(), {}}};
  }
  /// One matrix of each expert, by way of a table; an empty view for those that are not here.
  ExpertStack stack(const std::vector<WeightView>& experts) {
    return list_experts(experts, tables_.emplace_back());
  }
  /// Experts of one format, [n_expert, n_out, n_in].
  ExpertStack experts(Type type, const Shape& shape) {
    const WeightView all = linear(type, shape).weight;
    std::vector<WeightView> each;
    for (int64_t e = 0; e < shape[0]; ++e) each.push_back(all.expert(e));
    return stack(each);
  }
  /// Of `all`, those with the ids `here`.
  ExpertStack some(const ExpertStack& all, const std::vector<int32_t>& here) {
    std::vector<WeightView> each(static_cast<size_t>(all.n_expert));
    for (const int32_t e : here) each[static_cast<size_t>(e)] = all.matrix(e);
    ExpertStack some = stack(each);
    some.bias = all.bias;
    return some;
  }

  static constexpr int kMostLogits = 64;
  Rng rng{7};
  ThreadPool pool;
  Buffer scratch_memory;
  Scratch scratch;
  OpCounters counters;
  std::vector<RouteScratch> route_scratch;

 private:
  /// Stale scratch must never reach a result.
  void poison_scratch(size_t size_bytes) {
    SW_ASSERT(size_bytes <= scratch_memory.size_bytes());
    std::fill_n(reinterpret_cast<float*>(scratch_memory.data()), scratch_memory.size_bytes() / sizeof(float),
                std::numeric_limits<float>::quiet_NaN());
    scratch = Scratch(scratch_memory.data(), size_bytes);
  }

  std::list<std::vector<float>> kept_;
  std::list<std::vector<std::byte>> bytes_;
  std::list<std::vector<ExpertMatrix>> tables_;
};

inline std::vector<float> copy(TensorView<const float> x) {
  return {x.data(), x.data() + x.n_rows() * x.n_cols()};
}

inline constexpr BindOptions kReference{.limit = Isa::Scalar, .references = true};

/// A description bound to each variant that this CPU can run and that accepts it, the reference first.
template <class Desc>
std::vector<BoundOp<Desc>> variants_of(const Desc& desc) {
  const Desc bound = bind_op(desc, {.limit = isa_limit()}).desc;  // to the best products
  std::vector<BoundOp<Desc>> all = {bind_op(desc, kReference)};
  for (const OpKernel<Desc>* kernel : OpTraits<Desc>::kernels()) {
    if (kernel->device == DeviceKind::Cpu && kernel->isa <= isa_limit() && kernel != all.front().kernel &&
        !kernel->refuses(bound))
      all.push_back({bound, kernel});
  }
  return all;
}

/// A routing with everything in it: real experts, identity experts (from n_expert on), unused slots, tokens
/// without any, tokens with identity experts alone.
struct MixedRouting {
  MixedRouting(Rng& rng, int64_t n_token, int64_t n_slot, int64_t n_expert, int64_t n_zero)
      : n_token(n_token),
        n_slot(n_slot),
        ids(static_cast<size_t>(n_token * n_slot), -1),
        n_active(static_cast<size_t>(n_token)),
        weights(ids.size(), 0.0f) {
    for (int64_t t = 0; t < n_token; ++t) {
      n_active[static_cast<size_t>(t)] = t % 9 == 3 ? 0 : static_cast<int32_t>(1 + t % n_slot);
      for (int64_t s = 0; s < n_active[static_cast<size_t>(t)]; ++s) {
        const auto at = static_cast<size_t>(t * n_slot + s);
        const bool identity = t % 9 == 5 && n_zero > 0;
        ids[at] =
            static_cast<int32_t>(identity ? n_expert + s % n_zero : (t * 3 + s * 5) % (n_expert + n_zero));
        weights[at] = static_cast<float>(rng.uniform());
      }
    }
  }
  Routing view() { return {{ids.data(), n_token, n_slot}, {weights.data(), n_token, n_slot}, n_active}; }

  int64_t n_token, n_slot;
  std::vector<int32_t> ids, n_active;
  std::vector<float> weights;
};

}  // namespace sw::testing
