// SPDX-License-Identifier: MIT
#include <array>
#include <set>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/profile.h"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kAddThreads = 256;

__global__ void add_kernel(float* x, const float* y, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kAddThreads + threadIdx.x;
  if (i < n) x[i] += y[i];
}

/// 13020 -> "13.2"
std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string why_no_gpu(cudaError_t status) {
  if (status == cudaSuccess || status == cudaErrorNoDevice) return "no NVIDIA GPU";
  if (status != cudaErrorInsufficientDriver) return cudaGetErrorString(status);
  int have = 0;
  (void)cudaDriverGetVersion(&have);
  if (have == 0) return "no NVIDIA driver";
  constexpr int kNeeded = CUDART_VERSION / 1000 * 1000;  // a driver serves every minor version of its major
  return "the driver is too old: needs " + version(kNeeded) + ", have " + version(have);
}

uint64_t mib(uint64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

DeviceInfo info_of(int gpu) {
  cudaDeviceProp properties;
  SW_CUDA(cudaGetDeviceProperties(&properties, gpu));
  return {.kind = DeviceKind::Cuda,
          .name = "CUDA" + std::to_string(gpu),
          .description = std::string(properties.name) + ", compute capability " +
                         std::to_string(properties.major) + "." + std::to_string(properties.minor)};
}

/// CUDA graphs of a queue's work.
class Graphs final : public Recordings {
 public:
  explicit Graphs(const Queue& queue) : queue_(queue) {}
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;
  ~Graphs() override {
    for (const cudaGraphExec_t graph : graphs_) {
      if (graph) (void)cudaGraphExecDestroy(graph);
    }
  }

  void begin() override {
    // Of this thread alone: others may load a model meanwhile.
    SW_CUDA(cudaStreamBeginCapture(queue_.stream(), cudaStreamCaptureModeThreadLocal));
  }
  void end(int number) override {
    cudaGraphExec_t& kept = graphs_.at(static_cast<size_t>(number));
    cudaGraph_t graph = nullptr;
    SW_CUDA(cudaStreamEndCapture(queue_.stream(), &graph));
    if (kept) SW_CUDA(cudaGraphExecDestroy(kept));
    kept = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&kept, graph, 0);
    (void)cudaGraphDestroy(graph);
    SW_CUDA(status);
  }
  void replay(int number) override {
    const cudaGraphExec_t graph = graphs_.at(static_cast<size_t>(number));
    SW_ASSERT(graph);
    SW_CUDA(cudaGraphLaunch(graph, queue_.stream()));
  }

 private:
  const Queue& queue_;
  std::array<cudaGraphExec_t, kMost> graphs_ = {};
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(int gpu, Device device) : Backend(info_of(gpu)), queue_(gpu), device_(device), graphs_(queue_) {
    cudaFuncAttributes attributes;
    if (cudaFuncGetAttributes(&attributes, add_kernel) != cudaSuccess) {
      (void)cudaGetLastError();
      throw SystemError({.what = "this program was not built for this GPU",
                         .where = info().name + ", " + info().description,
                         .hint = "CMAKE_CUDA_ARCHITECTURES names the GPUs of a build"});
    }
    SW_CUDA(cudaEventCreateWithFlags(&mark_, cudaEventDisableTiming));
  }
  ~CudaBackend() override {
    (void)cudaSetDevice(queue_.gpu());
    (void)cudaEventDestroy(mark_);
  }

  Device device() const override { return device_; }
  MemoryFacts memory() const override {
    SW_CUDA(cudaSetDevice(queue_.gpu()));
    size_t free = 0, total = 0;
    SW_CUDA(cudaMemGetInfo(&free, &total));
    return {free, total};
  }

  std::byte* allocate(size_t size_bytes) override {
    SW_CUDA(cudaSetDevice(queue_.gpu()));
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, size_bytes);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw SystemError({.what = "not enough memory on the GPU: needs " + std::to_string(mib(size_bytes)) +
                                 " MiB, have " + std::to_string(memory().free_bytes >> 20) + " MiB",
                         .where = info().name,
                         .hint = "fewer layers on the GPU (-ngl), a smaller context (-c) or u-batch (-ub) "
                                 "need less"});
    }
    SW_CUDA(status);
    zero(static_cast<std::byte*>(data), size_bytes);
    wait();  // whoever gets the memory may use it from any queue
    return static_cast<std::byte*>(data);
  }
  void release(std::byte* data) noexcept override {
    (void)cudaSetDevice(queue_.gpu());
    (void)cudaFree(data);
  }

  void copy_in(std::byte* to, const void* host, size_t size_bytes) override {
    SW_CUDA(cudaMemcpyAsync(to, host, size_bytes, cudaMemcpyHostToDevice, queue_.stream()));
  }
  void copy_out(void* host, const std::byte* from, size_t size_bytes) override {
    SW_CUDA(cudaMemcpyAsync(host, from, size_bytes, cudaMemcpyDeviceToHost, queue_.stream()));
  }
  void copy_from(Backend& from, std::byte* to, const std::byte* data, size_t size_bytes) override {
    if (from.info().kind == DeviceKind::Cpu) {
      from.wait_recorded();
      const Access readable(from);
      copy_in(to, data, size_bytes);
      return;
    }
    const auto& source = static_cast<const CudaBackend&>(from);
    reach(source.queue_.gpu());
    SW_CUDA(cudaStreamWaitEvent(queue_.stream(), source.mark_, 0));
    SW_CUDA(cudaMemcpyPeerAsync(to, queue_.gpu(), data, source.queue_.gpu(), size_bytes, queue_.stream()));
  }
  void zero(std::byte* data, size_t size_bytes) override {
    SW_CUDA(cudaMemsetAsync(data, 0, size_bytes, queue_.stream()));
  }
  void add(float* x, const float* y, int64_t n) override {
    if (n == 0) return;
    add_kernel<<<n_blocks(n, kAddThreads), kAddThreads, 0, queue_.stream()>>>(x, y, n);
    SW_CUDA_LAUNCHED();
  }

  void record() override { SW_CUDA(cudaEventRecord(mark_, queue_.stream())); }
  void wait_recorded() override { SW_CUDA(cudaEventSynchronize(mark_)); }
  void wait() override { SW_CUDA(cudaStreamSynchronize(queue_.stream())); }

  /// Memory that cannot be pinned is copied all the same, only not beside other work; memory that another
  /// GPU's backend has pinned is pinned for all of them.
  void pin(std::byte* host, size_t size_bytes) override {
    SW_CUDA(cudaSetDevice(queue_.gpu()));
    if (cudaHostRegister(host, size_bytes, cudaHostRegisterPortable) == cudaSuccess) {
      pinned_.insert(host);
    } else {
      (void)cudaGetLastError();
    }
  }
  void unpin(std::byte* host) override {
    if (pinned_.erase(host) == 0) return;
    SW_CUDA(cudaSetDevice(queue_.gpu()));
    SW_CUDA(cudaHostUnregister(host));
  }

  Recordings* recordings() override { return &graphs_; }
  std::unique_ptr<Timeline> make_timeline() override { return cuda::make_timeline(queue_); }
  double measure_read_limit(ThreadPool&) override { return stream_limit(queue_); }
  Queue* queue() override { return &queue_; }

 private:
  /// Lets copies from GPU `peer` go directly where the machine can; through host memory elsewhere. Only
  /// GPUs that are copied from: each takes memory on the other.
  void reach(int peer) {
    if (peer == queue_.gpu() || !reached_.insert(peer).second) return;
    SW_CUDA(cudaSetDevice(queue_.gpu()));
    int can = 0;
    SW_CUDA(cudaDeviceCanAccessPeer(&can, queue_.gpu(), peer));
    if (!can) return;
    const cudaError_t status = cudaDeviceEnablePeerAccess(peer, 0);
    if (status == cudaErrorPeerAccessAlreadyEnabled) {
      (void)cudaGetLastError();
    } else {
      SW_CUDA(status);
    }
  }

  Queue queue_;
  Device device_;
  Graphs graphs_;
  cudaEvent_t mark_ = nullptr;
  std::set<std::byte*> pinned_;
  std::set<int> reached_;
};

}  // namespace

int device_count(std::string* why) {
  int n = 0;
  const cudaError_t status = cudaGetDeviceCount(&n);
  if (status == cudaSuccess && n > 0) return n;
  (void)cudaGetLastError();
  if (why) *why = why_no_gpu(status);
  return 0;
}

std::unique_ptr<Backend> open(int index, Device device) {
  std::string why;
  const int n = device_count(&why);
  if (index < 0 || index >= n) {
    throw SystemError({.what = "no such GPU",
                       .where = "CUDA" + std::to_string(index),
                       .got = n == 0 ? why : std::to_string(n) + (n == 1 ? " GPU" : " GPUs")});
  }
  return std::make_unique<CudaBackend>(index, device);
}

}  // namespace sw::cuda
