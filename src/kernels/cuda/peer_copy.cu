// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/peer_copy.h"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kThreads = 256;
/// Above so many bytes a copy engine is faster.
constexpr size_t kMostBytesOfKernel = size_t{1} << 20;
constexpr size_t kPieceBytes = size_t{4} << 20;

struct Words {
  static constexpr int kMost = 4;
  const uint32_t* from[kMost] = {};
  uint32_t* to[kMost] = {};
  int64_t n[kMost] = {};
};

__global__ void copy_kernel(Words words) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
#pragma unroll
  for (int c = 0; c < Words::kMost; ++c) {
    if (i >= 0 && i < words.n[c]) words.to[c][i] = words.from[c][i];
    i -= words.n[c];
  }
}

PinnedMemory take_pinned(size_t size_bytes, const Queue& to) {
  void* memory = nullptr;
  SW_CUDA(cudaSetDevice(to.gpu()));
  if (cudaHostAlloc(&memory, size_bytes, cudaHostAllocPortable) != cudaSuccess) {
    (void)cudaGetLastError();
    throw SystemError({.what = "no memory of the CPU can be pinned for copies between GPUs",
                       .got = std::to_string(size_bytes >> 20) + " MiB asked for"});
  }
  return PinnedMemory(static_cast<std::byte*>(memory));
}

}  // namespace

std::string open_peer_access(const Queue& to, const Queue& from) {
  SW_CUDA(cudaSetDevice(to.gpu()));
  int can = 0;
  SW_CUDA(cudaDeviceCanAccessPeer(&can, to.gpu(), from.gpu()));
  if (!can) return "the machine has no direct way";
  const cudaError_t status = cudaDeviceEnablePeerAccess(from.gpu(), 0);
  if (status == cudaSuccess) return {};
  (void)cudaGetLastError();
  return status == cudaErrorPeerAccessAlreadyEnabled ? std::string() : cudaGetErrorString(status);
}

void copy_directly(const Queue& to, std::span<const DeviceCopy> copies) {
  Words words;
  size_t n_byte = 0, used = 0;
  bool in_words = copies.size() <= Words::kMost;
  for (const DeviceCopy& copy : copies) {
    n_byte += copy.size_bytes;
    in_words &= copy.size_bytes % sizeof(uint32_t) == 0;
    if (!in_words) break;
    words.from[used] = reinterpret_cast<const uint32_t*>(copy.from);
    words.to[used] = reinterpret_cast<uint32_t*>(copy.to);
    words.n[used++] = static_cast<int64_t>(copy.size_bytes / sizeof(uint32_t));
  }
  if (in_words && n_byte <= kMostBytesOfKernel) {
    const auto n_word = static_cast<int64_t>(n_byte / sizeof(uint32_t));
    if (n_word == 0) return;
    copy_kernel<<<n_blocks(n_word, kThreads), kThreads, 0, to.stream()>>>(words);
    SW_CUDA_LAUNCHED();
    return;
  }
  for (const DeviceCopy& copy : copies)
    SW_CUDA(cudaMemcpyAsync(copy.to, copy.from, copy.size_bytes, cudaMemcpyDefault, to.stream()));
}

void PinnedDelete::operator()(std::byte* memory) const { (void)cudaFreeHost(memory); }

HostCopies::HostCopies(const Queue& from, const Queue& to)
    : from_(from),
      to_(to),
      memory_(take_pinned(2 * kPieceBytes, to)),
      pieces_{Piece{memory_.get(), Event(from), Event(to)},
              Piece{memory_.get() + kPieceBytes, Event(from), Event(to)}} {}

void HostCopies::copy(std::span<const DeviceCopy> copies) {
  for (const DeviceCopy& all : copies) {
    for (size_t done = 0; done < all.size_bytes; done += kPieceBytes) {
      copy({.to = all.to + done,
            .from = all.from + done,
            .size_bytes = std::min(kPieceBytes, all.size_bytes - done)},
           pieces_[next_]);
      next_ = 1 - next_;
    }
  }
}

void HostCopies::copy(const DeviceCopy& copy, Piece& piece) {
  piece.taken.hold(from_);
  SW_CUDA(cudaMemcpyAsync(piece.memory, copy.from, copy.size_bytes, cudaMemcpyDeviceToHost, from_.stream()));
  piece.filled.record(from_);
  piece.filled.hold(to_);
  SW_CUDA(cudaMemcpyAsync(copy.to, piece.memory, copy.size_bytes, cudaMemcpyHostToDevice, to_.stream()));
  piece.taken.record(to_);
}

}  // namespace sw::cuda
