// SPDX-License-Identifier: MIT
#pragma once
#include <gtest/gtest.h>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/ops.h"
#include "tensor/buffer.h"

/// Skips a test, saying why, where no GPU can be used.
#define SW_GPU_OR_SKIP()                                                              \
  do {                                                                                \
    std::string sw_why;                                                               \
    if (::sw::cuda::device_count(&sw_why) == 0) GTEST_SKIP() << "no GPU: " << sw_why; \
  } while (false)

namespace sw::testing {

inline constexpr BindOptions kOnGpu{.limit = Isa::Scalar, .device = DeviceKind::Cuda};

/// The first GPU, and copies of the host's arrays on it that live as long as this, or until clear().
class Gpu {
 public:
  Gpu() : backend_(cuda::open(0, Device{1})) {}

  Backend& backend() { return *backend_; }
  cuda::Queue& queue() { return *backend_->queue(); }

  /// `n` values of the host, on the GPU; null for null and for none.
  template <class T>
  T* put(const T* host, int64_t n) {
    if (!host || n == 0) return nullptr;
    const Buffer& buffer = kept_.emplace_back(static_cast<size_t>(n) * sizeof(T), *backend_);
    backend_->copy_in(buffer.data(), host, buffer.size_bytes());
    backend_->wait();
    return reinterpret_cast<T*>(buffer.data());
  }
  template <class T>
  T* put(const std::vector<T>& host) {
    return put(host.data(), std::ssize(host));
  }
  template <class T>
  std::span<T> put(std::span<T> host) {
    return {put(host.data(), std::ssize(host)), host.size()};
  }
  template <class T>
  TensorView<T> put(TensorView<T> host) {
    return {put(host.data(), (host.n_rows() - 1) * host.stride() + host.n_cols()), host.n_rows(),
            host.n_cols(), host.stride(), backend_->device()};
  }
  WeightView put(WeightView host) {
    host.data = put(host.data, static_cast<int64_t>(host.size_bytes()));
    host.device = backend_->device();
    return host;
  }
  Linear put(const Linear& host) { return {.weight = put(host.weight)}; }
  Values put(const Values& host) { return {put(host.data, host.n), host.n}; }
  ExpertStack put(ExpertStack host) {
    std::vector<ExpertMatrix> table(static_cast<size_t>(host.n_expert));
    if (host.even)
      host.even = put(host.even, host.n_expert * static_cast<int64_t>(host.matrix(0).size_bytes()));
    for (int32_t e = 0; e < host.n_expert; ++e) {
      if (!host.has(e)) continue;
      const std::byte* in_even = host.even + e * static_cast<int64_t>(host.matrix(e).size_bytes());
      table[static_cast<size_t>(e)] = {host.even ? in_even : put(host.matrix(e)).data, host.table[e].type};
    }
    host.table = put(table);
    host.bias = put(host.bias, host.n_expert * host.n_out);
    return host;
  }
  /// A description with its weights on the GPU.
  template <class Desc>
  Desc put_weights(Desc desc) {
    for_each_weight(desc, [&](const char*, auto& weight) { weight = put(weight); });
    return desc;
  }
  Routing put(const Routing& host) {
    return {.ids = put(host.ids), .weights = put(host.weights), .n_active = put(host.n_active)};
  }
  /// `n` values whose every byte is 0xFF: NaN, -1.
  template <class T>
  T* poisoned(int64_t n) {
    return reinterpret_cast<T*>(put(std::vector<uint8_t>(static_cast<size_t>(n) * sizeof(T), 0xff)));
  }

  template <class T>
  std::vector<T> get(const T* from, int64_t n) {
    std::vector<T> host(static_cast<size_t>(n));
    if (host.empty()) return host;
    backend_->copy_out(host.data(), reinterpret_cast<const std::byte*>(from), host.size() * sizeof(T));
    backend_->wait();
    return host;
  }
  std::vector<float> get(TensorView<const float> x) {
    return get(x.data(), (x.n_rows() - 1) * x.stride() + x.n_cols());
  }

  /// Just the scratch that an operation plans, poisoned.
  template <class Op>
  Scratch scratch(const Op& op, int64_t n_token) {
    const size_t bytes = op.scratch_bytes(n_token, 1);
    return {poisoned<std::byte>(static_cast<int64_t>(bytes)), bytes};
  }
  /// Queues an operation.
  template <class Desc>
  void run(const BoundOp<Desc>& op, const typename BoundOp<Desc>::Args& args, Scratch scratch) {
    OpContext context{pool_, scratch, counters_, choose_vector(Isa::Scalar), {}, &queue()};
    op(args, context);
  }
  template <class Desc>
  void run(const BoundOp<Desc>& op, const typename BoundOp<Desc>::Args& args, int64_t n_token) {
    run(op, args, scratch(op, n_token));
    backend_->wait();
  }
  /// Gives back all copies.
  void clear() { kept_.clear(); }

 private:
  std::unique_ptr<Backend> backend_;
  std::list<Buffer> kept_;
  ThreadPool pool_{1};
  OpCounters counters_;
};

}  // namespace sw::testing
