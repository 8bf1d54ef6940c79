// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <span>

#include "kernels/devices.h"
#include "tensor/buffer.h"

namespace sw {

/// Memory of the CPU that GPUs copy to and from beside other work. Whole pages, so that nothing
/// else is pinned with it.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  PinnedBuffer(size_t size_bytes, Backend& gpu) : buffer_(std::max<size_t>(size_bytes, 4096)), gpu_(&gpu) {
    gpu.pin(buffer_.data(), buffer_.size_bytes());
  }
  ~PinnedBuffer() {
    if (gpu_) gpu_->unpin(buffer_.data());
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(buffer_, other.buffer_);
    std::swap(gpu_, other.gpu_);
    return *this;
  }

  std::byte* data() const { return buffer_.data(); }
  size_t size_bytes() const { return buffer_.size_bytes(); }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(buffer_.data());
  }

 private:
  Buffer buffer_ = {};
  Backend* gpu_ = nullptr;
};

}  // namespace sw
