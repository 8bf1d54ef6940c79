// SPDX-License-Identifier: MIT
#pragma once
#include <cstring>
#include <gtest/gtest.h>
#include <list>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/ops.h"
#include "tensor/buffer.h"

namespace sw::testing {

/// A GPU and what a test keeps on it.
class Gpu {
 public:
  Gpu() : backend_(cuda::open(0, Device{1})), pool_(1) {}

  Backend& backend() { return *backend_; }

  /// `n` values of the host, on the GPU; null for null.
  template <class T>
  T* copy(const T* host, int64_t n) {
    if (!host || n == 0) return nullptr;
    const Buffer& buffer = kept_.emplace_back(static_cast<size_t>(n) * sizeof(T), *backend_);
    backend_->copy_in(buffer.data(), host, buffer.size_bytes());
    backend_->wait();
    return reinterpret_cast<T*>(buffer.data());
  }
  template <class T>
  std::span<T> copy(std::span<T> host) {
    return {copy(host.data(), std::ssize(host)), host.size()};
  }
  template <class T>
  TensorView<T> copy(TensorView<T> host) {
    return {copy(host.data(), (host.n_rows() - 1) * host.stride() + host.n_cols()), host.n_rows(),
            host.n_cols(), host.stride(), backend_->device()};
  }
  WeightView copy(WeightView host) {
    host.data = copy(host.data, static_cast<int64_t>(host.size_bytes()));
    host.device = backend_->device();
    return host;
  }
  Linear copy(const Linear& host) { return {.weight = copy(host.weight)}; }
  Routing copy(const Routing& host) {
    return {.ids = copy(host.ids), .weights = copy(host.weights), .n_active = copy(host.n_active)};
  }
  std::vector<float> fetch(TensorView<const float> x) {
    std::vector<float> host(static_cast<size_t>((x.n_rows() - 1) * x.stride() + x.n_cols()));
    backend_->copy_out(host.data(), reinterpret_cast<const std::byte*>(x.data()),
                       host.size() * sizeof(float));
    backend_->wait();
    return host;
  }

  /// Just the scratch that an operation plans, all of it NaN.
  template <class Op>
  Scratch scratch(const Op& op, int64_t n_token) {
    const std::vector<uint8_t> poison(op.scratch_bytes(n_token, 1), 0xff);
    return {reinterpret_cast<std::byte*>(copy(poison.data(), std::ssize(poison))), poison.size()};
  }
  /// Queues an operation.
  template <class Desc, class Args>
  void run(const BoundOp<Desc, Args>& op, const std::type_identity_t<Args>& args, Scratch scratch) {
    OpContext context{pool_, scratch, counters_, choose_vector(Isa::Scalar), {}, backend_->queue()};
    op(args, context);
  }
  template <class Desc, class Args>
  void run(const BoundOp<Desc, Args>& op, const std::type_identity_t<Args>& args, int64_t n_token) {
    run(op, args, scratch(op, n_token));
  }

 private:
  std::unique_ptr<Backend> backend_;
  ThreadPool pool_;
  OpCounters counters_;
  std::list<Buffer> kept_;
};

inline constexpr BindOptions kOnGpu{.limit = Isa::Scalar, .device = DeviceKind::Cuda};

}  // namespace sw::testing

/// Skips a test aloud where no GPU is.
#define SW_GPU_OR_SKIP() \
  if (std::string why; ::sw::cuda::device_count(&why) == 0) GTEST_SKIP() << "no GPU for this test: " << why
