// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/peer_copy.h"
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

/// CUDA graphs of the work of one queue and of those that it starts and waits for.
class Graphs final : public Recordings {
 public:
  Graphs(const Queue& queue, std::vector<const Queue*> others)
      : queue_(queue), others_(std::move(others)), begun_(queue) {
    for (const Queue* other : others_) ended_.push_back(std::make_unique<Event>(*other));
  }
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;
  ~Graphs() override {
    for (const cudaGraphExec_t graph : graphs_) {
      if (graph) (void)cudaGraphExecDestroy(graph);
    }
  }

  void begin() override {
    // Of this thread alone: others may load a model meanwhile.
    recorded_ = queue_.stream();
    SW_CUDA(cudaStreamBeginCapture(recorded_, cudaStreamCaptureModeThreadLocal));
    begun_.record(queue_);
    for (const Queue* other : others_) begun_.hold(*other);
  }
  void end(int number) override {
    cudaGraphExec_t& kept = graphs_.at(static_cast<size_t>(number));
    cudaGraph_t graph = nullptr;
    for (size_t i = 0; i < others_.size(); ++i) {
      ended_[i]->record(*others_[i]);
      ended_[i]->hold(queue_);
    }
    SW_CUDA(cudaStreamEndCapture(queue_.stream(), &graph));
    if (kept) SW_CUDA(cudaGraphExecDestroy(kept));
    kept = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&kept, graph, 0);
    (void)cudaGraphDestroy(graph);
    SW_CUDA(status);
  }
  void abandon() noexcept override {
    cudaGraph_t graph = nullptr;
    (void)cudaSetDevice(queue_.gpu());
    (void)cudaStreamEndCapture(recorded_, &graph);
    if (graph) (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();
  }
  void replay(int number) override {
    const cudaGraphExec_t graph = graphs_.at(static_cast<size_t>(number));
    SW_ASSERT(graph);
    SW_CUDA(cudaGraphLaunch(graph, queue_.stream()));
  }

 private:
  const Queue& queue_;
  std::vector<const Queue*> others_;
  cudaStream_t recorded_ = nullptr;
  Event begun_;
  std::vector<std::unique_ptr<Event>> ended_;  // of the others
  std::array<cudaGraphExec_t, kMost> graphs_ = {};
};

class EventFence final : public Fence {
 public:
  explicit EventFence(const Queue& queue) : queue_(queue), event_(queue) {}

  void set() override { event_.record(queue_); }
  void wait() override { event_.wait(); }

 private:
  const Queue& queue_;
  Event event_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(int gpu, Device device, PeerAccess peer_access)
      : Backend(info_of(gpu)),
        queue_(gpu),
        device_(device),
        peer_access_(peer_access),
        mark_(queue_),
        behind_(queue_) {
    cudaFuncAttributes attributes;
    if (cudaFuncGetAttributes(&attributes, add_kernel) != cudaSuccess) {
      (void)cudaGetLastError();
      throw SystemError({.what = "this program was not built for this GPU",
                         .where = info().name + ", " + info().description,
                         .hint = "CMAKE_CUDA_ARCHITECTURES names the GPUs of a build"});
    }
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
  void copy_from(Backend& from, std::span<const DeviceCopy> copies) override {
    if (from.info().kind == DeviceKind::Cpu) {
      from.wait_recorded();
      const Access readable(from);
      for (const DeviceCopy& copy : copies) copy_in(copy.to, copy.from, copy.size_bytes);
      return;
    }
    const auto& source = static_cast<const CudaBackend&>(from);
    const Peer& peer = peer_of(source);
    source.mark_.hold(queue_);
    if (peer.host_copies) {
      peer.host_copies->copy(copies);
    } else {
      copy_directly(queue_, copies);
    }
  }
  std::string open_way(Backend& from) override {
    return from.queue() ? peer_of(static_cast<const CudaBackend&>(from)).why_through_host : std::string();
  }
  void zero(std::byte* data, size_t size_bytes) override {
    SW_CUDA(cudaMemsetAsync(data, 0, size_bytes, queue_.stream()));
  }
  void add(float* x, const float* y, int64_t n) override {
    if (n == 0) return;
    add_kernel<<<n_blocks(n, kAddThreads), kAddThreads, 0, queue_.stream()>>>(x, y, n);
    SW_CUDA_LAUNCHED();
  }

  void record() override { mark_.record(queue_); }
  void wait_recorded() override { mark_.wait(); }
  void wait_for(Backend& other) override {
    if (!other.queue()) return;
    auto& ahead = static_cast<CudaBackend&>(other);
    ahead.behind_.record(ahead.queue_);
    ahead.behind_.hold(queue_);
  }
  std::unique_ptr<Fence> make_fence() override { return std::make_unique<EventFence>(queue_); }
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
    // From destructors: where the GPU has failed, whoever waited for it has told.
    (void)cudaSetDevice(queue_.gpu());
    if (cudaHostUnregister(host) != cudaSuccess) (void)cudaGetLastError();
  }

  std::unique_ptr<Recordings> make_recordings(std::span<Backend* const> others) override {
    std::vector<const Queue*> queues;
    for (Backend* other : others) {
      if (!other->queue()) return nullptr;
      queues.push_back(other->queue());
    }
    return std::make_unique<Graphs>(queue_, std::move(queues));
  }
  std::unique_ptr<Timeline> make_timeline() override { return cuda::make_timeline(queue_); }
  double measure_read_limit(ThreadPool&) override { return stream_limit(queue_); }
  Queue* queue() override { return &queue_; }

 private:
  /// How copies come from another GPU.
  struct Peer {
    std::string why_through_host = {};
    std::unique_ptr<HostCopies> host_copies = {};  // where they do not go directly
  };

  /// Opened at the first call. Only of GPUs that are copied from: each takes memory on the other.
  const Peer& peer_of(const CudaBackend& source) {
    if (const auto known = peers_.find(&source); known != peers_.end()) return known->second;
    Peer peer;
    if (source.queue_.gpu() != queue_.gpu()) {
      peer.why_through_host =
          peer_access_ == PeerAccess::Refused ? "--no-peer-access" : open_peer_access(queue_, source.queue_);
    }
    if (!peer.why_through_host.empty())
      peer.host_copies = std::make_unique<HostCopies>(source.queue_, queue_);
    return peers_.emplace(&source, std::move(peer)).first->second;
  }

  Queue queue_;
  Device device_;
  PeerAccess peer_access_;
  Event mark_;
  Event behind_;  // what wait_for() of another device waits for
  std::set<std::byte*> pinned_;
  std::map<const CudaBackend*, Peer> peers_;
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

std::unique_ptr<Backend> open(int index, Device device, PeerAccess peer_access) {
  std::string why;
  const int n = device_count(&why);
  if (index < 0 || index >= n) {
    throw SystemError({.what = "no such GPU",
                       .where = "CUDA" + std::to_string(index),
                       .got = n == 0 ? why : std::to_string(n) + (n == 1 ? " GPU" : " GPUs")});
  }
  return std::make_unique<CudaBackend>(index, device, peer_access);
}

}  // namespace sw::cuda
