// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
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

/// The first GPU, and copies of host arrays on it that live as long as this.
class OnGpu {
 public:
  OnGpu() : backend_(cuda::open(0, Device{1})) {}

  Backend& backend() { return *backend_; }
  cuda::Queue& queue() { return *backend_->queue(); }

  template <class T>
  T* put(std::span<const T> values) {
    T* to = allocate<T>(std::ssize(values));
    backend_->copy_in(reinterpret_cast<std::byte*>(to), values.data(), values.size_bytes());
    backend_->wait();
    return to;
  }
  template <class T>
  T* put(const std::vector<T>& values) {
    return put(std::span<const T>(values));
  }
  /// `n` values whose every byte is 0xFF: NaN, -1.
  template <class T>
  T* poisoned(int64_t n) {
    return reinterpret_cast<T*>(
        put(std::vector<std::byte>(static_cast<size_t>(n) * sizeof(T), std::byte{0xff})));
  }
  template <class T>
  std::vector<T> get(const T* from, int64_t n) {
    std::vector<T> values(static_cast<size_t>(n));
    backend_->copy_out(values.data(), reinterpret_cast<const std::byte*>(from), values.size() * sizeof(T));
    backend_->wait();
    return values;
  }
  Linear put(Linear linear) {
    linear.weight.data = put(std::span<const std::byte>(linear.weight.data, linear.weight.size_bytes()));
    return linear;
  }

  /// Runs a CUDA operation with poisoned scratch.
  template <class Desc, class Args>
  void run(const BoundOp<Desc, Args>& op, const Args& args, int64_t n_token) {
    const size_t bytes = op.scratch_bytes(n_token, 1);
    Scratch scratch(poisoned<std::byte>(static_cast<int64_t>(bytes)), bytes);
    OpContext context{pool_, scratch, counters_, choose_vector(Isa::Scalar), {}, &queue()};
    op(args, context);
    backend_->wait();
  }
  /// Gives back all copies.
  void clear() { kept_.clear(); }

 private:
  template <class T>
  T* allocate(int64_t n) {
    const size_t bytes = std::max<size_t>(static_cast<size_t>(n) * sizeof(T), 1);
    return reinterpret_cast<T*>(kept_.emplace_back(bytes, *backend_).data());
  }

  std::unique_ptr<Backend> backend_;
  std::list<Buffer> kept_;
  ThreadPool pool_{1};
  OpCounters counters_;
};

}  // namespace sw::testing
