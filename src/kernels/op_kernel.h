// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cpu.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "kernels/vector.h"
#include "router/routing.h"
#include "tensor/view.h"

namespace sw {

/// Memory of one step, planned when a model is loaded: operations take from it and give all back when
/// they end. Taking more than was planned is our own mistake.
class Scratch {
 public:
  Scratch() = default;
  Scratch(std::byte* data, size_t size_bytes) : data_(data), size_bytes_(size_bytes) {}

  template <class T>
  T* take(int64_t n) {
    const size_t bytes = padded_bytes(static_cast<size_t>(n) * sizeof(T));
    SW_ASSERT(used_bytes_ + bytes <= size_bytes_);
    T* p = reinterpret_cast<T*>(data_ + used_bytes_);
    used_bytes_ += bytes;
    return p;
  }
  /// As ScratchCount's, with memory.
  template <class T>
  void operator()(T*& p, int64_t n) {
    p = take<T>(n);
  }
  void reset() { used_bytes_ = 0; }
  /// What one take() of `bytes` uses.
  static constexpr size_t padded_bytes(size_t bytes) { return (bytes + 63) / 64 * 64; }

 private:
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0, used_bytes_ = 0;
};

/// Adds up what would be taken. The memory of an operation is stated once, in the constructor of a struct
/// Buffers(desc, n_token, n_thread, take) that calls take(pointer, n) for each array of n elements: with this
/// it counts, with a Scratch it takes.
struct ScratchCount {
  size_t size_bytes = 0;

  template <class T>
  void operator()(T*&, int64_t n) {
    size_bytes += Scratch::padded_bytes(static_cast<size_t>(n) * sizeof(T));
  }
};

/// OpKernel::scratch_bytes from Buffers.
template <class Buffers, class Desc>
size_t scratch_of(const Desc& desc, int64_t n_token, int n_thread) {
  ScratchCount count;
  Buffers(desc, n_token, n_thread, count);
  return count.size_bytes;
}

/// A matrix of f32 for Buffers.
template <class Take>
TensorView<float> take_rows(Take& take, int64_t n_rows, int64_t n_cols) {
  float* data = nullptr;
  take(data, n_rows * n_cols);
  return {data, n_rows, n_cols};
}

/// What a step really spent on weights: counted a call, not an element. Skipped experts cost nothing. Which
/// experts a GPU read is known on that GPU alone: work there adds nothing to expert_bytes and expert_flops.
struct OpCounters {
  uint64_t expert_bytes = 0;  ///< stored bytes of the expert matrices read
  uint64_t expert_flops = 0;  ///< 2 * multiply-adds in expert matrices
  uint64_t dense_bytes = 0;   ///< every other weight
  uint64_t dense_flops = 0;

  OpCounters& operator+=(const OpCounters& o) {
    expert_bytes += o.expert_bytes;
    expert_flops += o.expert_flops;
    dense_bytes += o.dense_bytes;
    dense_flops += o.dense_flops;
    return *this;
  }
  /// What was spent since `before`.
  friend OpCounters operator-(OpCounters after, const OpCounters& before) {
    after.expert_bytes -= before.expert_bytes;
    after.expert_flops -= before.expert_flops;
    after.dense_bytes -= before.dense_bytes;
    after.dense_flops -= before.dense_flops;
    return after;
  }
};

/// What runs an operation. A fake device is of the kind Cpu.
enum class DeviceKind : uint8_t { Cpu, Cuda };

namespace cuda {
class Queue;  // kernels/cuda/queue.h
}

/// What every operation runs with. A CUDA operation is queued on `cuda` and takes device memory from
/// `scratch`; it uses none of the rest but the counters.
struct OpContext {
  ThreadPool& pool;
  Scratch& scratch;
  OpCounters& counters;
  const VectorKernel& vector;
  std::span<RouteScratch> route_scratch;  ///< one per thread
  cuda::Queue* cuda = nullptr;
};

/// What belongs to the description of an operation: its Args, its name and its kernels. Made from ops.inc.
template <class Desc>
struct OpTraits;

/// One implementation of a coarse operation. Desc holds shapes and bound weights, Args one call's data.
template <class Desc>
struct OpKernel {
  using Args = typename OpTraits<Desc>::Args;

  const char* name = nullptr;
  Isa isa = Isa::Scalar;
  /// Null where it can run this, else why not.
  const char* (*refuses)(const Desc&) = [](const Desc&) -> const char* { return nullptr; };
  size_t (*scratch_bytes)(const Desc&, int64_t n_token, int n_thread) = [](const Desc&, int64_t, int) {
    return size_t{0};
  };
  void (*run)(const Desc&, const Args&, OpContext&) = nullptr;
  DeviceKind device = DeviceKind::Cpu;
};

/// An operation with its implementation, chosen when the model was loaded.
template <class Desc>
struct BoundOp {
  using Args = typename OpTraits<Desc>::Args;

  Desc desc = {};
  const OpKernel<Desc>* kernel = nullptr;

  size_t scratch_bytes(int64_t n_token, int n_thread) const {
    return kernel->scratch_bytes(desc, n_token, n_thread);
  }
  void operator()(const Args& args, OpContext& context) const {
    context.scratch.reset();
    kernel->run(desc, args, context);
  }
};

}  // namespace sw
